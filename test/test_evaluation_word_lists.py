"""Panoptic quality against hand-worked and naive counts, mask AP, and a model asked by word list."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from refseg_ros.data.dataset import DatasetError
from refseg_ros.evaluation.mask_ap import MaskAveragePrecision, NamedMask
from refseg_ros.evaluation.panoptic import PanopticMap, PanopticQuality
from refseg_ros.evaluation.word_lists import WordListAnswer, evaluate_word_lists, read_panoptic, vocabulary


def strip(*runs):
    """One row of pixels from (id, length) runs."""
    return np.concatenate([np.full(length, number) for number, length in runs])[None]


def test_panoptic_quality_by_hand():
    quality = PanopticQuality(stuff=["table"])
    names = {1: "mug", 2: "mug", 3: "table"}
    true = PanopticMap(strip((1, 10), (2, 10), (3, 20)), names)
    # Mug 1: 8 of 10, so IoU 0.8. Mug 2: 5 of 10 is not more than one half: missed, and the 5 are a wrong one.
    # The table: 20 of 20 with 5 + 2 too many, so IoU 20 / 27.
    predicted = PanopticMap(strip((1, 8), (3, 2), (2, 5), (3, 5), (3, 20)), names)
    quality.update(predicted, true)
    figures = quality.compute()
    assert quality.by_name()["mug"] == pytest.approx({"PQ": 0.8 / 2, "SQ": 0.8, "RQ": 0.5})
    assert figures["PQ_stuff"] == pytest.approx(20 / 27) and figures["PQ_things"] == pytest.approx(0.4)
    assert figures["PQ"] == pytest.approx((0.4 + 20 / 27) / 2)
    assert figures["mIoU"] == pytest.approx((13 / 20 + 20 / 27) / 2)
    # A second picture with a book nobody found, and a mug that is not there.
    quality.update(PanopticMap(strip((1, 4), (0, 6)), {1: "mug"}), PanopticMap(strip((7, 10)), {7: "book"}))
    assert quality.by_name()["mug"]["PQ"] == pytest.approx(0.8 / 2.5) and quality.by_name()["book"]["PQ"] == 0
    assert quality.compute()["PQ"] == pytest.approx((0.32 + 20 / 27 + 0) / 3)


def test_the_right_place_under_the_wrong_name_is_wrong_and_missed():
    quality = PanopticQuality()
    quality.update(PanopticMap(strip((1, 9)), {1: "cup"}), PanopticMap(strip((1, 9)), {1: "mug"}))
    assert {n: v["PQ"] for n, v in quality.by_name().items()} == {"cup": 0, "mug": 0}
    assert quality.compute()["mIoU"] == 0


def test_what_the_truth_does_not_know_is_not_held_against_anyone():
    quality = PanopticQuality()
    true = PanopticMap(strip((1, 6), (0, 6), (4, 8)), {1: "mug", 4: "mug"}, crowd=[4])
    # Mug 1 reaches 3 pixels into the unknown, which do not count; 2 lies in the unknown; 3 lies in a crowd of mugs.
    predicted = PanopticMap(strip((1, 9), (2, 3), (3, 8)), {1: "mug", 2: "mug", 3: "mug"})
    quality.update(predicted, true)
    assert quality.by_name() == {"mug": {"PQ": 1.0, "SQ": 1.0, "RQ": 1.0}}


def test_no_pictures_have_no_figures():
    assert all(np.isnan(v) for v in PanopticQuality().compute().values())


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"ids without: \[2\]"):
        PanopticMap(strip((1, 2), (2, 2)), {1: "mug"})
    one = PanopticMap(strip((1, 2)), {1: "mug"})
    with pytest.raises(ValueError, match="one shape"):
        PanopticQuality().update(one, PanopticMap(strip((1, 3)), {1: "mug"}))
    with pytest.raises(ValueError, match="no crowds"):
        PanopticQuality().update(PanopticMap(strip((1, 2)), {1: "mug"}, crowd=[1]), one)


def _random_map(rng):
    """A coarse picture of up to 5 segments in 3 names."""
    ids = np.kron(rng.integers(0, 6, (4, 4)), np.ones((3, 3), int))
    return PanopticMap(ids, {n: "abc"[rng.integers(3)] for n in range(1, 6)})


def _nudged(original, rng):
    ids = original.ids.copy()
    ids[rng.random(ids.shape) < 0.15] = rng.integers(0, 6)
    return PanopticMap(ids, original.names)


def test_panoptic_quality_agrees_with_counting_mask_by_mask():
    rng = np.random.default_rng(0)
    quality, naive = PanopticQuality(), {n: [0.0, 0, 0, 0] for n in "abc"}
    for _ in range(30):
        true = _random_map(rng)
        predicted = _nudged(true, rng)
        quality.update(predicted, true)
        known = true.ids != 0
        truths = {n: true.ids == n for n in np.unique(true.ids) if n}
        found = {n: predicted.ids == n for n in np.unique(predicted.ids) if n}
        pairs = {
            (p, t): (a & b).sum() / ((a & known) | b).sum()
            for p, a in found.items() for t, b in truths.items()
            if predicted.names[p] == true.names[t]
        }  # fmt: skip
        good = {pair: iou for pair, iou in pairs.items() if iou > 0.5}
        for (_, t), iou in good.items():
            naive[true.names[t]][0] += iou
            naive[true.names[t]][1] += 1
        for p, a in found.items():
            if p not in {x for x, _ in good} and (a & ~known).sum() <= a.sum() / 2:
                naive[predicted.names[p]][2] += 1
        for t in truths:
            if t not in {x for _, x in good}:
                naive[true.names[t]][3] += 1
    expected = {n: iou / (tp + fp / 2 + fn / 2) for n, (iou, tp, fp, fn) in naive.items()}
    assert {n: v["PQ"] for n, v in quality.by_name().items()} == pytest.approx(expected)
    assert 0.2 < quality.compute()["PQ"] < 0.95


def box(left, right, name="mug", score=1.0):
    mask = np.zeros((20, 30), bool)
    mask[5:15, left:right] = True
    return NamedMask(name, mask, score)


def test_average_precision_of_known_cases():
    right = MaskAveragePrecision()
    right.update([box(0, 10), box(10, 20, "cup")], [box(0, 10), box(10, 20, "cup")], (30, 20))
    assert right.compute()["AP"] == pytest.approx(1) and np.isnan(right.compute()["AP_large"])
    # IoU 0.8: right at the thresholds 0.5 to 0.8, which are 7 of 10.
    close = MaskAveragePrecision()
    close.update([box(0, 8)], [box(0, 10)], (30, 20))
    assert close.compute()["AP"] == pytest.approx(0.7) and close.compute()["AP50"] == pytest.approx(1)
    # A wrong one above the right one halves the precision, a wrong one below it costs nothing.
    above, below = MaskAveragePrecision(), MaskAveragePrecision()
    above.update([box(0, 10, score=0.4), box(15, 25, score=0.9)], [box(0, 10)], (30, 20))
    below.update([box(0, 10, score=0.9), box(15, 25, score=0.4)], [box(0, 10)], (30, 20))
    assert above.compute()["AP"] == pytest.approx(0.5) and below.compute()["AP"] == pytest.approx(1)
    # The second picture's mug is missed: recall ends at one half, and 51 of 101 recall points lie there.
    above.update([], [box(0, 10)], (30, 20))
    below.update([], [box(0, 10)], (30, 20))
    assert below.compute()["AP"] == pytest.approx(51 / 101)


def test_a_predictions_size_is_its_masks_as_by_coco():
    """A thin ring is large as a box and small as a mask: a false one of it counts among the small ones."""
    ring = np.zeros((200, 200), bool)
    ring[10:190, 10:190] = True
    ring[11:189, 11:189] = False
    true = np.zeros((200, 200), bool)
    true[50:100, 50:100] = True
    judged = MaskAveragePrecision()
    judged.update([NamedMask("mug", true, 0.5), NamedMask("mug", ring, 0.9)], [NamedMask("mug", true)], (200, 200))
    figures = judged.compute()
    assert figures["AP"] == pytest.approx(0.5) and figures["AP_medium"] == pytest.approx(1)


def test_what_lies_in_a_crowd_is_not_counted():
    """As by COCO: a group that was not separated is neither found nor missed."""
    crowd = replace(box(12, 30), crowd=True)
    among = MaskAveragePrecision()
    among.update([box(0, 10, score=0.4), box(15, 22, score=0.9)], [box(0, 10), crowd], (30, 20))
    assert among.compute()["AP"] == pytest.approx(1)
    alone = MaskAveragePrecision()
    alone.update([box(0, 10, score=0.4), box(15, 22, score=0.9)], [box(0, 10), box(12, 30)], (30, 20))
    assert alone.compute()["AP"] < 0.5


def test_average_precision_without_truth_or_predictions():
    empty, missed = MaskAveragePrecision(), MaskAveragePrecision()
    empty.update([box(0, 9)], [], (30, 20))
    missed.update([], [box(0, 9)], (30, 20))
    assert np.isnan(empty.compute()["AP"]) and missed.compute()["AP"] == 0
    with pytest.raises(ValueError, match="its image"):
        missed.update([box(0, 9)], [], (20, 30))


@pytest.fixture
def folder(tmp_path):
    lines = []
    for n in range(2):
        ids = np.zeros((20, 30), np.uint16)
        ids[10:], ids[2:8, 3 + n : 13 + n] = 2, 1
        cv2.imwrite(str(tmp_path / f"{n}_ids.png"), ids)
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.repeat(ids[..., None].astype(np.uint8), 3, -1))
        segments = [{"id": 1, "name": ("mug", "milk")[n], "stuff": False}, {"id": 2, "name": "table", "stuff": True}]
        lines.append(json.dumps({"image": f"{n}.png", "panoptic": f"{n}_ids.png", "segments": segments}))
    (tmp_path / "panoptic.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


class Reader:
    """Reads the answer off the picture, which holds the ids, but calls everything a mug."""

    def perceive(self, rgb, things, stuff):
        assert (things, stuff) == (["milk", "mug"], ["table"])
        ids = rgb[..., 0].astype(int)
        return WordListAnswer(PanopticMap(ids, {1: "mug", 2: "table"}), [NamedMask("mug", ids == 1, 0.9)])


def test_a_model_is_asked_for_the_whole_vocabulary(folder):
    samples = read_panoptic(folder)
    assert vocabulary(samples) == (["milk", "mug"], ["table"])
    report = evaluate_word_lists(Reader(), samples)
    assert report["PQ_stuff"] == 1 and report["by_name"]["mug"]["PQ"] == pytest.approx(1 / 1.5)
    assert report["by_name"]["milk"]["PQ"] == 0 and report["PQ"] == pytest.approx((1 + 1 / 1.5) / 3)
    # The mug in both pictures, at one score: precision 1 while the first is the right one. The milk is never found.
    assert report["AP"] == pytest.approx(0.5)
    assert report["count"] == 2 and report["things"] == 2 and report["ms_per_image"]["median"] is not None
    json.dumps(report, allow_nan=False)


def test_a_damaged_dataset_gives_one_sentence(folder, tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_panoptic(tmp_path / "nothing")
    index = folder / "panoptic.jsonl"
    whole = index.read_text()
    index.write_text(whole.replace('"id": 2', '"id": 3'))
    with pytest.raises(DatasetError, match=r"ids without: \[2\]"):
        read_panoptic(folder)[0].truth()
    index.write_text(whole.replace("segments", "parts"))
    with pytest.raises(DatasetError, match="line 1 is not"):
        read_panoptic(folder)
    index.write_text(whole.replace("milk", "table"))
    with pytest.raises(DatasetError, match=r"\['table'\] are things"):
        vocabulary(read_panoptic(folder))
    index.write_text("\n")
    with pytest.raises(DatasetError, match="no samples"):
        read_panoptic(folder)
