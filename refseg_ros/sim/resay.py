"""Puts new expressions into training files that are there already: the pictures stay, nothing is rendered.

    python -m refseg_ros.sim.resay FOLDER [--workers 2] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.scene import TABLE_HEIGHT, Scene, SceneObject
from refseg_ros.sim.stored import camera_matrix, say, write_arrays

FLAT_M = 0.02  # things whose places lie closer to one line than this fix no pose
TOP_PERCENT = 98


def resay(path: Path, seed: int | None = None) -> bool:
    """Put new expressions into a training file, the pictures as they are; False where its pose cannot be recovered.

    seed: of the wording; that of the scene where None. Labels follow the catalogue as it is now.
    """
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files if name != "meta"}
        meta = json.loads(data["meta"].tobytes())
    number = int(meta.get("seed", int(path.stem.rpartition("_")[2]) if path.stem.rpartition("_")[2].isdigit() else 0))
    ids = cv2.imdecode(arrays["ids"], cv2.IMREAD_UNCHANGED)
    depth = cv2.imdecode(arrays["depth"], cv2.IMREAD_UNCHANGED)
    if ids is None or depth is None:
        raise ValueError(f"{path} is damaged: delete it and generate the scenes again")
    instance_ids = ids.astype(np.int16) - 1
    pose = np.array(meta["t_world_camera"]) if "t_world_camera" in meta else recovered_pose(meta["objects"])
    if pose is None:
        return False
    metres = np.asarray(depth, np.float32) / np.float32(1000)
    k = camera_matrix(arrays)
    objects = tuple(_object(o, instance_ids, metres, k, pose) for o in meta["objects"])
    empty = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32)
    scene = Scene(number, *empty, instance_ids, k, pose, objects)
    said = say(scene, number if seed is None else seed)
    meta |= {"seed": number, "t_world_camera": pose.tolist(), "objects": [asdict(o) for o in objects]}
    write_arrays(path, meta | {"expressions": said}, **arrays)
    return True


def recovered_pose(objects: list[dict[str, Any]]) -> npt.NDArray[np.float64] | None:
    """t_world_camera (4 x 4) from objects whose place is known in both frames (Kabsch), or None."""
    world = np.array([o["position_world"] for o in objects], float).reshape(-1, 3)
    camera = np.array([o["position_camera"] for o in objects], float).reshape(-1, 3)
    if len(world) < 3:
        return None
    middle_w, middle_c = world.mean(0), camera.mean(0)
    spread = np.linalg.svd(world - middle_w, compute_uv=False)
    if spread[1] < FLAT_M:
        return None
    u, _, vt = np.linalg.svd((camera - middle_c).T @ (world - middle_w))
    turn = vt.T @ np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, middle_w - turn @ middle_c
    residual = np.abs(camera @ turn.T + pose[:3, 3] - world).max()
    return pose if residual < 1e-3 else None


def _object(
    stored: dict[str, Any], ids: npt.NDArray[np.int16], depth: npt.NDArray[np.float32], k: npt.NDArray[np.float64],
    pose: npt.NDArray[np.float64],
) -> SceneObject:
    """As stored, labelled as the catalogue labels it now; a height that old files lack is measured on what shows."""
    known = {f.name for f in fields(SceneObject)}
    row: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in stored.items() if n in known}
    entry = CATALOGUE.get(row["key"])
    if entry is not None and not row.get("paint") and not row.get("dye"):
        row |= {"noun": entry.noun, "category": entry.category, "colours": entry.colours}
    if row.get("size_m") is None and entry is not None and row["visible_px"]:
        rows, cols = np.nonzero(ids == row["id"])
        z = depth[rows, cols]
        x, y = (cols - k[0, 2]) / k[0, 0] * z, (rows - k[1, 2]) / k[1, 1] * z
        heights = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3] - TABLE_HEIGHT
        top = max(0.01, float(np.percentile(heights[z > 0], TOP_PERCENT))) if np.any(z > 0) else 0.01
        row["size_m"] = _lying(entry.size_mm, top)
    return SceneObject(**row)


def _lying(size_mm: tuple[int, int, int], height: float) -> tuple[float, float, float]:
    """Width, depth and height of a thing of known size whose height as it lies was measured."""
    sides = sorted(s / 1000 for s in size_mm)
    up = min(range(3), key=lambda i: abs(sides[i] - height))
    first, second = (s for i, s in enumerate(sides) if i != up)
    return (second, first, sides[up])


def main() -> int:
    """Rewrite every training file of a folder; a second run with the same seed changes nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, help="of the wording; each scene's own by default")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("scene_*.npz"))
    with multiprocessing.Pool(options.workers) as pool:
        done = pool.imap_unordered(partial(resay, seed=options.seed), paths, chunksize=8)
        kept = sum(not new for new in track(done, total=len(paths), description=f"rewording {len(paths)} scenes"))
    print(f"{len(paths) - kept} scenes have new expressions; {kept} kept theirs, for their pose is not known")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
