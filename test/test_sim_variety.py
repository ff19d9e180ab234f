"""Varied scenes: repeatable and true, held-out things kept apart; datasets go on where they stopped, and count."""

from __future__ import annotations

import importlib.util
import json
import random
from dataclasses import replace

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

from refseg_ros.sim import assets, dataset, holdout
from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions import Expression, expressions
from refseg_ros.sim.expressions.appearance import appearance
from refseg_ros.sim.generate import generate
from refseg_ros.sim.outline import outline_px
from refseg_ros.sim.paint import PAINTS, drawn_paint
from refseg_ros.sim.plainly import told
from refseg_ros.sim.scene import Scene, SceneObject
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.settling import settle
from refseg_ros.sim.splits import SPLIT_SEEDS, split_of
from refseg_ros.sim.stored import load_scene
from refseg_ros.sim.style import CALM, VARIED, SceneStyle

needs_assets = pytest.mark.skipif(not assets.sources(), reason="no asset wheel is installed (requirements/assets.txt)")
SEEDS = range(6)


@pytest.fixture(scope="module")
def engine():
    with SceneEngine(width=160, height=120) as engine:
        yield engine


@pytest.fixture(scope="module")
def scenes(engine):
    return [engine.scene(seed, count=(6, 12), style=VARIED, split="train") for seed in SEEDS]


@needs_assets
def test_varied_scenes_are_repeatable_and_leave_calm_ones_as_they_are(engine, scenes):
    calm = engine.scene(3)
    again = engine.scene(SEEDS[2], count=(6, 12), style=VARIED, split="train")
    np.testing.assert_array_equal(again.rgb, scenes[2].rgb)
    assert again.objects == scenes[2].objects
    after = engine.scene(3)
    np.testing.assert_array_equal(after.rgb, calm.rgb)
    assert after.objects == calm.objects and not any(o.paint or o.key.startswith("shape:") for o in calm.objects)


@needs_assets
def test_a_scene_whose_physics_fails_is_drawn_anew(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried = []

    def failing_first(pool, indices, early):
        tried.append(list(indices))
        if len(tried) % 2:
            pool.data.qvel[pool.dof[indices[0]]] = np.nan
        return settle(pool, indices, early)

    plain = engine.scene(4, count=(6, 12), style=VARIED, split="train")
    monkeypatch.setattr("refseg_ros.sim.engine.settle", failing_first)
    first, second = (engine.scene(4, count=(6, 12), style=VARIED, split="train") for _ in range(2))
    assert len(tried) == 4 and tried[0] != tried[1]
    assert first.objects == second.objects != plain.objects and any(o.visible_px for o in first.objects)
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()
    monkeypatch.setattr("refseg_ros.sim.engine.settle", lambda *_, **__: False)
    with pytest.raises(RuntimeError, match="take another seed"):
        engine.scene(4)


@needs_assets
def test_cameras_tints_and_shapes_vary(scenes):
    keys = [o.key for s in scenes for o in s.objects]
    assert any(k.startswith("shape:") for k in keys) and any(o.paint for s in scenes for o in s.objects)
    down = [np.degrees(np.arcsin(-s.t_world_camera[2, 2])) for s in scenes]
    assert max(down) - min(down) > 20
    shares = [o.visible_fraction for s in scenes for o in s.objects if o.visible_px]
    assert min(shares) < 0.7 and max(shares) > 0.95


@needs_assets
def test_painted_things_look_like_their_paint(engine):
    hue = {"red": 0, "green": 1, "blue": 2}
    seen = 0
    for seed in range(30):
        scene = engine.scene(seed, count=(10, 12), style=replace(VARIED, light_oddity=0.0, tint_share=1.0))
        for o in scene.objects:
            if o.paint in hue and o.visible_px > 150:
                mean = scene.rgb[scene.instance_ids == o.id].astype(float).mean(0)
                assert np.argmax(mean) == hue[o.paint], (seed, o)
                seen += 1
    assert seen > 10


def test_a_colour_must_be_told_in_the_light_there_is():
    def all_of(*rgb):
        return np.full((50, 3), rgb, np.uint8)

    assert told(all_of(200, 195, 190), ("white",), False) and not told(all_of(80, 80, 82), ("white",), False)
    assert told(all_of(90, 90, 90), ("gray",), True) and not told(all_of(220, 220, 220), ("gray",), True)
    assert told(all_of(150, 30, 30), ("red",), True) and not told(all_of(30, 10, 10), ("red",), True)
    assert not told(all_of(120, 95, 90), ("red",), True) and told(all_of(120, 95, 90), ("red", "white"), False)
    assert told(np.zeros((0, 3), np.uint8), ("red",), True)
    dim = appearance("porcelain_mug", "", False)
    assert (dim.colours, dim.colour("white"), dim.colour("gray"), dim.colour("red")) == ((), 1, 1, 0)


@needs_assets
def test_sizes_are_of_things_as_they_lie(scenes):
    for scene in scenes:
        for o in scene.objects:
            if not o.key.startswith("shape:"):
                made, lies = sorted(CATALOGUE[o.key].size_mm), sorted(1000 * s for s in o.size_m)
                assert max(lies) < 1.5 * max(made) + 5 and o.size_m[2] > 0.009


@needs_assets
def test_training_never_shows_what_is_held_out_and_tests_do(engine):
    train = [engine.scene(s, count=(8, 12), style=VARIED, split="train") for s in range(8)]
    assert not any(holdout.held_out(o.key, o.paint) for s in train for o in s.objects)
    test = [engine.scene(s, count=(4, 6), style=VARIED, split="test") for s in range(8)]
    with_some = sum(any(holdout.held_out(o.key, o.paint) for o in s.objects) for s in test)
    assert 2 <= with_some <= 8
    with pytest.raises(ValueError, match="split must be"):
        engine.scene(0, split="other")
    known = set(engine.pool.surfaces)
    assert set(holdout.SURFACES) <= known
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert not set(engine._surfaces(rng, VARIED, "train")) & set(holdout.SURFACES)


def test_what_is_held_out_exists_and_is_told_apart():
    nouns = {e.noun for e in CATALOGUE.values()}
    assert set(holdout.NOUNS) <= nouns and {n for n, _ in holdout.PAIRS} <= nouns
    assert {c for _, c in holdout.PAIRS} <= set(PAINTS) | {c for e in CATALOGUE.values() for c in e.colours}
    for noun in holdout.NOUNS:  # its category is trained on other things
        (category,) = {e.category for e in CATALOGUE.values() if e.noun == noun}
        assert any(e.category == category and e.noun not in holdout.NOUNS for e in CATALOGUE.values())
    assert holdout.held_out("popcorn") and holdout.held_out("porcelain_mug", "blue")
    assert not holdout.held_out("porcelain_mug") and not holdout.held_out("shape:block", "blue")
    assert not holdout.held_out("yellow_milk", "red") and holdout.held_out("yellow_milk")
    for said in (
        "the blue mug", "grab the box of popcorn", "the blue cup", "the violet bowl", "two ramekins",
        "the mug that is blue", "the milk which is yellow", "the green one of the plates",
        "all the green bottles of ketchup", "the blue and white mug",
    ):  # fmt: skip
        assert holdout.speaks_of_held_out(said), said
    for said in (
        "the mug left of the blue bowl", "the bowl", "the purple book", "the ketchup", "the blue can left of the mug",
        "the mug that is not blue",
    ):  # fmt: skip
        assert not holdout.speaks_of_held_out(said), said


@needs_assets
def test_the_test_split_names_held_out_things_under_types_of_their_own(engine):
    found = set()
    for seed in range(2_000_000, 2_000_014):
        scene = engine.scene(seed, count=(4, 8), style=VARIED, split="test")
        for e in dataset.chosen(scene, "test"):
            found.add(e.type)
            if e.type.startswith("held-out"):
                (meant,) = (o for o in scene.objects if o.id in e.targets[0])
                assert holdout.held_out(meant.key, meant.paint)
                assert (e.type == "held-out-noun") <= (not holdout.speaks_of_held_out(e.text))
            if e.type == "attribute":
                assert not holdout.speaks_of_held_out(e.text), e.text
        for e in dataset.chosen(scene, "train"):
            assert isinstance(e, Expression) and not holdout.speaks_of_held_out(e.text)
    assert {"held-out-noun", "held-out-name", "held-out-pair"} <= found


@needs_assets
def test_quick_outlines_are_near_the_exact_ones(engine):
    engine.scene(1, count=(8, 10))
    scene = engine.look()
    to_camera = np.linalg.inv(scene.t_world_camera)
    focal = 600.0
    for index in range(0, len(engine.pool.keys), 5):
        lying = engine.pool.triangles(index) - engine.pool.data.xpos[engine.pool.body[index]] + [0, 0, 0.45]
        seen = lying @ to_camera[:3, :3].T + to_camera[:3, 3]
        exact, quick = (outline_px(seen, focal, exact=e) for e in (True, False))
        assert abs(quick / exact - 1) < 0.12, engine.pool.keys[index]
    assert outline_px(np.full((1, 3, 3), -1.0), focal) == 0


def test_paints_keep_clear_of_a_things_own_colours():
    rng = np.random.default_rng(0)
    assert drawn_paint("rs_lemon", 1.0, rng) == ""
    drawn = {drawn_paint("red_coffee_mug", 1.0, rng) for _ in range(60)}
    assert "red" not in drawn and "" not in drawn and drawn <= set(PAINTS)
    assert all(appearance("milk", p).noun == "carton" for p in PAINTS)


@pytest.mark.parametrize(
    "wrong",
    [{"elevation_deg": (10, 95)}, {"distance_m": (0.1, 1)}, {"tint_share": 2}, {"shapes": (3, 1)}, {"crowding": 0.1}],
)
def test_impossible_styles_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SceneStyle(**wrong)


def test_only_the_default_style_is_calm():
    assert CALM.calm and not VARIED.calm


def test_splits_by_seed():
    assert [split_of(s) for s in (0, 999_999, 1_000_000, 2_000_005, 3_000_000)] == [
        "train", "train", "val", "test", "train",
    ]  # fmt: skip
    assert [split_of(s) for s in SPLIT_SEEDS.values()] == list(SPLIT_SEEDS)


@needs_assets
@pytest.mark.slow
def test_datasets_go_on_where_they_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "SHARD", 1)
    make = {"count": 2, "seed": 3, "split": "test", "size": (96, 72)}
    lines = dataset.write_dataset(tmp_path / "a", workers=2, **make)
    index = (tmp_path / "a" / "index.jsonl").read_text()
    assert lines == len(index.splitlines()) > 20
    pictures = {p.name: p.read_bytes() for p in (tmp_path / "a").glob("*/*.png")}
    (tmp_path / "a" / "shards" / "0001.json").unlink()
    (tmp_path / "a" / "index.jsonl").unlink()
    kept = (tmp_path / "a" / "shards" / "0000.json").stat().st_mtime_ns
    assert dataset.write_dataset(tmp_path / "a", workers=1, **make) == lines
    assert (tmp_path / "a" / "shards" / "0000.json").stat().st_mtime_ns == kept
    assert (tmp_path / "a" / "index.jsonl").read_text() == index
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").glob("*/*.png")} == pictures
    card = json.loads((tmp_path / "a" / "card.json").read_text())
    assert (card["scenes"], card["expressions"], card["split"]) == (2, lines, "test")
    assert sum(card["types"].values()) == sum(card["targets"].values()) == lines
    assert "| type | expressions |" in (tmp_path / "a" / "README.md").read_text()
    with pytest.raises(ValueError, match="another dataset"):
        dataset.write_dataset(tmp_path / "a", **make | {"seed": 4})


@needs_assets
@pytest.mark.slow
def test_training_files_say_nothing_that_is_held_out(tmp_path):
    assert generate(tmp_path, 2, 50, 160, 120, workers=1) == 2
    assert generate(tmp_path, 2, 50, 160, 120, workers=1) == 0
    assert json.loads((tmp_path / "card.json").read_text())["scenes"] == 2
    for path in tmp_path.glob("*.npz"):
        scene = load_scene(path)
        assert scene.t_world_camera is not None and scene.stuff_ids is not None
        assert scene.expressions and not any(holdout.speaks_of_held_out(e["text"]) for e in scene.expressions)


def test_sensors_differ_and_stay_possible():
    rng = np.random.default_rng(0)
    drawn = [SensorModel.drawn(rng) for _ in range(200)]
    assert len(set(drawn)) == 200
    assert any(s.motion_px for s in drawn) and any(s.holes for s in drawn) and any(s.vignette for s in drawn)


def test_smears_corners_and_patches():
    rng = np.random.default_rng(1)
    off = {n: 0 for n in ("read_noise", "shot_noise", "blur_px", "exposure", "white_balance", "jpeg_quality")}
    dot = np.zeros((60, 80, 3), np.uint8)
    dot[30, 40] = 255
    smeared = SensorModel(**off, motion_px=9).color(dot, rng)
    assert 5 <= np.count_nonzero(smeared[..., 0]) <= 30 and smeared.max() < 120
    grey = np.full((60, 80, 3), 200, np.uint8)
    dark = SensorModel(**off, vignette=0.5).color(grey, rng)
    assert dark[30, 40, 0] == 200 and abs(int(dark[0, 0, 0]) - 100) < 3
    flat = np.full((60, 80), 1, np.float32)
    lost = SensorModel(depth_noise=0, flying_share=0, hole_share=0, grazing_share=0, holes=3).depth(flat, rng)
    assert 0 < np.count_nonzero(lost == 0) < 600


@needs_assets
def test_varied_words_hold_for_varied_scenes(scenes):
    for scene in scenes:
        by_id = {o.id: o for o in scene.objects}
        for e in expressions(scene, random.Random(scene.seed), most=20):
            for ids in e.targets:
                for i in ids:
                    assert by_id[i].visible_fraction >= 0.25
            if e.type == "absent-name":
                names = {n for o in scene.objects if o.visible_px for n in appearance(o.key, o.paint).names}
                assert e.phrases[0].removeprefix("the ") not in names


def test_a_colour_that_the_sensor_took_away_is_not_said():
    place = ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0))
    thing = SceneObject(0, "porcelain_mug", "mug", "cup", ("blue",), *place, 100, None, 1.0, "blue")
    rgb = np.full((20, 20, 3), (30, 60, 200), np.uint8)
    scene = Scene(0, rgb, np.ones((20, 20), np.float32), np.zeros((20, 20), np.int16), np.eye(3), np.eye(4), (thing,))
    assert dataset.as_shown(scene, rgb).objects[0].colour_told
    assert not dataset.as_shown(scene, (rgb * 0.1).astype(np.uint8)).objects[0].colour_told
