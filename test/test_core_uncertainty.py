"""Stated uncertainty: a covariance always, and it grows with what makes objects worse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg_ros.core.uncertainty import Uncertainty

SCATTER = np.diag([4e-4, 1e-4, 1e-4])
SIZE = (0.1, 0.05, 0.2)


def radius(u=None, scatter=SCATTER, count=1000, kept=0.9, width=640, pixel_m=0.002, occluded=False):
    return np.sqrt(np.trace((u or Uncertainty()).centroid(scatter, count, kept, width, pixel_m, occluded)))


def test_what_makes_a_centroid_less_certain():
    assert radius() < radius(count=200)
    assert radius() < radius(kept=0.4)
    assert radius() < radius(occluded=True)
    assert radius() < radius(scatter=4 * SCATTER)
    assert radius() < radius(pixel_m=0.004)
    assert radius(Uncertainty(outline=0.001)) < radius()


def test_the_hidden_back_of_something_tall_is_uncertain_along_the_view_only():
    long, short, height = Uncertainty().upright(SIZE, (0.0, 1.0), 640, 0.001)
    assert long < 0.06 * SIZE[0] and short > 0.3 * SIZE[1] and height < 0.05 * SIZE[2]
    flat = Uncertainty().upright((0.1, 0.05, 0.02), (0.0, 1.0), 640, 0.001)
    assert flat[1] < 0.1 * 0.05
    free = Uncertainty().free(SIZE, 640, 0.001)
    assert all(f > 0.3 * s for f, s in zip(free, SIZE, strict=True))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(4, 10**6), st.floats(0, 1), st.integers(1, 10000), st.floats(1e-9, 1.0), st.booleans(), st.floats(0, 1)
)
def test_it_is_always_a_covariance(count, kept, width, pixel_m, occluded, cosine):
    cov = Uncertainty().centroid(SCATTER, count, kept, width, pixel_m, occluded)
    assert np.isfinite(cov).all() and (np.linalg.eigvalsh(cov) > 0).all()
    assert all(0 < s < float("inf") for s in Uncertainty().upright(SIZE, (cosine, 1 - cosine), width, pixel_m))


@pytest.mark.parametrize("name", ["outline", "deep", "loose"])
def test_numbers_that_cannot_be_are_refused(name):
    with pytest.raises(ValueError, match=name):
        Uncertainty(**{name: 0.0})
