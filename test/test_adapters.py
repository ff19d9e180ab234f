"""What grasp planners are given, against the fields, shapes and types that each of them documents."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from refseg_ros.adapters import EXPORTS, anygrasp, contact_graspnet, gpd, graspgen
from refseg_ros.adapters.scene import labels, points_of_pixels
from refseg_ros.cli.segment import EXPORT_NAMES
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import Outcome, Verdict, combine
from refseg_ros.core.types import Frame, Instance, Intrinsics, PhraseVerdict, Segmentation

WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics(WIDTH, HEIGHT, 60.0, 61.0, 32.0, 24.0)
SQUARES = ((slice(8, 24), slice(6, 26), 0.6), (slice(20, 40), slice(34, 58), 0.8))


def frame(**changes):
    rng = np.random.default_rng(0)
    depth = np.full((HEIGHT, WIDTH), 0.9, np.float32)
    for rows, columns, z in SQUARES:
        depth[rows, columns] = z + 0.01 * np.arange(depth[rows, columns].shape[1]) / 20
    depth[:3], depth[3:5] = 0, np.nan
    given = {"depth": depth, "intrinsics": CAMERA, "frame_id": "camera"} | changes
    return Frame(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), **given)


def answer(seen, verdicts=(Verdict.FOUND, Verdict.FOUND), ids=(1, 2)):
    """One phrase a square; AMBIGUOUS phrases are given both."""
    instances = []
    for number, (rows, columns, _) in zip(ids, SQUARES, strict=False):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[rows, columns] = True
        instances.append(Instance(number, len(instances), 0.9, mask, (0, 0)))
    phrases = tuple(
        PhraseVerdict(f"thing {i.id}", v, 0.9, (i.id,)) for i, v in zip(instances, verdicts, strict=False)
    )
    return Segmentation(
        "things", combine(p.verdict for p in phrases), (WIDTH, HEIGHT), "test", phrases, tuple(instances),
        Lifter().lift(seen, instances),
    )  # fmt: skip


def test_the_command_line_knows_the_exports():
    assert set(EXPORT_NAMES) == set(EXPORTS)


def test_contact_graspnet_reads_its_own_four_arrays(tmp_path):
    seen = frame()
    (path,) = contact_graspnet.write(seen, answer(seen), tmp_path)
    with np.load(path, allow_pickle=False) as data:
        assert sorted(data.files) == ["K", "depth", "rgb", "segmap"]
        depth, k, segmap, bgr = data["depth"], data["K"], data["segmap"], data["rgb"]
    assert depth.dtype == np.float32 and depth.shape == segmap.shape == (HEIGHT, WIDTH) and k.shape == (3, 3)
    assert (depth[:5] == 0).all() and depth.max() == np.float32(0.9)  # metres, and no NaN where there is nothing
    assert set(np.unique(segmap)) == {0, 1, 2} and segmap[10, 10] == 1
    np.testing.assert_array_equal(bgr[..., ::-1], seen.rgb)  # its reader turns BGR into RGB
    # Its own projection, by K, gives our points.
    rows, columns = np.nonzero(depth)
    theirs = np.stack([(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1], np.ones(len(rows))], 1)
    ours = points_of_pixels(seen)[rows, columns]
    np.testing.assert_allclose(theirs * depth[rows, columns, None], ours, atol=1e-6)


def test_a_distorted_camera_is_refused_with_what_to_do():
    seen = frame(intrinsics=Intrinsics(WIDTH, HEIGHT, 60.0, 60.0, 32.0, 24.0, (0.1, 0.0, 0.0, 0.0, 0.0)))
    with pytest.raises(ValueError, match="rectify"):
        contact_graspnet.arrays(seen, answer(seen))


@pytest.mark.parametrize("write", EXPORTS.values(), ids=EXPORTS)
def test_without_depth_nothing_is_written(tmp_path, write):
    seen = frame(depth=None)
    with pytest.raises(ValueError, match="depth"):
        write(seen, answer(seen), tmp_path)
    assert not list(tmp_path.iterdir())


def test_graspgen_scene(tmp_path):
    seen = frame()
    result = answer(seen)
    paths = graspgen.write(seen, result, tmp_path)
    assert [p.name for p in paths] == ["graspgen_1.json", "graspgen_2.json"]
    data = json.loads(paths[0].read_text())
    points, colors = np.array(data["object_info"]["pc"]), np.array(data["object_info"]["pc_color"])
    assert points.shape == colors.shape == (len(result.objects[0].points), 3) and colors.max() > 1
    # As its demo reads them: one leading axis, colours and mask one a point.
    whole = np.array(data["scene_info"]["full_pc"])[0]
    tints = np.array(data["scene_info"]["img_color"]).reshape(1, -1, 3)[0]
    mask = np.array(data["scene_info"]["obj_mask"]).reshape(-1)
    assert whole.shape == tints.shape == ((HEIGHT - 5) * WIDTH, 3) and mask.shape == (len(whole),)
    assert mask.sum() == 16 * 20
    np.testing.assert_allclose(whole[mask == 1].mean(0), points.mean(0), atol=0.01)
    assert np.array(data["grasp_info"]["grasp_poses"]).size == 0


def test_anygrasp_cloud_and_limits(tmp_path):
    seen = frame()
    result = answer(seen, ids=(3, 7))
    (path,) = anygrasp.write(seen, result, tmp_path)
    with np.load(path, allow_pickle=False) as data:
        points, colors, instance, ids, lims = (data[k] for k in ("points", "colors", "instance", "ids", "lims"))
    assert points.dtype == colors.dtype == np.float32 and points.shape == colors.shape == (len(instance), 3)
    assert np.isfinite(points).all() and colors.min() >= 0 and 0.9 < colors.max() <= 1
    assert ids.tolist() == [3, 7] and lims.shape == (2, 6)
    for number, (x0, x1, y0, y1, z0, z1) in zip(ids, lims, strict=True):
        low, high = np.array([x0, y0, z0]), np.array([x1, y1, z1])
        inside = ((points >= low) & (points <= high)).all(1)
        assert inside[instance == number].mean() > 0.8 and not inside[(instance != number) & (instance != 0)].any()


def test_gpd_samples_on_the_object_only():
    seen = frame()
    cloud = gpd.indexed_cloud(seen, answer(seen), (2,))
    assert cloud.indices.dtype == np.int64 and len(cloud.points) == len(cloud.colors) > len(cloud.indices)
    sampled = cloud.points[cloud.indices]
    assert len(sampled) == 20 * 24 and (np.abs(sampled[:, 2] - 0.8) < 0.02).all()
    assert np.ptp(cloud.points, axis=0).max() < 2 * gpd.MARGIN_M + 0.5
    with pytest.raises(ValueError, match="nothing to grasp"):
        gpd.indexed_cloud(seen, answer(seen), (9,))


def test_overlapping_masks_keep_the_smaller_on_top():
    big, small = np.ones((4, 4), bool), np.ones((1, 1), bool)
    result = Segmentation(
        "x", Outcome.FOUND, (5, 5), "test", (PhraseVerdict("x", Verdict.FOUND, 0.9, (1, 2)),),
        (Instance(1, 0, 0.9, small, (1, 1)), Instance(2, 0, 0.9, big, (0, 0))),
    )  # fmt: skip
    assert labels(result)[1, 1] == 1 and labels(result)[0, 0] == 2 and labels(result)[4, 4] == 0


# The types of ROS packages


@pytest.fixture
def ros():
    pytest.importorskip("geometry_msgs.msg", reason="needs ROS 2's messages (make setup)")
    from helpers import stub_messages

    return stub_messages


def test_gpd_message(ros):
    from sensor_msgs.msg import PointCloud2

    seen = frame()
    cloud = gpd.indexed_cloud(seen, answer(seen), (1,))
    message = gpd.message(ros.gpd_ros(), cloud, PointCloud2(width=len(cloud.points), height=1))
    sources = message.cloud_sources
    assert len(sources.camera_source) == sources.cloud.width == len(cloud.points)
    assert {s.data for s in sources.camera_source} == {0} and len(sources.view_points) == 1
    assert [i.data for i in message.indices] == cloud.indices.tolist()


def test_moveit_objects_come_and_go(ros, monkeypatch):
    from std_msgs.msg import Header

    from refseg_ros.adapters.moveit import SceneObjects

    monkeypatch.setitem(sys.modules, "shape_msgs.msg", ros.shape_msgs())
    types, scene, seen = ros.moveit_msgs(), SceneObjects(), frame()
    first = scene.scene(types, answer(seen), Header(frame_id="camera"))
    assert first.is_diff and first.robot_state.is_diff
    added = first.world.collision_objects
    assert [(o.id, o.operation) for o in added] == [("refseg_1", 0), ("refseg_2", 0)]
    box = answer(seen).objects[0].obb
    assert added[0].header.frame_id == "camera" and added[0].primitives[0].type == 1
    assert added[0].primitives[0].dimensions == pytest.approx(box.size_m)
    assert (added[0].pose.position.x, added[0].pose.position.z) == (box.center_m[0], box.center_m[2])
    assert len(added[0].primitive_poses) == 1 and added[0].primitive_poses[0].orientation.w == 1.0
    second = scene.collision_objects(types, answer(seen, ids=(2, 5)), Header(frame_id="camera"))
    assert [(o.id, o.operation) for o in second] == [("refseg_1", 1), ("refseg_2", 0), ("refseg_5", 0)]
    assert [o.operation for o in scene.collision_objects(types, answer(frame(depth=None)), Header())] == [1, 1]


def test_vision_msgs_hold_what_is_found_and_nothing_else(ros):
    from refseg_ros.nodes.detections import detections_2d, detections_3d

    seen, types = frame(stamp_ns=3_000_000_004), ros.vision_msgs()
    result = answer(seen, verdicts=(Verdict.FOUND, Verdict.UNCERTAIN))
    flat, solid = detections_2d(types, result, seen), detections_3d(types, result, seen)
    assert flat.header.stamp.sec == 3 and flat.header.frame_id == "camera"
    (one,) = flat.detections
    assert (one.id, one.results[0].hypothesis.class_id, one.results[0].hypothesis.score) == ("1", "thing 1", 0.9)
    assert (one.bbox.center.position.x, one.bbox.center.position.y) == (16.0, 16.0)
    assert (one.bbox.size_x, one.bbox.size_y) == (20.0, 16.0)
    (one,) = solid.detections
    assert one.bbox.center.position.z == pytest.approx(0.6, abs=0.02) and one.bbox.size.x > 0.1
    assert one.results[0].pose.pose == one.bbox.center and one.id == "1"


def test_a_topic_for_every_package_that_is_there(ros, monkeypatch):
    pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
    from refseg_ros.nodes import optional_outputs

    stubs = {name: getattr(ros, name)() for name in ("vision_msgs", "moveit_msgs", "gpd_ros")}
    monkeypatch.setitem(sys.modules, "shape_msgs.msg", ros.shape_msgs())
    monkeypatch.setattr(optional_outputs.importlib.util, "find_spec", lambda name: stubs.get(name))
    monkeypatch.setattr(optional_outputs.importlib, "import_module", lambda name: stubs[name.split(".")[0]])
    outputs = optional_outputs.OptionalOutputs()
    assert set(outputs.types) == {"detections_2d", "detections_3d", "planning_scene", "gpd_cloud"}
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "shape_msgs.msg", ros.shape_msgs())
    seen = frame()
    made = {topic: outputs.make(topic, answer(seen), seen) for topic in outputs.types}
    assert all(isinstance(made[topic], kind) for topic, kind in outputs.types.items())
    cloud = made["gpd_cloud"].cloud_sources.cloud
    assert [f.name for f in cloud.fields] == ["x", "y", "z", "rgb"] and cloud.width == len(
        made["gpd_cloud"].cloud_sources.camera_source
    )
    uncertain = answer(seen, verdicts=(Verdict.UNCERTAIN, Verdict.UNCERTAIN))
    assert outputs.make("gpd_cloud", uncertain, seen) is None
