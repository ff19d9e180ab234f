"""Calibration on scores made here, whose truth is known: the stated rates must hold on new images."""

import numpy as np
import pytest

from refseg_ros.evaluation.calibration import (
    ErrorRates,
    calibrate,
    conformal_band,
    expected_calibration_error,
    fit_isotonic,
    fit_shift,
    fit_temperature,
    held_out_figures,
    reliability,
    sigmoid,
)


def phrases(images, rng, temperature=1.0, spread=1.5, per_image=12):
    """Logits of phrases; those of one image share a mood, so they are not independent."""
    mood = rng.normal(0, 0.8, images)
    which = np.repeat(np.arange(images), per_image)
    truth = (rng.random(len(which)) < 0.7).astype(float)
    logits = temperature * (2.5 * (2 * truth - 1) + mood[which] + rng.normal(0, spread, len(which)))
    return logits, truth, which


def test_a_temperature_is_found_again():
    rng = np.random.default_rng(0)
    belief = rng.uniform(0.02, 0.98, 20_000)
    truth = (rng.random(20_000) < belief).astype(float)
    overconfident = 3.0 * np.log(belief / (1 - belief))
    assert fit_temperature(overconfident, truth) == pytest.approx(3.0, rel=0.05)


def test_a_shift_is_found_again():
    """Scores that all lie under a half, however right their order is."""
    rng = np.random.default_rng(5)
    truth = (rng.random(4000) < 0.5).astype(float)
    logits = 0.3 * (rng.logistic(0, 1, 4000) + 3 * (truth - 0.5)) - 4.0
    assert fit_shift(logits, truth) == pytest.approx(4.0, abs=0.05)
    moved = (logits + fit_shift(logits, truth)) / fit_temperature(logits + 4.0, truth)
    assert np.mean((moved > 0) == truth) > 0.75


def test_an_isotonic_map_rises_and_mends_what_no_temperature_can():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 20_000)
    truth = (rng.random(20_000) < 0.2 + 0.6 * (logits > 1)).astype(float)  # a step
    curve = fit_isotonic(logits[:10_000], truth[:10_000])
    assert (np.diff(curve(np.linspace(-6, 6, 200))) >= 0).all() and len(curve.x) < 2000
    new, true = logits[10_000:], truth[10_000:]
    scaled = sigmoid(new / fit_temperature(logits[:10_000], truth[:10_000]))
    assert expected_calibration_error(curve(new), true) < 0.02 < expected_calibration_error(scaled, true)


@pytest.mark.parametrize("rates", [ErrorRates(), ErrorRates(false_accept=0.1, false_reject=0.01)])
def test_the_stated_rates_hold_on_new_images(rates):
    """In expectation over calibration sets: the mean over many draws, with three standard errors of room."""
    rng = np.random.default_rng(2)
    accepted, rejected = [], []
    for _ in range(150):
        band = conformal_band(*_beliefs(phrases(150, rng)), rates)
        belief, truth, which = _beliefs(phrases(400, rng))
        accepted.append(_mean_by_image(belief >= band.accept, truth == 0, which))
        rejected.append(_mean_by_image(belief < band.reject, truth == 1, which))
    for seen, rate in ((accepted, rates.false_accept), (rejected, rates.false_reject)):
        room = 3 * np.std(seen) / np.sqrt(len(seen))
        assert np.mean(seen) <= rate + room
        assert np.mean(seen) >= rate - 1.5 / 151  # it gives away no more than the one image it must


def _beliefs(drawn):
    return sigmoid(drawn[0]), drawn[1], drawn[2]


def _mean_by_image(wrong, chosen, which):
    images = np.unique(which[chosen])
    return np.mean([wrong[chosen & (which == n)].mean() for n in images])


def test_the_band_by_hand():
    """99 images with one absent phrase each: of 100 the rate 2 % allows one, so one score may lie at the threshold."""
    absent = np.linspace(0.01, 0.5, 99)
    present = np.linspace(0.45, 0.99, 99)
    belief, truth = np.concatenate([absent, present]), np.repeat([0, 1], 99)
    band = conformal_band(belief, truth, np.tile(np.arange(99), 2), ErrorRates(false_accept=0.02, false_reject=0.02))
    assert (absent >= band.accept).sum() == 1 and (present < band.reject).sum() == 1
    assert np.sort(absent)[-2] < band.accept <= np.sort(absent)[-1]
    assert band.reject == np.sort(present)[1]


def test_equal_scores_fall_together_and_a_gap_needs_no_band():
    belief, truth = np.repeat([0.1, 0.9], 60), np.repeat([0, 1], 60)
    band = conformal_band(belief, truth, np.tile(np.arange(60), 2))
    assert band.accept == band.reject and 0.1 < band.accept <= 0.9
    tied = conformal_band(np.full(120, 0.5), truth, np.tile(np.arange(60), 2))
    assert tied.accept > 0.5 and tied.reject == 0.5  # all are UNCERTAIN: nothing can be told


def test_unusable_calibration_sets_are_refused_with_the_reason():
    belief, truth = np.repeat([0.1, 0.9], 30), np.repeat([0, 1], 30)
    with pytest.raises(ValueError, match=r"needs 49 images.*there are 30"):
        conformal_band(belief, truth, np.tile(np.arange(30), 2))
    with pytest.raises(ValueError, match="name something in view"):
        calibrate([0.1, 0.2], [1, 1], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        fit_temperature([np.nan, 1.0], [0, 1])
    with pytest.raises(ValueError, match="certainty"):
        conformal_band(np.ones(120), np.repeat([0, 1], 60), np.tile(np.arange(60), 2))
    with pytest.raises(ValueError, match="false_accept"):
        ErrorRates(false_accept=0.0)


def test_held_out_figures_are_near_what_was_promised():
    logits, truth, which = phrases(400, np.random.default_rng(3), temperature=2.0)
    figures = held_out_figures(logits, truth, which)
    assert 0.005 < figures["false_accept"] < 0.035 and 0.03 < figures["false_reject"] < 0.07
    assert figures["ece"] < 0.05 < expected_calibration_error(sigmoid(3 * logits), truth)
    found = calibrate(logits, truth, which)
    assert found.band.reject <= found.band.accept and found.temperature > 1


def test_a_reliability_diagram_holds_every_sample():
    rows = reliability([0.05, 0.06, 0.95, 1.0], [0, 1, 1, 1])
    assert [r[2] for r in rows] == [2, 2] and rows[0][1] == 0.5 and rows[1][1] == 1.0
