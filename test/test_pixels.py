"""One way to count pixels, from the renderer to the network: (0, 0) is the first pixel's centre."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

import mujoco

from refseg_ros.core.camera import pixel_rays, project
from refseg_ros.core.files import read_camera
from refseg_ros.core.types import Frame, intrinsics_from_k
from refseg_ros.sim import assets
from refseg_ros.sim.dataset import write_dataset
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.stored import load_scene, save_scene

BALLS = {"ball0": (0.05, 0.02, 0.75), "ball1": (-0.15, 0.1, 0.7), "ball2": (0.1, -0.15, 0.65)}
RADIUS = 0.01
needs_assets = pytest.mark.skipif(not assets.sources(), reason="no asset wheel is installed (requirements/assets.txt)")


def add_balls(spec):
    spec.add_material(name="glowing", rgba=[1, 0, 1, 1], emission=1)  # of one colour, light and shadow aside
    for name, place in BALLS.items():
        body = spec.worldbody.add_body(pos=place)
        ball = {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "size": [RADIUS, 0, 0], "material": "glowing"}
        body.add_geom(name=name, contype=0, conaffinity=0, **ball)


@pytest.fixture(scope="module")
def shown():
    """A scene with the balls above it, and the pixels of each, bool (H, W)."""
    with SceneEngine(extend=add_balls) as engine:
        scene = engine.scene(3, count=(2, 3))
        _, geoms = engine.pool.renderer.depth_and_geoms()
        yield scene, [geoms == engine.pool.model.geom(name).id for name in BALLS]


@needs_assets
@pytest.mark.parametrize("drawn", ["identity", "colour"])
def test_a_known_point_is_drawn_at_the_pixel_that_it_projects_to(shown, drawn):
    scene, masks = shown
    to_camera = np.linalg.inv(scene.t_world_camera)
    places = np.array(list(BALLS.values())) @ to_camera[:3, :3].T + to_camera[:3, 3]
    pixels = project(places, intrinsics_from_k(scene.k, 640, 480))
    glow = np.minimum(scene.rgb[..., 0], scene.rgb[..., 2]).astype(int) - scene.rgb[..., 1] > 128
    off = []
    for pixel, mask in zip(pixels, masks, strict=True):
        far = np.hypot(*(np.indices(glow.shape)[::-1] - pixel[:, None, None]))
        rows, columns = np.nonzero(mask if drawn == "identity" else glow & (far < 20))
        assert len(rows) > 100
        off.append((columns.mean() - pixel[0], rows.mean() - pixel[1]))
    assert np.abs(np.mean(off, 0)).max() < 0.1, off  # a ball of 15 pixels has no middle to better than that by itself


@needs_assets
def test_the_truth_and_the_depth_say_the_same_place(shown):
    scene, _ = shown
    rays = pixel_rays(intrinsics_from_k(scene.k, 640, 480), 0, 0, 640, 480)
    for thing in scene.objects:
        inside = scene.instance_ids == thing.id
        if inside.any():
            points = np.dstack([rays, np.ones_like(scene.depth)])[inside] * scene.depth[inside][:, None]
            np.testing.assert_allclose(points.mean(0), thing.centroid_m, atol=1e-5)


@needs_assets
def test_files_keep_the_camera_and_older_ones_are_read_as_they_were_meant(shown, tmp_path):
    scene, _ = shown
    path = tmp_path / "scene_0000003.npz"
    save_scene(path, scene)
    np.testing.assert_array_equal(load_scene(path).k, scene.k)
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    from_corner = arrays.pop("camera")
    from_corner[:2, 2] += 0.5
    np.savez(path, **arrays, k=from_corner)
    np.testing.assert_allclose(load_scene(path).k, scene.k)


@needs_assets
def test_a_dataset_says_it_the_same_way(tmp_path):
    write_dataset(tmp_path, 1, size=(128, 96), workers=1)
    lines = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    camera = read_camera(lines[0]["camera"])
    assert (camera.cx, camera.cy) == (63.5, 47.5)


def test_the_network_is_told_the_middle_of_its_picture():
    model = pytest.importorskip("refseg_ros.models.compact.model")
    camera = intrinsics_from_k([500, 0, 319.5, 0, 500, 239.5, 0, 0, 1], 640, 480)
    frame = Frame(np.zeros((480, 640, 3), np.uint8), np.ones((480, 640), np.float32), camera)
    _, rays = model._geometry_of(frame, (320, 240), (240, 320))
    assert rays == (250.0, 160.0, 120.0)  # counted from the corner there: models/compact/tokens.py
