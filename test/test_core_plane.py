"""The supporting plane: found among clutter, followed, refused where things do not stand on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refseg_ros.core.plane import PlaneConfig, PlaneTracker, plane_of

NONE = np.zeros((0, 3))


def samples(rng, normal=(0.1, -0.8, -0.6), offset=0.7, count=1500, clutter=0.4, noise=0.0012, lift=0.0):
    """Rows (x/z, y/z, 1/z) of pixels that see a plane `lift` metres above that at `offset`, and clutter before it."""
    normal = np.array(normal) / np.linalg.norm(normal)
    rays = np.column_stack([rng.uniform(-0.5, 0.5, count), rng.uniform(-0.2, 0.6, count), np.ones(count)])
    z = -(offset - lift) / (rays @ normal)
    assert (z > 0).all()
    z += rng.normal(0, noise, count) * z**2
    near = rng.random(count) < clutter
    z[near] *= rng.uniform(0.6, 0.95, int(near.sum()))
    return np.column_stack([rays[:, :2], 1 / z]), normal


@pytest.mark.parametrize("seed", range(8))
def test_a_table_under_clutter(seed):
    rng = np.random.default_rng(seed)
    rows, normal = samples(rng)
    things, _ = samples(rng, lift=0.04, count=200, clutter=0)
    plane = PlaneTracker().find(rows[:, :2], rows[:, 2], things)
    assert np.degrees(np.arccos(normal @ plane.normal)) < 0.3
    assert abs(plane.offset_m - 0.7) < 0.002


def test_it_is_followed_and_found_again_after_a_jump():
    rng, tracker = np.random.default_rng(0), PlaneTracker()
    for offset in (0.7, 0.7005, 0.701, 0.4):  # the last one: the camera has moved
        rows, normal = samples(rng, offset=offset)
        things, _ = samples(rng, offset=offset, lift=0.03, count=200, clutter=0)
        plane = tracker.find(rows[:, :2], rows[:, 2], things)
        assert abs(plane.offset_m - offset) < 0.002 and np.degrees(np.arccos(normal @ plane.normal)) < 0.3


@pytest.mark.parametrize("seed", range(6))
def test_after_a_small_turn_the_old_plane_is_not_kept_half_right(seed):
    """A few degrees off, the old plane still agrees with a wide strip of the new one."""
    rng, tracker = np.random.default_rng(seed), PlaneTracker()
    for turn in (0.0, 0.02, -0.03, 0.06, -0.02):
        rows, normal = samples(rng, normal=(0.1 + turn, -0.8, -0.6 + turn), clutter=0.2)
        things, _ = samples(rng, normal=(0.1 + turn, -0.8, -0.6 + turn), lift=0.03, count=200, clutter=0)
        plane = tracker.find(rows[:, :2], rows[:, 2], things)
        assert abs(plane.offset_m - 0.7) < 0.001 and np.degrees(np.arccos(normal @ plane.normal)) < 0.1


def test_the_same_samples_give_the_same_plane():
    rows, _ = samples(np.random.default_rng(3))
    things, _ = samples(np.random.default_rng(4), lift=0.03, count=100, clutter=0)
    assert PlaneTracker().find(rows[:, :2], rows[:, 2], things) == PlaneTracker().find(rows[:, :2], rows[:, 2], things)


def test_a_wall_behind_things_that_stand_on_a_small_table_is_no_support():
    rng = np.random.default_rng(5)
    wall, _ = samples(rng, normal=(0, 0, -1), offset=2.0, count=1500, clutter=0)
    table, normal = samples(rng, count=900, clutter=0)
    things, _ = samples(rng, lift=0.03, count=300, clutter=0)
    rows = np.concatenate([wall, table])
    plane = PlaneTracker().find(rows[:, :2], rows[:, 2], things)
    assert np.degrees(np.arccos(normal @ plane.normal)) < 0.3
    assert PlaneTracker().find(wall[:, :2], wall[:, 2], things) is None


def test_nothing_flat_no_samples_and_things_below():
    rng = np.random.default_rng(6)
    rows, _ = samples(rng)
    below, _ = samples(rng, lift=-0.05, count=100, clutter=0)
    above, _ = samples(rng, lift=0.03, count=100, clutter=0)
    assert PlaneTracker().find(rows[:, :2], rows[:, 2], below) is None
    assert PlaneTracker().find(rows[:10, :2], rows[:10, 2], above) is None
    assert PlaneTracker().find(rows[:, :2], rows[:, 2], NONE) is None
    assert PlaneTracker().find(rows[:, :2], rng.uniform(0.1, 10, len(rows)), above) is None
    line = np.tile(rows[:1], (500, 1))
    assert PlaneTracker().find(line[:, :2], line[:, 2], above) is None


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (80, 3), elements=st.floats(-1e4, 1e4)),
    hnp.arrays(np.float64, (20, 3), elements=st.floats(0.1, 20)),
)
def test_any_samples_give_a_plane_or_none(rows, things):
    rows[:, 2] = np.abs(rows[:, 2]) + 0.1
    plane = PlaneTracker(PlaneConfig(min_samples=3, min_share=0.01)).find(rows[:, :2], rows[:, 2], things)
    assert plane is None or np.isfinite(plane.offset_m)


def test_the_normal_looks_at_the_camera():
    plane = plane_of(np.array([0.0, 0.0, 0.5]))
    assert plane.normal == (0.0, 0.0, -1.0) and plane.offset_m == 2.0


@pytest.mark.parametrize(
    ("name", "value"), [("tolerance", -1.0), ("min_share", 1.0), ("min_samples", 2), ("contact_m", 0.0)]
)
def test_config_is_validated(name, value):
    with pytest.raises(ValueError, match=name):
        PlaneConfig(**{name: value})
