"""Published checkpoints: found in a folder or the user's hub cache, pinned, hashed, loaded whole; never downloaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.models.weights import sha256


def _error(message: str) -> RequestError:
    return RequestError(ErrorCode.MODEL_WEIGHTS, message)


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """Where one model comes from. source: a folder, or a hub name with its revision (a commit's 40 digits).

    sha256: of its weights files by name; {} to accept what is there, as a first training run does.
    """

    source: str
    revision: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not Path(self.source).is_dir() and not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise _error(
                f"{self.source} is no folder, and as a hub name it needs the revision it is pinned to (40 hexadecimal "
                f"digits), not {self.revision!r}."
            )


def pinned(value: Any) -> Pinned:
    """From a configuration: a folder's path, or a mapping of Pinned's fields. Raises RequestError(MODEL_WEIGHTS)."""
    if isinstance(value, str | Path):
        return Pinned(source=str(value))
    try:
        return Pinned(**value)
    except TypeError as error:
        raise _error(f"A checkpoint is a folder, or source, revision and sha256, not {value!r}.") from error


def folder_of(pin: Pinned) -> Path:
    """The checkpoint's folder, its hashes checked. Raises RequestError(MODEL_WEIGHTS)."""
    folder = Path(pin.source)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(pin.source, revision=pin.revision, local_files_only=True))
        except LocalEntryNotFoundError as error:
            raise _error(
                f"{pin.source} at {pin.revision[:12]} is not in the hub cache; fetch it yourself: "
                f"hf download {pin.source} --revision {pin.revision}"
            ) from error
    found = hashes(folder) if pin.sha256 else {}
    wrong = sorted(name for name, digest in pin.sha256.items() if found.get(name) != digest)
    if wrong:
        raise _error(
            f"{folder / wrong[0]} is {'missing' if wrong[0] not in found else 'not the file that was pinned'}; "
            "fetch the pinned revision again."
        )
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every safetensors file of a folder, by name."""
    return {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}


def not_fitting(folder: Path, why: str) -> RequestError:
    """The error for a checkpoint that is whole and of no use here."""
    return _error(f"{folder} cannot be used: {why}.")


def load_whole(kind: Any, folder: Path, *, may_lack: str | None = None, **options: Any) -> Any:
    """kind.from_pretrained(), which must find every tensor but those whose names begin with may_lack.

    Raises RequestError(MODEL_WEIGHTS) for missing ones, and for a folder that is no such checkpoint.
    """
    try:
        model, info = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise _error(f"{folder} cannot be loaded as {kind.__name__} ({error}).") from error
    lacking = (n for n in info["missing_keys"] if may_lack is None or not n.startswith(may_lack))
    missing = sorted(lacking) + [str(m[0]) for m in info.get("mismatched_keys", ())]
    if missing:
        raise _error(
            f"{folder} lacks {len(missing)} tensors of {kind.__name__} (first: {missing[0]}): it would run on random "
            "weights; fetch the pinned revision again."
        )
    return model


def tokenizer_of(folder: Path, specials: tuple[str, ...]) -> Any:
    """The folder's tokenizer with the answers' special tokens. Raises RequestError(MODEL_WEIGHTS)."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _error(f"{folder} holds no usable tokenizer ({error}).") from error
    tokenizer.add_special_tokens({"additional_special_tokens": list(specials)})
    return tokenizer


def with_room(model: Any, tokenizer: Any) -> Any:
    """The model with an embedding row for every token; spare rows of the checkpoint are used first."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return model
