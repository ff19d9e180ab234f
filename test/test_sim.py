"""Scenes: repeatable, geometrically exact, and described truthfully."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

from refseg_ros.cli.main import run as cli
from refseg_ros.sim import assets, dataset, generate, pool
from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.dataset import write_dataset
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions import expressions, plural
from refseg_ros.sim.panoptic import segments
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.splits import scene_seeds
from refseg_ros.sim.stored import load_scene, save_scene
from refseg_ros.sim.workers import RendererFailed, rendered

if not assets.sources():
    pytest.skip("no asset wheel is installed (requirements/assets.txt)", allow_module_level=True)


@pytest.fixture(scope="module")
def engine():
    with SceneEngine(width=320, height=240) as engine:
        yield engine


@pytest.fixture(scope="module")
def scene(engine):
    return engine.scene(3, count=(8, 10))


def test_the_same_seed_gives_the_same_scene(engine, scene):
    again = engine.scene(3, count=(8, 10))
    np.testing.assert_array_equal(again.rgb, scene.rgb)
    np.testing.assert_array_equal(again.instance_ids, scene.instance_ids)
    assert again.objects == scene.objects
    assert not np.array_equal(engine.scene(4, count=(8, 10)).rgb, scene.rgb)


def test_depth_and_camera_agree_with_the_table(scene):
    rows, cols = np.nonzero((scene.instance_ids < 0) & (scene.depth > 0))
    z = scene.depth[rows, cols].astype(float)
    k = scene.k
    points = np.stack([(cols - k[0, 2]) / k[0, 0] * z, (rows - k[1, 2]) / k[1, 1] * z, z, np.ones_like(z)])
    heights = (scene.t_world_camera @ points)[2]
    on_table = np.abs(heights - 0.4) < 0.001
    assert on_table.mean() > 0.3


def test_table_walls_and_floor_are_where_the_depth_says(scene):
    assert not np.any((scene.stuff_ids >= 0) & (scene.instance_ids >= 0))
    v, u = np.mgrid[: scene.depth.shape[0], : scene.depth.shape[1]]
    rays = np.stack([(u - scene.k[0, 2]) / scene.k[0, 0], (v - scene.k[1, 2]) / scene.k[1, 1], np.ones_like(u)], -1)
    world = (rays * scene.depth[..., None]) @ scene.t_world_camera[:3, :3].T + scene.t_world_camera[:3, 3]
    known = scene.depth > 0
    table, wall, floor = (world[(scene.stuff_ids == pool.STUFF.index(n)) & known] for n in ("table", "wall", "floor"))
    assert len(table) > 1000 and np.all(table[:, 2] < scene.table_height + 0.01)
    assert np.all(np.abs(table[:, :2]) < 0.61)
    assert np.all(np.abs(floor[:, 2]) < 0.02)
    assert np.all(np.abs(np.abs(wall[:, :2]).max(1) - 2.18) < 0.02)


def test_objects_are_where_their_pixels_are(scene):
    for o in scene.objects:
        assert np.count_nonzero(scene.instance_ids == o.id) == o.visible_px
        if o.centroid_m and o.visible_px > 100:
            assert np.linalg.norm(np.subtract(o.centroid_m, o.position_camera)) < 0.25
        entry = CATALOGUE[o.key]
        assert (o.noun, o.category, o.colours) == (entry.noun, entry.category, entry.colours)


def test_the_same_scene_from_another_place(engine):
    """Looked at from 10 cm to the right, each thing is 10 cm further left, and nothing else has changed."""
    first = engine.scene(3, count=(8, 10))
    moved = first.t_world_camera.copy()
    moved[:3, 3] += 0.1 * moved[:3, 0]
    second = engine.look(moved)
    np.testing.assert_allclose(second.t_world_camera, moved)
    for before, after in zip(first.objects, second.objects, strict=True):
        assert (after.key, after.position_world) == (before.key, before.position_world)
        np.testing.assert_allclose(np.subtract(after.position_camera, before.position_camera), (-0.1, 0, 0), atol=1e-6)
    np.testing.assert_array_equal(engine.look(first.t_world_camera).instance_ids, first.instance_ids)


def test_what_a_program_adds_to_the_world_is_there_in_every_scene():
    def ball(spec):
        body = spec.worldbody.add_body(name="ball", pos=[0, 0, 0.9], gravcomp=1)
        body.add_freejoint()
        body.add_geom(type=pool.mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1, 0, 0], mass=0.1)

    with SceneEngine(keys=["rs_can", "rs_milk"], width=64, height=48, extend=ball) as engine:
        assert all(np.any(engine.scene(seed, count=(1, 2)).stuff_ids < 0) for seed in (0, 1))
        body = engine.pool.model.body("ball")
        np.testing.assert_allclose(engine.pool.data.xpos[body.id], (0, 0, 0.9), atol=1e-3)  # it weighs what it did


def test_looking_before_there_is_a_scene_is_refused():
    with SceneEngine(keys=["rs_can"], width=64, height=48) as engine, pytest.raises(RuntimeError, match=r"scene\(\)"):
        engine.look()


def test_expressions_are_true(engine):
    for seed in range(6):
        scene = engine.scene(seed, count=(8, 12))
        by_id = {o.id: o for o in scene.objects}
        for e in expressions(scene):
            assert len(e.phrases) == len(e.targets)
            ids = e.targets[0]
            if e.type == "absent-name":
                assert not any(e.text == f"the {o.noun}" for o in scene.objects)
            if e.type in ("name", "attribute", "superlative", "relation", "size", "between", "ordinal"):
                assert len(ids) == 1
            if e.type == "ambiguous":
                assert len(ids) > 1 and e.expect == "AMBIGUOUS"
            if e.type == "superlative" and e.text.startswith("the leftmost object"):
                least = min(o.position_camera[0] for o in scene.objects if o.visible_px >= 20)
                assert by_id[next(iter(ids))].position_camera[0] == least


def test_plural():
    pairs = {
        "red mug": "red mugs", "box": "boxes", "cookies": "cookies", "can of soda": "cans of soda", "loaf": "loaves",
        "plate with red rings": "plates with red rings", "macaroni and cheese": "macaroni and cheese boxes",
    }  # fmt: skip
    assert {n: plural(n) for n in pairs} == pairs


def test_training_files_keep_everything(scene, tmp_path):
    save_scene(tmp_path / "scene_0.npz", scene)
    back = load_scene(tmp_path / "scene_0.npz")
    np.testing.assert_array_equal(back.rgb, scene.rgb)
    np.testing.assert_array_equal(back.instance_ids, scene.instance_ids)
    assert np.abs(back.depth - scene.depth).max() <= 0.00051
    assert len(back.objects) == len(scene.objects)
    np.testing.assert_array_equal(back.stuff_ids, scene.stuff_ids)


def test_a_dataset_has_the_common_form(tmp_path):
    # A process of its own: two renderers in one process break software OpenGL.
    options = ["--out", str(tmp_path), "--count", "1", "--seed", "1", "--split", "test"]
    subprocess.run([sys.executable, "-m", "refseg_ros.cli.main", "scenes", *options], check=True, timeout=120)
    lines = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert len(lines) > 10
    for line in lines:
        assert cv2.imread(str(tmp_path / line["image"])).shape == (480, 640, 3)
        assert len(line["camera"]["k"]) == 9
        for target in line["targets"]:
            mask = cv2.imread(str(tmp_path / target["mask"]), cv2.IMREAD_UNCHANGED)
            assert set(np.unique(mask)) <= {0, 255} and target["phrase"] < len(line["phrases"])
    panoptic = [json.loads(line) for line in (tmp_path / "panoptic.jsonl").read_text().splitlines()]
    assert {line["image"] for line in panoptic} == {line["image"] for line in lines}
    ids = cv2.imread(str(tmp_path / panoptic[0]["panoptic"]), cv2.IMREAD_UNCHANGED)
    assert ids.shape == (480, 640) and set(np.unique(ids)) - {0} == {s["id"] for s in panoptic[0]["segments"]}


@pytest.mark.parametrize(
    "command", [["refseg_ros.cli.main", "scenes", "--count", "1", "--out"], ["refseg_ros.sim.generate", "--workers=1"]],
    ids=["scenes", "generate"],
)  # fmt: skip
def test_a_renderer_that_does_not_start_ends_the_run_with_a_sentence(tmp_path, command):
    told = [sys.executable, "-m", *command, str(tmp_path / "d"), *(["1"] if "generate" in command[0] else [])]
    environment = os.environ | {"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "99"}
    done = subprocess.run(told, env=environment, timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "Traceback" not in done.stderr
    assert "The renderer does not start" in done.stderr and "requirements/sim.txt" in done.stderr


def _killed(engine, job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_renderer_that_is_killed_ends_the_run_with_a_sentence():
    with pytest.raises(RendererFailed, match=r"memory ran out.*fewer --workers"):
        list(rendered(_killed, [1, 2, 3], (64, 48), 1))


@pytest.mark.parametrize("wrong", [["--size", "640"], ["--size", "0x480"], ["--workers", "0"]])
def test_the_generator_refuses_what_it_cannot_do(tmp_path, wrong, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generate", str(tmp_path), "1", *wrong])
    with pytest.raises(SystemExit):
        generate.main()
    assert wrong[0] in capsys.readouterr().err


def test_assets_that_are_missing_or_cannot_be_kept_are_said_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REFSEG_ASSET_CACHE", str(tmp_path / "file" / "x"))
    arguments = ["scenes", "--out", str(tmp_path / "d"), "--count", "1"]
    assert cli(arguments) == 64
    assert f"{tmp_path / 'file' / 'x'}: Not a directory; check " in capsys.readouterr().err
    monkeypatch.setattr(assets, "_package_folder", lambda _: None)
    assert cli(arguments) == 64
    assert "requirements/assets.txt" in capsys.readouterr().err


def test_what_writes_scenes_loads_without_opengl():
    code = "import sys, refseg_ros.sim.dataset, refseg_ros.sim.generate; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_pixel_belongs_to_one_segment_at_most(scene):
    ids, listed = segments(scene)
    assert set(np.unique(ids)) - {0} == {s["id"] for s in listed}
    for segment in listed:
        pixels = ids == segment["id"]
        if segment["stuff"]:
            np.testing.assert_array_equal(pixels, scene.stuff_ids == pool.STUFF.index(segment["name"]))
        else:
            o = scene.objects[segment["id"] - 1]
            assert segment["name"] == o.noun
            np.testing.assert_array_equal(pixels, scene.instance_ids == o.id)


def test_only_the_three_splits(tmp_path):
    with pytest.raises(ValueError, match="train, val, test"):
        write_dataset(tmp_path, 1, split="other")


def test_a_dataset_grows_over_what_is_there_and_nothing_else_is_taken_for_it(tmp_path, monkeypatch):
    made = []

    def as_rendered(function, jobs, size, workers):
        for path, _, numbered in jobs:
            made.extend(n for n, _ in numbered)
            scenes = [{"objects": [], "said": [], "lines": [{"seed": s}], "panoptic": {}} for _, s in numbered]
            path.write_text(json.dumps(scenes))
            yield path

    monkeypatch.setattr(dataset, "rendered", as_rendered)
    assert write_dataset(tmp_path, 13, split="test") == 13
    made.clear()
    assert write_dataset(tmp_path, 25, split="test") == 25
    assert made == list(range(10, 25))  # the shard that was full is kept
    seeds = [json.loads(line)["seed"] for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert seeds == list(scene_seeds(25, 0, "test"))
    for count, seed, split in ((13, 0, "test"), (25, 1, "test"), (25, 0, "val")):
        with pytest.raises(ValueError, match="25 scenes of test, seed 0"):
            write_dataset(tmp_path, count, seed, split)


def test_the_sensor_has_holes_noise_and_flying_pixels(scene):
    sensor, rng = SensorModel(), np.random.default_rng(0)
    depth = sensor.depth(scene.depth, rng)
    valid = depth > 0
    assert 0.5 < valid.mean() < 1
    error = np.abs(depth - scene.depth)[valid]
    assert 0 < np.median(error) < 0.005 and error.max() > 0.02
    color = sensor.color(scene.rgb, rng)
    assert color.dtype == np.uint8 and 0 < np.abs(color.astype(int) - scene.rgb).mean() < 30
    again = sensor.depth(scene.depth, np.random.default_rng(0))
    np.testing.assert_array_equal(again, depth)


@pytest.mark.parametrize("wrong", [{"read_noise": -1}, {"flying_share": 2}, {"min_m": 5.0}, {"depth_noise": np.nan}])
def test_impossible_sensors_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SensorModel(**wrong)
