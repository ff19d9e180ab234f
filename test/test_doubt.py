"""What the model may be sure of where training showed nothing like it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg_ros.core.protocol import Thresholds
from refseg_ros.models.compact import SHIPPED
from refseg_ros.models.compact.doubt import (
    OFTEN,
    all_read,
    as_far_as_familiar,
    as_far_as_read,
    no_verdict_turned,
    often_read,
    unreadable,
)

BELIEFS = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8)


def test_nobody_is_sure_of_what_is_unlike_all_that_was_seen():
    familiar = np.array([1.0, 0.0], np.float32)
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.01, 0.02]], np.float32)
    belief = as_far_as_familiar(np.array([0.9, 0.9, 0.9, 0.2], np.float32), scores, familiar)
    assert belief[0] == pytest.approx(0.9, abs=1e-3) and belief[1] == pytest.approx(0.5, abs=1e-3)
    assert belief[2] == pytest.approx(0.7, abs=1e-3) and 0.3 < belief[3] < 0.5
    absent = as_far_as_familiar(np.array([0.001, 0.2], np.float32), np.array([[0.01, 0.02], [0.2, 0.01]]), familiar)
    assert absent[0] < 0.15 and absent[1] == pytest.approx(0.2, abs=1e-3)
    tiny = as_far_as_familiar(np.array([0.001], np.float32), np.array([[1e-4, 1e-6]], np.float32), familiar)
    assert tiny[0] == pytest.approx(0.001, rel=1e-3)  # of familiar looks, a sure no stays one, however low the scores


@given(BELIEFS)
def test_nothing_in_view_is_as_sure_as_it_was_or_less(beliefs):
    before = np.array(beliefs, np.float32)
    nothing = as_far_as_familiar(before, np.zeros((len(before), 0), np.float32), np.zeros(0, np.float32))
    assert (abs(nothing - 0.5) <= abs(before - 0.5) + 1e-6).all()


@given(BELIEFS)
def test_a_no_to_a_word_never_read_is_held_back_and_a_yes_is_not(beliefs):
    before = np.array(beliefs, np.float32)
    read, unread = (as_far_as_read(before, [known] * len(before)) for known in (True, False))
    assert read == pytest.approx(before, abs=1e-5)
    low = before <= 0.5
    assert (unread[low] >= before[low] - 1e-6).all() and (unread[low] <= 0.5).all()
    assert unread[~low] == pytest.approx(before[~low])


def test_words_count_as_read_when_several_phrases_hold_them():
    words = often_read(["the red mug"] * OFTEN + ["the rde mug mug mug mug mug"])
    assert words == {"the", "red", "mug"}
    assert all_read("The RED mug, 2!", words)
    assert not all_read("the rde mug", words) and not all_read("die Tasse", words)
    assert all_read("anything", frozenset())


def test_the_shipped_card_knows_training_s_words_and_none_that_were_kept_back():
    words = frozenset(json.loads(SHIPPED.with_suffix(".json").read_text())["words"].split())
    assert all_read("the red mug to the left of the stapler", words)
    assert not any(all_read(f"the {noun}", words) for noun in ("ramekin", "popcorn", "salad dressing"))


def test_another_script_of_which_nothing_was_read_is_unreadable():
    words = frozenset(["the", "mug"])
    assert unreadable("кружка", words) and unreadable("红色杯子", words)
    assert not unreadable("the stapler", words) and not unreadable("the mug à côté", words)
    assert not unreadable("кружка", frozenset())


@given(BELIEFS, st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0, 1))
def test_doubt_leads_to_uncertain_and_to_no_other_verdict(beliefs, one, other, familiar):
    band = Thresholds(accept=max(one, other), reject=min(one, other))
    before = np.array(beliefs, np.float32)
    scores = np.full((len(before), 1), 0.9, np.float32)
    doubted = as_far_as_familiar(before, scores, np.array([familiar], np.float32))
    after = no_verdict_turned(before, as_far_as_read(doubted, [False] * len(before)), band)
    assert not ((before < band.accept) & (after >= band.accept)).any()
    assert not ((before >= band.reject) & (after < band.reject)).any()
