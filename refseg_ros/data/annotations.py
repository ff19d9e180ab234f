"""JSON label files, and values out of them whose absence is said in a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refseg_ros.data.dataset import DatasetError


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DatasetError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); check the folder.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({error}); fetch it again.") from error


@contextmanager
def labels_of(where: str) -> Iterator[None]:
    """Inside, a label that lacks something or has it in another form becomes a DatasetError that names `where`."""
    try:
        yield
    except KeyError as error:
        raise DatasetError(f"{where} lacks {error}.") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise DatasetError(f"{where} is not what the format says: {error}.") from error


def images_by_id(content: Any) -> dict[int, dict[str, Any]]:
    """COCO's list of images by their id. Raises as labels_of() expects."""
    return {int(image["id"]): image for image in content["images"]}


def size_of(image: dict[str, Any]) -> tuple[int, int]:
    """(width, height) of one of COCO's images. Raises as labels_of() expects."""
    width, height = int(image["width"]), int(image["height"])
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} x {height}")
    return width, height
