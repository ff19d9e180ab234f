"""Round things get the back that nobody saw, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from refseg_ros.core.camera import pixel_rays
from refseg_ros.core.hidden_back import HiddenBack
from refseg_ros.core.lifting import Lifter, LiftingConfig
from refseg_ros.core.types import Frame, Instance, Intrinsics, crop_mask

CAMERA = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
HEIGHT, AHEAD, TALL = 0.35, 0.7, 0.16  # metres: the camera above the table, the thing's axis before it, the thing
TILT = np.arctan2(HEIGHT - TALL / 2, AHEAD)


def seen(radii=(0.03, 0.03), turned=0.0, box=False, noise=0.0008, at=0.0):
    """A frame of an upright elliptic cylinder (or box) of half widths `radii` on a table, and its mask; no top."""
    rays = np.dstack([pixel_rays(CAMERA, 0, 0, 320, 240).astype(float), np.ones((240, 320))])
    down = np.array([0.0, np.cos(TILT), np.sin(TILT)])  # of the world, in the optical frame
    ahead = np.array([0.0, -np.sin(TILT), np.cos(TILT)])
    world = np.stack([rays[..., 0], rays @ ahead, -(rays @ down)], -1)  # x right, y ahead, z up, per metre of depth
    table = np.where(world[..., 2] < 0, -HEIGHT / world[..., 2], 0)
    c, s = np.cos(turned), np.sin(turned)
    turn = np.array([[c, s], [-s, c]]) / np.array(radii)[:, None]
    start, way = turn @ np.array([-at, -AHEAD]), world[..., :2] @ turn.T
    if box:
        with np.errstate(divide="ignore"):
            sides = np.stack([(np.array([-1, 1]) - start[n]) / way[..., n, None] for n in (0, 1)], -2)
        t = sides.min(-1).max(-1)
        hit = t < sides.max(-1).min(-1)
    else:
        a, b = (way**2).sum(-1), way @ start
        under = b * b - a * (start @ start - 1)
        hit, t = under > 0, (-b - np.sqrt(np.maximum(under, 0))) / a
    up = HEIGHT + t * world[..., 2]
    hit &= (up > 0) & (up < TALL)
    depth = np.where(hit, t, np.where(table > 0, table, 0))
    depth += np.random.default_rng(0).normal(0, noise, depth.shape) * depth**2
    return Frame(np.zeros((240, 320, 3), np.uint8), depth.astype(np.float32), CAMERA), hit


def lift(frame, mask, **config):
    (o,) = Lifter(LiftingConfig(**config)).lift(frame, [Instance(1, 0, 1.0, *crop_mask(mask))])
    assert o.valid and o.plane is not None
    return o


@pytest.mark.parametrize("at", [-0.15, 0.0, 0.1])
@pytest.mark.parametrize(("radii", "turned"), [((0.03, 0.03), 0.0), ((0.035, 0.025), 0.5), ((0.025, 0.035), 0.0)])
def test_a_round_thing_is_as_deep_as_it_is(radii, turned, at):
    frame, mask = seen(radii, turned, at=at)
    o = lift(frame, mask)
    assert o.back_inferred
    np.testing.assert_allclose(o.obb.size_m[:2], sorted(np.multiply(radii, 2))[::-1], rtol=0.15)
    plain = lift(frame, mask, hidden_back=None)
    assert not plain.back_inferred and plain.obb.size_m[1] < 0.8 * o.obb.size_m[1]
    assert plain.centroid_m == o.centroid_m and len(plain.points) == len(o.points)  # of what is seen, both
    assert o.obb.center_m[2] > plain.obb.center_m[2] + 0.004


@pytest.mark.parametrize("turned", [0.0, 0.3, np.pi / 4])
def test_a_box_gets_nothing_that_was_not_seen(turned):
    o = lift(*seen((0.04, 0.03), turned, box=True))
    assert not o.back_inferred


def test_what_is_cut_off_or_hidden_gets_no_back():
    frame, mask = seen()
    frame.depth[:, :150] = 0.3
    assert not lift(frame, mask & (np.arange(320) >= 150)).back_inferred
    frame, mask = seen(at=-0.36)
    assert mask[:, 0].any() and not lift(frame, mask).back_inferred


@pytest.mark.parametrize(
    ("name", "value"), [("misfit", 0.0), ("skew", float("nan")), ("flattest", 2.0), ("round_depth", (1.2, 0.8))]
)
def test_values_that_cannot_be_are_refused(name, value):
    with pytest.raises(ValueError, match=r"HiddenBack"):
        HiddenBack(**{name: value})
