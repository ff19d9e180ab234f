"""Training files: one rendered scene with its truth in an .npz, written whole or not at all, and read back."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.sim.expressions import Expression, expressions
from refseg_ros.sim.holdout import fit_for_training
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.splits import split_of

MAX_STORED_PER_TYPE = 40


@dataclass(frozen=True, eq=False)
class StoredScene:
    """A scene read back: arrays as in Scene, objects and expressions as dicts. t_world_camera and stuff_ids are None in
    older files."""

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.int16]
    k: npt.NDArray[np.float64]
    objects: list[dict[str, Any]]
    expressions: list[dict[str, Any]]
    stuff_ids: npt.NDArray[np.int8] | None = None
    t_world_camera: npt.NDArray[np.float64] | None = None
    seed: int = 0


def encode_png(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A PNG file as bytes; colour images are RGB."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    ok, data = cv2.imencode(".png", bgr)
    if not ok:
        raise ValueError(f"cannot encode a {image.dtype} {image.shape} image as PNG")
    return data.ravel()


def as_dict(expression: Expression) -> dict[str, Any]:
    """JSON form: ids as sorted lists."""
    mentions = expression.mentions
    return vars(expression) | {
        "targets": [sorted(t) for t in expression.targets],
        "mentions": mentions and {k: sorted(v) for k, v in vars(mentions).items()},
    }


def say(scene: Scene, seed: int) -> list[dict[str, Any]]:
    """The expressions that a training file holds: varied words, at most MAX_STORED_PER_TYPE of a type.

    Of training and validation scenes nothing is said that holdout keeps for the test. Expressions that exclude
    something by a phrase of its own are left out: their phrases alone do not mean their targets.
    """
    said = [e for e in expressions(scene, random.Random(seed), MAX_STORED_PER_TYPE, heard=False) if not e.excluded]
    if split_of(scene.seed) != "test":
        said = [e for e in said if fit_for_training(e, scene)]
    return [as_dict(e) for e in said]


def save_scene(path: Path, scene: Scene) -> None:
    """Write one training file, whole or not at all."""
    meta = {
        "seed": scene.seed,
        "t_world_camera": scene.t_world_camera.tolist(),
        "objects": [asdict(o) for o in scene.objects],
        "expressions": say(scene, scene.seed),
    }
    stuff = {} if scene.stuff_ids is None else {"stuff": encode_png((scene.stuff_ids + 1).astype(np.uint8))}
    write_arrays(
        path, meta, rgb=encode_png(scene.rgb), depth=encode_png(np.round(scene.depth * 1000).astype(np.uint16)),
        ids=encode_png((scene.instance_ids + 1).astype(np.uint8)), camera=scene.k, **stuff,
    )  # fmt: skip


def write_arrays(path: Path, meta: dict[str, Any], **arrays: npt.NDArray[Any]) -> None:
    """A training file of encoded pictures and JSON, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))  # type: ignore[arg-type]
    partial = path.with_suffix(".partial")
    partial.write_bytes(buffer.getvalue())
    partial.rename(path)


def camera_matrix(arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """K (3, 3) of a training file's arrays, as Intrinsics counts pixels. Older files hold it as "k", and count from the
    first pixel's corner."""
    if "camera" in arrays:
        return np.asarray(arrays["camera"], np.float64)
    k = np.array(arrays["k"], np.float64)
    k[:2, 2] -= 0.5
    return k


class DamagedScene(ValueError):
    """A training file that cannot be read, in one sentence that says what to do."""


@contextmanager
def _arrays(path: Path) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """The arrays of a training file. Raises DamagedScene, also for what is made of them within."""
    try:
        with np.load(path) as data:
            yield data
    except (BadZipFile, EOFError, KeyError, ValueError, cv2.error) as error:
        raise DamagedScene(f"{path} is damaged; delete it and generate the scenes again.") from error


def load_scene(path: Path) -> StoredScene:
    """Read a file that save_scene() wrote. Raises DamagedScene."""
    with _arrays(path) as data:
        meta = json.loads(data["meta"].tobytes())
        bgr = cv2.imdecode(data["rgb"], cv2.IMREAD_COLOR)
        depth = cv2.imdecode(data["depth"], cv2.IMREAD_UNCHANGED)
        ids = cv2.imdecode(data["ids"], cv2.IMREAD_UNCHANGED)
        stuff = cv2.imdecode(data["stuff"], cv2.IMREAD_UNCHANGED) if "stuff" in data else None
        k = camera_matrix(data)
        if bgr is None or depth is None or ids is None:
            raise ValueError("a picture cannot be decoded")
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    metres = np.asarray(depth, np.float32) / np.float32(1000)
    pose = np.array(meta["t_world_camera"]) if "t_world_camera" in meta else None
    instance_ids = ids.astype(np.int16) - 1
    stuff_ids = None if stuff is None else stuff.astype(np.int8) - np.int8(1)
    said = meta["expressions"]
    return StoredScene(
        rgb, metres, instance_ids, k, meta["objects"], said, stuff_ids, pose, int(meta.get("seed", 0))
    )  # fmt: skip


def load_expressions(path: Path) -> list[dict[str, Any]]:
    """The expressions of a file that save_scene() wrote, without its pictures. Raises DamagedScene."""
    with _arrays(path) as data:
        return list(json.loads(data["meta"].tobytes())["expressions"])
