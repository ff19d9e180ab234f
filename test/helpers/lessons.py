"""Two made-up pictures that systems are trained on, and the smallest runs that do so."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from refseg_ros.training.systems.config import StageConfig

EXAMPLES = sorted((Path(__file__).parents[2] / "config" / "training" / "systems").glob("*.yaml"))
SMALL = {"backbone": {"width": 32, "layers": 1, "layers_after": 1, "heads": 2}}
MVP_HEAD = {"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "queries": 5, "stuff_queries": 2,
            "denoising_queries": 4}  # fmt: skip


def write_pictures(out):
    """A dataset in the contract's form: two pictures, three coloured squares and a table each."""
    for name in ("rgb", "mask", "panoptic"):
        (out / name).mkdir()
    lines, panoptic, told = [], [], []
    for picture in range(2):
        rgb, ids = np.full((96, 128, 3), 90, np.uint8), np.full((96, 128), 9, np.uint16)
        for n in range(3):
            mask = np.zeros((96, 128), np.uint8)
            mask[30:60, 10 + 40 * n : 40 + 40 * n] = 255
            rgb[mask > 0] = np.eye(3, dtype=np.uint8)[n] * 250
            ids[mask > 0] = n + 1
            cv2.imwrite(str(out / "mask" / f"{picture}_{n}.png"), mask)
        cv2.imwrite(str(out / "rgb" / f"{picture}.png"), rgb)
        cv2.imwrite(str(out / "panoptic" / f"{picture}.png"), ids)
        asked = [("the blue box", [0]), ("all the boxes", [0, 1]), ("the cat", [])]
        for text, targets in asked:
            masks = [f"mask/{picture}_{n}.png" for n in targets]
            lines.append({
                "image": f"rgb/{picture}.png", "depth": None, "camera": None, "instruction": text,
                "type": "name" if targets else "absent-name", "phrases": [text],
                "targets": [{"phrase": 0, "mask": m, "centroid_m": None, "visible": 1} for m in masks],
            })  # fmt: skip
        segments = [{"id": n, "name": f"box {n}", "stuff": False} for n in (1, 2, 3)]
        segments.append({"id": 9, "name": "table", "stuff": True})
        panoptic.append({"image": f"rgb/{picture}.png", "panoptic": f"panoptic/{picture}.png", "segments": segments})
        told.append({"image": f"rgb/{picture}.png", "captions": ["three boxes of different colours on a grey table"]})
    for name, rows in (("index", lines), ("panoptic", panoptic), ("captions", told)):
        (out / f"{name}.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    return out


def stage(**changes):
    told = {"name": "one", "steps": 3, "rates": {"head": 1e-3, "language": 1e-3}, "pictures": 2, "conversations": 2}
    return StageConfig(**(told | changes))


def written(tmp_path, folder, **changes):
    content = {
        "model": "gsva", "work": str(tmp_path / "work"), "train": [{"dataset": str(folder)}],
        "validation": {"dataset": str(folder)}, "threads": 1, "report": 1000, "validation_pictures": 1,
        "options": SMALL | {"head": {"width": 32, "feedforward": 32}},
        "stages": [{"name": "one", "steps": 4, "rates": {"head": 2e-3, "language": 2e-3, "words": 2e-3,
                                                         "connector": 2e-3}, "warm_up": 1, "pictures": 1,
                    "conversations": 2}],
    } | changes  # fmt: skip
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(content))
    return file


def without(folder, out, *names):
    shutil.copytree(folder, out)
    for name in names:
        (out / f"{name}.jsonl").unlink()
    return out
