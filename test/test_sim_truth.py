"""What is said of a scene holds for a viewer, not only for coordinates; seeds, sensors and caches keep apart."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

from refseg_ros.sim import assets
from refseg_ros.sim.catalogue import CATALOGUE, COLOURS
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions import Expression, expressions
from refseg_ros.sim.scene import Scene, SceneObject
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.splits import SPLIT_SEEDS, scene_seeds

FOCAL, WIDTH, HEIGHT = 400.0, 640, 480


def camera(pitch_degrees: float) -> np.ndarray:
    """Optical frame to world: the viewer looks along world +y, tilted down; world x is to the right."""
    a = np.radians(pitch_degrees)
    forward, right = np.array([0, np.cos(a), -np.sin(a)]), np.array([1.0, 0, 0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = -1.0 * forward
    return pose


def made(*things: tuple, pitch: float = 35) -> Scene:
    """A scene of (key, world position, pixels, inside) without a renderer: each thing a block around its centre."""
    pose = camera(pitch)
    k = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
    ids = np.full((HEIGHT, WIDTH), -1, np.int16)
    objects = []
    for number, (key, position, pixels, *inside) in enumerate(things):
        x, y, z = np.linalg.inv(pose)[:3] @ [*position, 1]
        u, v = int(FOCAL * x / z + WIDTH / 2), int(FOCAL * y / z + HEIGHT / 2)
        if pixels:
            ids[v - 5 : v + 5, u - 5 : u + 5] = number
        e = CATALOGUE[key]
        objects.append(
            SceneObject(
                number, key, e.noun, e.category, e.colours, tuple(position), (x, y, z), (x, y, z), pixels,
                inside[0] if inside else None, 1.0,
            )
        )
    rgb, depth = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.ones(ids.shape, np.float32)
    return Scene(0, rgb, depth, ids, k, pose, tuple(objects))


def said(scene: Scene) -> dict[str, Expression]:
    return {e.text: e for e in expressions(scene)}


def test_a_name_that_begins_with_a_colour_is_a_name():
    texts = said(made(("orange_juice", (0, 0, 0), 900)))
    assert texts["the orange juice"].type == "name"
    assert texts["the orange orange juice"].type == "attribute"
    assert said(made(("white_porcelain_mug", (0, 0, 0), 900)))["the gold mug"].type == "attribute"


def test_left_is_said_where_space_and_picture_agree():
    near, far = ("milk", (-0.15, -0.3, 0), 900), ("rs_bread", (-0.22, 0.4, 0), 900)
    texts = said(made(near, far))  # the bread is further left in metres, the milk in the picture
    assert "the leftmost object" not in texts
    assert not any(" left of " in t or " right of " in t for t in texts)
    texts = said(made(("milk", (-0.2, 0, 0), 900), ("rs_bread", (0.2, 0, 0), 900)))
    assert texts["the leftmost object"].targets == (frozenset([0]),)
    assert texts["the milk left of the bread"].targets == (frozenset([0]),)
    assert texts["the bread left of the milk"].targets == (frozenset(),)


def test_tall_things_are_not_nearer_for_being_tall():
    texts = said(made(("wine_bottle", (0, 0.0, 0.12), 900), ("plate", (0.02, 0.0, 0.0), 900), pitch=65))
    assert not any("in front of" in t or "behind" in t for t in texts if texts[t].targets[0])
    texts = said(made(("wine_bottle", (0, 0.2, 0.12), 900), ("plate", (0.02, 0.0, 0.0), 900), pitch=65))
    assert texts["the wine bottle behind the plate"].targets == (frozenset([0]),)
    assert texts["the wine bottle in front of the plate"].targets == (frozenset(),)


def test_hardly_visible_things_make_claims_about_everything_impossible():
    row = [("milk", (-0.2, 0, 0), 900), ("rs_bread", (0.2, 0, 0), 900)]
    assert "the rightmost object" in said(made(*row))
    assert "the rightmost object" in said(made(*row, ("plate", (0.3, 0, 0), 0)))  # out of the picture
    texts = said(made(*row, ("plate", (0.3, 0, 0), 20)))
    assert "the rightmost object" not in texts and "the plate" not in texts
    texts = said(made(*row, ("yellow_milk", (0.3, 0, 0), 20)))
    assert "the milk" not in texts and "the yellow milk" not in texts


def test_containers_name_what_lies_in_them_and_nothing_lies_left_of_its_bowl():
    texts = said(made(("basket", (0, 0, 0), 900), ("rs_lemon", (-0.08, 0, 0.05), 200, 0), ("milk", (0.3, 0, 0), 900)))
    assert texts["the lemon in the basket"].targets == (frozenset([1]),)
    assert texts["everything in the basket"].targets == (frozenset([1]),)
    assert texts["the milk in the basket"] == Expression(
        "the milk in the basket", "absent-relation", ("the milk in the basket",), (frozenset(),)
    )
    assert not any("lemon" in t.split(" of ")[0] and "of the basket" in t for t in texts)


def test_colours_that_could_be_argued_about_are_not_called_absent():
    texts = said(made(("white_porcelain_mug", (0, 0, 0), 900)))  # gold
    assert "the yellow mug" not in texts and texts["the blue mug"].type == "absent-attribute"
    assert "the ramekin" not in said(made(("white_bowl", (0, 0, 0), 900)))


def test_several_equal_ones_are_ambiguous_or_all_of_them():
    texts = said(made(("milk", (-0.2, 0, 0), 900), ("yellow_milk", (0.2, 0, 0), 900)))
    assert (texts["the milk"].type, texts["the milk"].expect) == ("ambiguous", "AMBIGUOUS")
    assert texts["all the milks"].targets == (frozenset([0, 1]),)
    pair = texts["the red milk and the yellow milk"]
    assert pair.phrases == ("the red milk", "the yellow milk")
    assert pair.targets == (frozenset([0]), frozenset([1]))


def test_what_is_said_and_its_order_do_not_depend_on_the_process():
    code = (
        "import test_sim_truth as t; print([e.text for e in t.expressions(t.made(('basket', (0, 0, 0), 900),"
        "('rs_lemon', (-0.08, 0, 0.05), 200, 0), ('milk', (0.3, 0, 0), 900)))])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != ""


def test_no_two_splits_share_a_seed():
    ranges = [scene_seeds(10_000, seed, split) for seed in (0, 1, 99, 100, 199, 1234) for split in SPLIT_SEEDS]
    everything = sorted((r.start, r.stop) for r in ranges)
    assert all(a[1] <= b[0] for a, b in pairwise(everything))
    assert scene_seeds(5, 0, "val") == range(1_000_000, 1_000_005)
    for wrong in ((10_001, 0, "train"), (1, -1, "train"), (1, 0, "other")):
        with pytest.raises(ValueError, match="must be"):
            scene_seeds(*wrong)


def test_colours_of_the_catalogue_are_words():
    known = {*COLOURS, "gold", "silver", "beige"}
    for key, e in CATALOGUE.items():
        assert {*e.colours, *e.also, *e.two_tone} <= known and e.holds in ("", "in", "on"), key
        assert e.colours or e.also, key
        assert not set(e.colours) & set(e.also) and len(e.two_tone) in (0, 2), key


def test_a_sensor_without_faults_changes_nothing_but_rounding():
    off = SensorModel(**{n: 0 for n in ("read_noise", "shot_noise", "blur_px", "exposure", "white_balance")},
                      jpeg_quality=0, depth_noise=0, flying_share=0, hole_share=0, grazing_share=0)  # fmt: skip
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    depth = np.linspace(0.1, 5, 48 * 64, dtype=np.float32).reshape(48, 64)
    np.testing.assert_array_equal(off.color(rgb, rng), rgb)
    back = off.depth(depth, rng)
    inside = (depth > 0.201) & (depth < 3.999)
    assert np.abs(back - depth)[inside].max() < 0.00051
    assert not back[(depth < 0.199) | (depth > 4.001)].any()


def test_sensor_noise_has_the_strength_it_says_and_grazing_surfaces_lose_depth():
    rng = np.random.default_rng(0)
    grey = np.full((240, 320, 3), 100, np.uint8)
    noisy = SensorModel(read_noise=3, shot_noise=0, blur_px=0, exposure=0, white_balance=0, jpeg_quality=0)
    assert abs(float(noisy.color(grey, rng).std()) - 3) < 0.15
    flat = np.full((240, 320), 2, np.float32)
    error = SensorModel(depth_noise=0.001).depth(flat, rng) - flat
    assert abs(float(error.std()) - 0.004) < 0.0004
    steep = np.tile(np.exp(0.03 * np.arange(40)).astype(np.float32), (240, 1))
    assert abs(np.mean(SensorModel(grazing_share=0.2, hole_share=0).depth(steep, rng)[:, 1:-1] == 0) - 0.2) < 0.02
    with pytest.raises(ValueError, match="jpeg_quality"):
        SensorModel(jpeg_quality=101)


def test_no_wheel_gives_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "_package_folder", lambda _: None)
    monkeypatch.setenv("REFSEG_ASSET_CACHE", str(tmp_path))
    with pytest.raises(assets.AssetsMissing, match=r"requirements/assets\.txt"):
        SceneEngine()


def test_models_with_missing_parts_are_left_out(monkeypatch, tmp_path):
    for key, mesh in (("milk", "there.msh"), ("butter", "elsewhere.msh")):
        folder = tmp_path / "assets" / "stable_hope_objects" / key
        folder.mkdir(parents=True)
        (folder / f"{key}.xml").write_text(f'<mujoco><!-- <mesh file="old"/> --><mesh file="{mesh}"/></mujoco>')
        (folder / "there.msh").touch()
    monkeypatch.setattr(assets, "_package_folder", lambda name: None if name == "robosuite" else tmp_path)
    assert set(assets.sources()) == {"milk"}
    assert assets._cache_name({"milk": tmp_path}) != assets._cache_name({"butter": tmp_path})


@pytest.mark.skipif(not assets.sources(), reason="no asset wheel is installed (requirements/assets.txt)")
def test_shares_of_visible_outline_and_counts():
    with SceneEngine(width=320, height=240) as engine:
        scene = engine.scene(20, count=(6, 10), visibility=True)
        assert scene.table_height == pytest.approx(0.4)
        seen = [o for o in scene.objects if o.visible_px]
        assert all(0 < o.visible_fraction <= 1 for o in seen)
        assert np.median([o.visible_fraction for o in seen]) > 0.9
        hosts = {o.id for o in scene.objects if CATALOGUE[o.key].holds}
        assert all(o.inside in hosts for o in scene.objects if o.inside is not None)
        with pytest.raises(ValueError, match="count"):
            engine.scene(0, count=(5, 2))
    engine.close()  # twice is harmless
