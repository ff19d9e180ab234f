"""The torch path gives the core's answer, bit for bit."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

from refseg_ros.core import surface  # noqa: E402
from refseg_ros.core.camera import RayGrid  # noqa: E402
from refseg_ros.core.lifting import Lifter, LiftingConfig  # noqa: E402
from refseg_ros.core.types import Frame, Instance, Intrinsics  # noqa: E402
from refseg_ros.models.lifting_torch import TorchLifter, median_3x3, noisy  # noqa: E402

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CAMERA = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float32, (9, 11), elements=st.floats(0, 10, width=32)))
def test_the_median_is_that_of_opencv(image):
    np.testing.assert_array_equal(median_3x3(torch.from_numpy(image)).numpy(), cv2.medianBlur(image, 3))


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (12, 14),
        elements=st.one_of(
            st.floats(0.25, 3.0, width=32), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e-38, 3e38])
        ),
    )
)
def test_the_same_pixels_are_noisy(depth):
    config = LiftingConfig()
    z, valid = surface.readings(depth, config)
    ours = (surface.flying(z, config) | surface.behind_step(z, valid, surface.edge_depth(z, config))) > 0
    there = valid > 0
    np.testing.assert_array_equal(noisy(torch.from_numpy(depth), config).numpy()[there], ours[there])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(4))
def test_objects_are_equal(device, seed):
    rng = np.random.default_rng(seed)
    v = (np.arange(120) - 59.5) / 150
    table = np.broadcast_to(0.6 / (0.6 + 0.8 * v[:, None]).clip(0.2), (120, 160))
    depth, instances = table.astype(np.float32), []
    for number, (x, y) in enumerate(((20, 30), (70, 50), (110, 80)), 1):
        depth[y : y + 30, x : x + 30] = table[y + 30, x] - 0.02
        mask = np.zeros((120, 160), bool)
        mask[y - 2 : y + 31, x - 1 : x + 32] = True
        instances.append(Instance(number, 0, 0.9, mask, (0, 0)))
    mask[80:95, 105:112] = False  # something nearer beside the last, and that is rough
    depth[80:95, 105:112] -= 0.1
    depth[85:110, 118:140:2] += 0.03
    depth += rng.normal(0, 0.0012, depth.shape).astype(np.float32) * depth * depth
    depth[rng.random(depth.shape) < 0.05] = 0
    depth[rng.random(depth.shape) < 0.02] += 0.1
    frame = Frame(rng.integers(0, 255, (120, 160, 3), np.uint8), depth, CAMERA)
    for one, other in zip(
        Lifter().lift(frame, instances), TorchLifter(device=device).lift(frame, instances), strict=True
    ):
        assert one.valid and other.valid and one.obb == other.obb and one.centroid_m == other.centroid_m
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.colors, other.colors)
        assert (one.plane, one.occluded, one.layer_depths_m) == (other.plane, other.occluded, other.layer_depths_m)


@pytest.mark.parametrize(("lift_on", "kind"), [("numpy", Lifter), ("torch", TorchLifter)])
def test_the_nodes_parameters_choose(lift_on, kind):
    from refseg_ros.nodes.components import lifter_of

    lifter = lifter_of({"lift_on": lift_on, "depth_min_m": 0.2, "depth_max_m": 3.0}, RayGrid(), "cpu")
    assert type(lifter) is kind and (lifter.config.min_depth_m, lifter.config.max_depth_m) == (0.2, 3.0)
