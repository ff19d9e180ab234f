"""Weights files: found, checked against their card, loaded whole or not at all. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg_ros.core.outcome import ErrorCode, RequestError

if TYPE_CHECKING:
    from torch import Tensor, nn


def _error(message: str) -> RequestError:
    return RequestError(ErrorCode.MODEL_WEIGHTS, message)


def read_card(path: Path) -> dict[str, Any]:
    """The JSON card beside a weights file (x.safetensors -> x.json). Raises RequestError(MODEL_WEIGHTS)."""
    if not path.is_file():
        raise _error(f"The weights file {path} does not exist; check the path, or leave it empty for the shipped one.")
    card = path.with_suffix(".json")
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _error(f"The card {card} is missing; it must lie beside the weights file.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _error(f"The card {card} cannot be read ({error}); install the package again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("sha256"), str):
        raise _error(f"The card {card} names no sha256; install the package again.")
    return content


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file that everybody on the machine may read: who trains is seldom the robot's own user."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)  # for its owner alone
    path.chmod(0o644)


def load_strictly(
    module: nn.Module, path: Path, card: dict[str, Any], held: Callable[[str], bool] | None = None
) -> None:
    """Load a safetensors file into a module. Raises RequestError(MODEL_WEIGHTS) on a wrong hash, a damaged file,
    or any missing, unexpected or misshapen tensor. held: which of the module's tensors the file holds; None for all."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = sha256(path)
    except OSError as error:
        raise _error(f"The weights file {path} cannot be read ({error.strerror}); check its permissions.") from error
    if found != card["sha256"]:
        raise _error(
            f"The weights file {path} is not the one its card describes (sha256 {found[:12]}, expected "
            f"{card['sha256'][:12]}); it is damaged or belongs to another card: install it again."
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _error(f"The weights file {path} cannot be read ({error}); install it again.") from error
    wanted = {name: t for name, t in module.state_dict().items() if held is None or held(name)}
    missing, surplus = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    shapes = sorted(k for k in wanted.keys() & tensors.keys() if wanted[k].shape != tensors[k].shape)
    if missing or surplus or shapes:
        parts = [
            f"{len(names)} {what} (first: {names[0]})"
            for what, names in (("missing", missing), ("unexpected", surplus), ("of another shape", shapes))
            if names
        ]
        raise _error(f"The weights file {path} does not fit the model: tensors {', '.join(parts)}.")
    module.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=held is None)
