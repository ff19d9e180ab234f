"""Objects against truth: the measure itself, a few scenes within the aims, and broken depth that makes no object."""

import importlib.util
import json

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

from refseg_ros.core.types import Frame, Instance, Intrinsics, Object3D, OrientedBox, Plane
from refseg_ros.evaluation import broken_depth, objects

TABLE = Plane((0.0, 0.0, -1.0), 1.0)


def thing(centroid=(0.0, 0.0, 0.9), size=(0.1, 0.05, 0.2), cov=1e-6, std=0.001):
    box, points = OrientedBox(centroid, size, (0.0, 0.0, 0.0, 1.0)), np.zeros((1, 3), np.float32)
    return Object3D(
        1, True, "", "camera", centroid, box, points,
        centroid_cov_m2=np.eye(3) * cov, size_std_m=(std,) * 3, plane=TABLE,
    )  # fmt: skip


def truth(centroid=(0.0, 0.0, 0.9), size=(0.1, 0.05, 0.2)):
    return objects.Truth(np.ones((2, 2), bool), np.array(centroid), np.array(size), 1.0, True, "mug")


def test_errors_and_what_is_held():
    row = objects.compare(thing(), truth(), TABLE)
    assert row["centroid_m"] == 0 and row["centroid_held"] and row["plane_m"] == 0 and all(row["size_held"])
    row = objects.compare(thing(), truth((0.002, 0, 0.9), (0.1, 0.053, 0.2)), TABLE)
    assert row["centroid_m"] == pytest.approx(0.002) and row["centroid_held"]
    assert row["size_held"] == [True, False, True] and row["size"][1] == pytest.approx(0.003 / 0.053)
    assert not objects.compare(thing(), truth((0.003, 0, 0.9)), TABLE)["centroid_held"]
    assert objects.compare(Object3D(1, False, "no depth"), truth(), TABLE)["valid"] is False


def test_an_outline_wanders_by_what_was_asked():
    mask = np.zeros((200, 200), bool)
    mask[50:150, 50:150] = True
    moved = [objects.jittered(mask, np.random.default_rng(s), 2.0) for s in range(5)]
    shares = [(m ^ mask).sum() / 400 for m in moved]  # pixels of error on each pixel of the outline
    assert 0.8 < np.mean(shares) < 3.5 and all(m[60:140, 60:140].all() for m in moved)


def test_broken_depth_makes_no_object_and_good_depth_does():
    camera = Intrinsics(64, 48, 60.0, 60.0, 32.0, 24.0)
    depth = np.full((48, 64), 1.0, np.float32)
    depth[10:40, 16:48] = 0.8
    frame = Frame(np.zeros((48, 64, 3), np.uint8), depth, camera)
    instances = [Instance(1, 0, 0.9, np.ones((30, 32), bool), (16, 10))]
    assert broken_depth.fabricated(frame, instances, count=140) == {"frames": 140, "objects": 0, "by_kind": {}}
    broken_depth.KINDS["none"] = lambda depth, rng: depth
    try:
        assert broken_depth.fabricated(frame, instances, count=15)["by_kind"] == {"none": 1}
    finally:
        del broken_depth.KINDS["none"]


@pytest.mark.slow
def test_a_few_scenes_are_within_the_aims(tmp_path):
    objects.main(scenes=4, json_file=tmp_path / "o.json", model="", width=320, height=240, outline=1.5, first_seed=9)
    report = json.loads((tmp_path / "o.json").read_text())
    figures = report["masks"]["true masks"]
    assert figures["valid"] == figures["count"] > 10 and report["broken_depth"]["objects"] == 0
    assert figures["centroid_mm"]["median"] < 4 and figures["plane_mm"]["max"] < 2 and figures["plane_deg"]["max"] < 1
    assert figures["size_error_mean"]["median"] < 0.1
