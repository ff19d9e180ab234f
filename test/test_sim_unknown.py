"""Training's scenes show things with a label nobody knows, surfaces nobody photographed, packages on any side."""

import random

import numpy as np
import pytest

pytest.importorskip("mujoco")

from refseg_ros.sim import assets
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions.appearance import FALSE, MAYBE, TRUE, appearance
from refseg_ros.sim.expressions.grammar import expressions
from refseg_ros.sim.patterns import LABEL, SURFACE, label, surface
from refseg_ros.sim.placing import SIDES, pose
from refseg_ros.sim.pool import rotation
from refseg_ros.sim.shapes import UNKNOWN, flask
from refseg_ros.sim.style import TRAINING, VARIED

needs_assets = pytest.mark.skipif(not assets.sources(), reason="no asset wheel is installed (requirements/assets.txt)")


def test_patterns_are_pictures_that_differ_and_can_be_made_again():
    for drawn, shape in ((label, (6 * LABEL, LABEL, 3)), (surface, (SURFACE, SURFACE, 3))):
        pictures = [drawn(np.random.default_rng(n)) for n in range(8)]
        assert all(p.shape == shape and p.dtype == np.uint8 for p in pictures)
        assert len({p.tobytes() for p in pictures}) == 8
        np.testing.assert_array_equal(pictures[3], drawn(np.random.default_rng(3)))


def test_a_flask_is_closed_and_its_faces_look_outwards():
    for seed in range(10):
        vertices, faces = flask(np.random.default_rng(seed))
        edges = {(int(a), int(b)) for f in faces for a, b in zip(f, np.roll(f, -1), strict=True)}
        assert len(edges) == 3 * len(faces) and all((b, a) in edges for a, b in edges)
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
        assert 1e-5 < volume < 2e-3  # 10 ml to 2 l
        assert np.ptp(vertices, axis=0).max() < 0.25


def test_sides_are_the_six_of_a_box():
    up = {tuple(np.round(rotation(q)[2]).astype(int)) for q in SIDES}
    assert up == {(0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0)}
    rng = np.random.default_rng(0)
    assert len({tuple(np.round(rotation(pose(rng, "milk", 1.0))[2]).astype(int)) for _ in range(60)}) == 6
    assert len({tuple(np.round(rotation(pose(rng, "plate", 1.0))[2]).astype(int)) for _ in range(20)}) == 1


def test_what_nobody_knows_has_no_name_and_may_be_a_package():
    for key in sorted(set(UNKNOWN)):
        look = appearance(key)
        assert look.word("thing") == TRUE and look.word("tomato sauce") == FALSE and look.word("milk") == FALSE
        assert look.word({"shape:parcel": "box", "shape:drum": "can", "shape:flask": "bottle"}[key]) == MAYBE
        assert look.colour("red") == MAYBE
    assert appearance("shape:parcel").shaped("rectangular") == TRUE
    assert appearance("shape:drum").shaped("cylindrical") == TRUE
    assert appearance("shape:flask").made_of("metal") == MAYBE


@needs_assets
def test_training_scenes_show_them_and_other_scenes_do_not():
    with SceneEngine(width=160, height=120, unknown=True) as engine:
        scenes = [engine.scene(s, count=(4, 8), style=TRAINING, split="train") for s in range(6)]
        again = engine.scene(2, count=(4, 8), style=TRAINING, split="train")
        plain = [engine.scene(s, count=(4, 8), style=VARIED, split="val") for s in range(3)]
    np.testing.assert_array_equal(again.rgb, scenes[2].rgb)
    keys = {o.key for s in scenes for o in s.objects}
    assert len(keys & set(UNKNOWN)) == 3
    assert not {o.key for s in plain for o in s.objects} & set(UNKNOWN)
    for scene in scenes:
        unknown = {o.id for o in scene.objects if o.key in UNKNOWN}
        named = [e for e in expressions(scene, random.Random(0)) if e.type == "name"]
        assert named and not any(unknown & t for e in named for t in e.targets)
