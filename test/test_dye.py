"""Dyes: the main colour turns, markings stay, names stay true, and nothing that is held out comes about."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from refseg_ros.sim import holdout
from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.dye import BRIGHT, HUES, LEAST_PX, dyed
from refseg_ros.sim.expressions.appearance import FALSE, MAYBE, TRUE, appearance
from refseg_ros.sim.scene import Scene, SceneObject

RED, WHITE, BLUE = (205, 40, 30), (235, 235, 235), (20, 40, 200)


def scene(*things, side=20):
    """Things side by side: (key, colour of its upper three quarters, colour of the rest)."""
    rgb = np.full((side, side * len(things), 3), 128, np.uint8)
    ids = np.full(rgb.shape[:2], -1, np.int16)
    objects = []
    for n, (key, main, marking) in enumerate(things):
        cut = slice(n * side + 1, (n + 1) * side - 1)
        rgb[:15, cut], rgb[15:, cut], ids[:, cut] = main, marking, n
        look = appearance(key)
        objects.append(
            SceneObject(n, key, look.noun, look.category, look.colours, (0, 0, 0), (0, 0, 1), None, 18 * side, None, 1)
        )
    return Scene(1, rgb, np.ones(rgb.shape[:2], np.float32), ids, np.eye(3), np.eye(4), tuple(objects))


def several(before, count=120):
    """(after, thing) of every time that the first thing was changed."""
    all_ = (dyed(before, np.random.default_rng(seed)) for seed in range(count))
    return [(after, after.objects[0]) for after in all_ if after.objects[0] != before.objects[0]]


def hue(pixel):
    return colorsys.rgb_to_hsv(*(float(v) / 255 for v in pixel))[0] * 180


def test_the_main_colour_turns_and_markings_and_other_things_stay():
    before = scene(("milk", RED, WHITE), ("rs_lemon", (240, 220, 30), WHITE))
    changed = several(before)
    assert 20 < len(changed) < 80
    assert {o.dye for _, o in changed} == {"orange", "purple"}  # yellow is held out, the others are on it anyway
    for after, thing in changed:
        off = abs((hue(after.rgb[5, 5]) - HUES[thing.dye] + 90) % 180 - 90)
        assert off < 6 and thing.colours[0] == thing.dye and thing.noun == "milk" and not thing.paint
        assert (after.rgb[16:, :20] == before.rgb[16:, :20]).all() and (after.rgb[:, 20:] == before.rgb[:, 20:]).all()
        assert max(after.rgb[5, 5]) == pytest.approx(max(RED), abs=3)
    assert (before.rgb[5, 5] == RED).all()


def test_white_china_is_tinted_and_plates_with_a_rim_are_left():
    changed = several(scene(("white_bowl", WHITE, WHITE)))
    assert {"red", "blue", "black"} <= {o.paint for _, o in changed}
    assert not {"purple", "white"} & {o.paint for _, o in changed} and all(o.noun == "bowl" for _, o in changed)
    assert not several(scene(("plate", WHITE, RED))) and not several(scene(("rs_milk", WHITE, WHITE)))


def test_what_is_dark_turns_into_no_colour_that_is_bright():
    dark = several(scene(("tomato_sauce", (90, 15, 12), (90, 15, 12))))
    assert dark and not BRIGHT & {o.dye for _, o in dark}


def test_a_thing_whose_colour_does_not_show_is_left():
    assert not several(scene(("milk", WHITE, WHITE))) and not several(scene(("tomato_sauce", BLUE, BLUE)))
    few = scene(("milk", RED, RED), side=20)
    few.instance_ids[:, 2:] = -1
    assert (few.instance_ids == 0).sum() < LEAST_PX and not several(few)


def test_nothing_held_out_comes_about():
    things = [(k, RED if "red" in e.colours else BLUE, WHITE) for k, e in CATALOGUE.items() if e.colours]
    before = scene(*[t for t in things if not holdout.held_out(t[0])])
    for seed in range(40):
        after = dyed(before, np.random.default_rng(seed))
        assert not any(holdout.held_out(o.key, o.paint or o.dye) for o in after.objects)


def test_what_may_be_said_of_a_dyed_thing():
    look = appearance("milk", dye="purple")
    assert look.noun == "milk" and look.colour("purple") == TRUE and look.colour("red") == MAYBE
    assert look.two_colours(frozenset({"purple", "white"})) == TRUE
    assert look.two_colours(frozenset({"red", "white"})) == MAYBE and not look.details
    assert look.colour("yellow") == FALSE and appearance("milk").colour("red") == TRUE
    assert appearance("milk", colour_told=False, dye="purple").colour("purple") == MAYBE
