"""Files of training in `work`: written whole or not at all, and caches that know what they were made of."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from refseg_ros.models.weights import sha256
from refseg_ros.training.runs import ConfigError

Content = TypeVar("Content")
# What torch.load() raises for files that are cut off, of other bytes, or of classes that are gone.
DAMAGED = (
    EOFError, OSError, RuntimeError, pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError,
    ImportError,
)  # fmt: skip


def save(path: Path, content: Any) -> None:
    """Whole or not at all: an interruption leaves what was there."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def load(path: Path, device: torch.device | str = "cpu") -> Any:
    """What save() wrote. Raises ConfigError for a damaged file, OSError for one that cannot be opened."""
    try:
        return torch.load(path, weights_only=False, map_location=device)
    except torch.OutOfMemoryError:  # a RuntimeError that is not the file's fault
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.filename:
            raise
        message = f"{path} is damaged and cannot be gone on with; delete it, and what it held is made again."
        raise ConfigError(message) from error


def kept(path: Path, made_of: dict[str, Any], make: Callable[[], Content]) -> Content:
    """What `path` holds, if it was made of the same; else make(), which is kept there. made_of: plain values."""
    if path.exists():
        try:
            held = load(path)
        except ConfigError:  # a cache can be made again
            held = None
        if isinstance(held, dict) and held.get("made_of") == made_of:
            content: Content = held["content"]
            return content
        print(f"{path} is damaged or was made of something else than now; it is made again", flush=True)
    content = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, {"made_of": made_of, "content": content})
    return content


def of_files(paths: Sequence[Path]) -> str:
    """Another text for other files, in another order, or written at another time."""
    rows = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def of_start(start: Path | None) -> str:
    """Another text for other weights to begin with, none without any."""
    return sha256(start) if start is not None else ""


def of_weights(module: nn.Module) -> str:
    """Another text for other weights."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
