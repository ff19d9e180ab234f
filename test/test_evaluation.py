"""The evaluation protocol: figures worked out by hand, datasets made here, a model that answers as told."""

import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg_ros.cli.main import run as cli
from refseg_ros.core.outcome import ErrorCode, RequestError, Verdict
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import crop_mask
from refseg_ros.data.dataset import DatasetError, read_dataset
from refseg_ros.evaluation import GeneralizedReferringMetrics
from refseg_ros.evaluation.calibration import expected_calibration_error
from refseg_ros.evaluation.evaluate import evaluate
from refseg_ros.evaluation.gallery import Gallery
from refseg_ros.evaluation.matching import box_iou, grec_f1, instance_f1, mask_iou, match

SIZE = (40, 30)


def box(x0, y0, x1, y1):
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[y0:y1, x0:x1] = True
    return mask


NOTHING, LEFT, RIGHT = box(0, 0, 0, 0), box(0, 0, 10, 10), box(20, 0, 30, 10)


def test_the_figures_of_grefcoco_by_hand():
    m = GeneralizedReferringMetrics()
    assert m.update(LEFT, LEFT, False, False) == 1.0
    assert m.update(box(0, 0, 10, 5), LEFT, False, False) == 0.5
    assert m.update(NOTHING, LEFT, True, False) == 0.0  # missed: the union still grows
    assert m.update(NOTHING, NOTHING, True, True) == 1.0  # rejected rightly: adds to neither
    assert m.update(RIGHT, NOTHING, False, True) == 0.0  # found what is not there: the union grows
    out = m.compute()
    assert out["gIoU"] == pytest.approx(2.5 / 5)
    assert out["cIoU"] == pytest.approx(150 / (100 + 100 + 100 + 100))
    assert out["N_acc"] == 0.5 and out["T_acc"] == pytest.approx(2 / 3)
    assert out["Pr@0.7"] == out["Pr@0.9"] == pytest.approx(1 / 3)


def test_precision_counts_an_iou_at_the_threshold():
    m = GeneralizedReferringMetrics()
    m.update(box(0, 0, 7, 10), LEFT, False, False)
    assert m.compute()["Pr@0.7"] == 1.0 and m.compute()["Pr@0.8"] == 0.0


def test_a_rejection_beside_pixels_is_a_rejection():
    m = GeneralizedReferringMetrics()
    assert m.update(RIGHT, NOTHING, True, True) == 1.0
    assert math.isnan(m.compute()["cIoU"])


def test_small_masks_count_as_nothing_only_when_asked():
    speck = box(0, 0, 7, 7)
    for least, accuracy in ((0, 0.0), (50, 1.0)):
        m = GeneralizedReferringMetrics(min_pixels=least)
        m.update(speck, NOTHING, False, True)
        assert m.compute()["N_acc"] == accuracy


def test_a_mask_without_a_pixel_is_nothing_whatever_was_said():
    """All that a model without a rejection can say: the protocol's "empty prediction"."""
    m = GeneralizedReferringMetrics()
    assert m.update(NOTHING, NOTHING, False, True) == 1.0 and m.update(NOTHING, LEFT, False, False) == 0.0
    assert m.compute()["N_acc"] == 1.0 and m.compute()["T_acc"] == 0.0


def test_impossible_samples_are_refused():
    m = GeneralizedReferringMetrics()
    with pytest.raises(ValueError, match="one shape"):
        m.update(LEFT, np.zeros((3, 3)), False, False)
    with pytest.raises(ValueError, match="true_empty"):
        m.update(LEFT, LEFT, False, True)
    with pytest.raises(ValueError, match="min_pixels"):
        GeneralizedReferringMetrics(-1)


def test_figures_without_samples_are_not_numbers():
    assert all(math.isnan(v) for v in GeneralizedReferringMetrics().compute().values())


def test_intervals_hold_the_figure_and_shrink_with_samples():
    def width(copies):
        m = GeneralizedReferringMetrics()
        for _ in range(copies):
            m.update(LEFT, LEFT, False, False)
            m.update(NOTHING, LEFT, True, False)
        low, high = m.intervals(rounds=200)["gIoU"]
        assert low <= 0.5 <= high
        return high - low

    assert width(100) < width(5)


boxes = st.tuples(st.integers(0, 38), st.integers(0, 28), st.integers(1, 20), st.integers(1, 20))


@given(boxes, boxes)
def test_overlaps_are_symmetric_and_those_of_boxes_equal_those_of_their_masks(a, b):
    a, b = ((x, y, min(x + w, SIZE[0]), min(y + h, SIZE[1])) for x, y, w, h in (a, b))
    overlap = box_iou(a, b)
    assert overlap == pytest.approx(box_iou(b, a))
    assert overlap == pytest.approx(mask_iou(box(*a), box(*b)))


def test_matching_is_one_to_one_and_the_best_in_all():
    true = [box(0, 0, 10, 10), box(4, 0, 14, 10)]
    predicted = [box(2, 0, 12, 10)]
    assert len(match(predicted, true)) == 1
    assert instance_f1(predicted, true) == pytest.approx(2 / 3)
    assert instance_f1([], []) == 1.0 and instance_f1([], true) == 0.0
    assert [(i, j) for i, j, _ in match([true[1], true[0]], true)] == [(0, 1), (1, 0)]


def test_calibration_error_by_hand():
    assert expected_calibration_error([0.75, 0.75, 0.75, 0.75], [1, 1, 1, 0]) == pytest.approx(0)
    assert expected_calibration_error([0.95, 0.95], [0, 0]) == pytest.approx(0.95)
    assert math.isnan(expected_calibration_error([], []))


def write(folder, lines):
    (folder / "rgb").mkdir(parents=True)
    (folder / "mask").mkdir()
    cv2.imwrite(str(folder / "rgb" / "0.png"), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    for name, mask in (("left", LEFT), ("right", RIGHT)):
        cv2.imwrite(str(folder / "mask" / f"{name}.png"), mask.astype(np.uint8) * 255)
    (folder / "index.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return folder


def line(instruction, *names, phrases=None, kind="name", **more):
    targets = [{"phrase": p, "mask": f"mask/{n}.png", "centroid_m": None} for p, n in names]
    return {
        "image": "rgb/0.png", "depth": None, "camera": None, "instruction": instruction, "type": kind,
        "phrases": phrases or [instruction], "targets": targets, **more,
    }  # fmt: skip


class Told:
    """Finds "left" and "right" where they are; believes as it is told; "broken" breaks it."""

    name, device, thresholds = "told", "cpu", Thresholds()
    encodings = 0

    def encode(self, frame):
        self.encodings += 1
        return frame

    def decode(self, encoded, phrases):
        return [self._decode(p.text) for p in phrases]

    def _decode(self, text):
        if "broken" in text:
            raise RequestError(ErrorCode.MODEL_OUTPUT, "It broke; mend it.")
        words = text.split()
        masks = [m for word, m in (("left", LEFT), ("right", RIGHT)) if word in words or "thing" in words]
        candidates = tuple(Candidate(*crop_mask(m), 0.9) for m in masks)
        return PhraseDecoding(0.95 if candidates else 0.02, candidates)

    def close(self):
        pass


@pytest.fixture
def told(monkeypatch):
    """models.load() gives Told; the names it was asked for."""
    models = pytest.importorskip("refseg_ros.models")
    from refseg_ros.models.base import Segmenter

    asked = []
    monkeypatch.setattr(models, "load", lambda name, **k: asked.append(name) or Segmenter(Told()))
    return asked


def test_evaluation_of_answers_that_are_known(tmp_path):
    folder = write(
        tmp_path / "d",
        [
            line("the left one", (0, "left")),
            line("the blue one", kind="absent-name"),
            line("the right one", kind="absent-name"),  # said to be there, and is not
            line("the left one and the blue one", (0, "left"), phrases=["the left one", "the blue one"], kind="pair"),
            line("the thing", (0, "left"), (0, "right"), expect="AMBIGUOUS", kind="ambiguous"),
            line("the broken one", kind="absent-name"),
        ],
    )
    samples = read_dataset(folder)
    assert samples[4].verdicts() == (Verdict.AMBIGUOUS,)
    assert samples[3].verdicts() == (Verdict.FOUND, Verdict.ABSENT)
    model = Told()
    report = evaluate(model, samples).report()
    assert model.encodings == 1  # one image, encoded once
    assert report["count"] == 6 and report["errors"] == {"MODEL_OUTPUT": 1}
    assert report["by_type"]["absent-name"]["N_acc"] == pytest.approx(1 / 3)  # an ERROR is no rejection
    assert report["by_type"]["pair"]["gIoU"] == report["by_type"]["ambiguous"]["gIoU"] == 1.0
    assert report["by_phrase_verdict"]["ABSENT"] == {
        "FOUND": 1, "ABSENT": 2, "AMBIGUOUS": 0, "UNCERTAIN": 0, "ERROR": 1
    }  # fmt: skip
    assert report["by_phrase_verdict"]["AMBIGUOUS"]["AMBIGUOUS"] == 1
    assert report["box_accuracy"] == 1.0
    assert report["ambiguous"] == {"count": 1, "recall": 1.0, "precision": 1.0, "candidates_F1": 1.0}
    assert report["absent_said_found"] == pytest.approx(1 / 4) and report["instance_F1_is_1"] == pytest.approx(4 / 6)
    assert report["present_said_absent"] == 0.0 and "present_said_absent" in report["intervals_95"]
    assert set(report["intervals_95"]) >= {"gIoU", "cIoU", "N_acc", "ece", "outcome_right", "box_accuracy"}
    json.dumps(report, allow_nan=False)


def test_what_is_there_and_denied_is_counted_by_phrase_and_shown(tmp_path, told, capsys):
    lines = [
        line("the left one and the hidden one", (0, "left"), (1, "right"), phrases=["the left one", "the hidden one"]),
        line("the hidden one", (0, "right")), line("the blue one", kind="absent-name"),
    ]  # fmt: skip
    folder, out = write(tmp_path / "d", lines), tmp_path / "e.json"
    assert cli(["eval", "--dataset", str(folder), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["present_said_absent"] == pytest.approx(2 / 3)  # the hidden one, twice, of three that are there
    assert report["by_type"]["absent-name"]["present_said_absent"] is None
    assert "present ones said to be absent 0.667 [0.67, 0.67]" in " ".join(capsys.readouterr().out.split())


def test_masks_of_the_wrong_phrase_are_not_right(tmp_path):
    class Swaps(Told):
        def _decode(self, text):
            return super()._decode(text.replace("left", "r").replace("right", "left").replace("r ", "right "))

    pair = ["the left one", "the right one"]
    lines = [line(" and ".join(pair), (0, "left"), (1, "right"), phrases=pair, kind="pair")]
    samples = read_dataset(write(tmp_path / "d", lines))
    good, swapped = evaluate(Told(), samples), evaluate(Swaps(), samples)
    assert good.report()["instance_F1"] == 1.0 and good.everything.scores[0].right
    report = swapped.report()
    assert report["gIoU"] == report["GREC_F1_is_1"] == 1.0  # the protocols see one mask, and boxes
    assert report["instance_F1"] == report["instance_F1_is_1"] == 0.0 and not swapped.everything.scores[0].right


def test_a_thing_that_two_phrases_mean_is_matched_for_each():
    phrases = ([1, 0], [0, 1])
    assert instance_f1([LEFT, LEFT], [LEFT, LEFT], phrases) == 1.0
    assert instance_f1([LEFT, RIGHT], [LEFT, RIGHT], phrases) == 0.0
    assert match([LEFT, RIGHT], [RIGHT, LEFT], phrases) == [(0, 1, 1.0), (1, 0, 1.0)]


def test_of_an_ambiguous_list_only_what_asks_for_fewer_is_ambiguous(tmp_path):
    lines = [
        line("all the things and the thing", (0, "left"), (0, "right"), (1, "left"), (1, "right"),
             phrases=["all the things", "the thing"], expect="AMBIGUOUS"),
        line("two things and the left one", (0, "left"), (0, "right"), (1, "left"),
             phrases=["two things", "the left one"]),
    ]  # fmt: skip
    first, second = read_dataset(write(tmp_path / "d", lines))
    assert first.verdicts() == (Verdict.FOUND, Verdict.AMBIGUOUS)
    assert second.verdicts() == (Verdict.FOUND, Verdict.FOUND)


@pytest.mark.parametrize("least", [0, 50])
def test_an_error_is_wrong_whatever_is_true(tmp_path, least):
    lines = [line("the broken left one", (0, "left")), line("the broken one", kind="absent-name")]
    report = evaluate(Told(), read_dataset(write(tmp_path / "d", lines)), least).report()
    for figures in (report, report["min_pixels_50"]):
        assert figures["gIoU"] == figures["cIoU"] == figures["N_acc"] == figures["T_acc"] == 0.0
    assert report["instance_F1"] == report["GREC_F1_is_1"] == report["box_accuracy"] == report["outcome_right"] == 0.0


def test_a_frame_that_cannot_be_encoded_is_tried_for_every_line(tmp_path):
    class Refuses(Told):
        def encode(self, frame):
            self.encodings += 1
            raise RuntimeError("out of memory")

    lines = [line("the left one", (0, "left")), line("the right one", (0, "right"))]
    model = Refuses()
    report = evaluate(model, read_dataset(write(tmp_path / "d", lines))).report()
    assert report["errors"] == {"INTERNAL": 2} and model.encodings == 2


def test_a_missing_image_is_the_datasets_fault(tmp_path):
    folder = write(tmp_path / "d", [line("the left one", (0, "left"))])
    (folder / "rgb" / "0.png").unlink()
    with pytest.raises(DatasetError, match=r"0\.png"):
        evaluate(Told(), read_dataset(folder))


def test_grec_takes_the_greatest_overlap_first():
    """Greedy, as the protocol has it: the best pair is taken first, though the best assignment would match both."""
    true = [box(0, 0, 20, 10), box(4, 0, 24, 10)]
    predicted = [box(1, 0, 21, 10), box(0, 0, 14, 10)]
    assert instance_f1(predicted, true) == 1.0  # 17/23 and 14/20
    assert grec_f1(predicted, true) == 0.5  # 19/21 first, and then 10/24 is too little
    assert grec_f1(predicted, []) == grec_f1([], true) == 0.0 and grec_f1([], []) == 1.0


def test_the_interval_of_lines_that_share_an_image_is_that_of_the_images():
    def width(per_image):
        m = GeneralizedReferringMetrics()
        for n in range(400):
            right = n // per_image % 2 == 0  # all lines of an image are right, or none is
            m.update(LEFT if right else NOTHING, LEFT, not right, False, group=n // per_image)
        low, high = m.intervals()["gIoU"]
        assert low < 0.5 < high
        return high - low

    assert width(20) == pytest.approx(width(1) * np.sqrt(20), rel=0.25)


def test_the_page_shows_what_went_wrong_and_baselines_stand_in_the_table(tmp_path, monkeypatch, capsys):
    models = pytest.importorskip("refseg_ros.models")
    from refseg_ros.models.base import Segmenter

    asked = []
    monkeypatch.setattr(models, "load", lambda name, **k: asked.append(name) or Segmenter(Told()))
    folder = write(tmp_path / "d", [line('the left "one"', (0, "left")), line("the right one", kind="absent-name")])
    page, out = tmp_path / "p" / "page.html", tmp_path / "e.json"
    arguments = ["--dataset", str(folder), "--json", str(out), "--page", str(page), "--baseline", "colour-name"]
    assert cli(["eval", *arguments]) == 0
    html = page.read_text()
    assert asked == ["compact", "colour-name"] and html.count("data:image/jpeg") == 2
    assert "the left &#34;one&#34;" in html and "baseline colour-name" in html
    assert html.index("What went wrong") < html.index("the right one") < html.index("What went right")
    assert json.loads(out.read_text())["baselines"]["colour-name"]["gIoU"] == 0.5
    assert "baseline colour-name" in capsys.readouterr().out


def test_the_gallery_draws_evenly_and_no_more_than_asked(tmp_path):
    lines = [line("the left one", (0, "left")) for _ in range(30)]
    gallery = Gallery(each=2)
    evaluate(Told(), read_dataset(write(tmp_path / "d", lines)), watch=gallery)
    assert len(gallery.examples(True)) == 2 and gallery.examples(False) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no samples"),
        ("{", "line 1"),
        ('{"image": "a.png"}', "phrases"),
        (json.dumps(line("x", (3, "left"))), "phrase 3"),
        ("[]", "line 1"),
    ],
)
def test_a_broken_index_is_refused_with_its_place(tmp_path, text, said):
    (tmp_path / "index.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=said):
        read_dataset(tmp_path)


def test_masks_that_do_not_fit_are_refused(tmp_path):
    (sample,) = read_dataset(write(tmp_path / "d", [line("the left one", (0, "left"))]))
    with pytest.raises(DatasetError, match=r"40 x 30.*80 x 60"):
        sample.targets[0].read((80, 60))
    sample.targets[0].mask.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        sample.targets[0].read(SIZE)


def test_the_command_writes_the_contracts_json(tmp_path, monkeypatch, capsys):
    models = pytest.importorskip("refseg_ros.models")
    from refseg_ros.models.base import Segmenter

    monkeypatch.setattr(models, "load", lambda *a, **k: Segmenter(Told()))
    folder = write(tmp_path / "d", [line("the left one", (0, "left")), line("the blue one", kind="absent-name")])
    assert cli(["eval", "--dataset", str(folder), "--json", str(tmp_path / "o" / "e.json")]) == 0
    report = json.loads((tmp_path / "o" / "e.json").read_text())
    for key in ("count", "gIoU", "cIoU", "N_acc", "T_acc", "Pr@0.7", "by_type", "by_phrase_verdict"):
        assert key in report
    assert report["gIoU"] == 1.0 and report["calibration"]["ece"] == pytest.approx(0.035)
    assert set(report["ms_per_image"]) == set(report["centroid_error_mm"]) == {"median", "p95"}
    assert "absent-name" in capsys.readouterr().out
    told = ["eval", "--dataset", str(folder), "--json", str(tmp_path / "o" / "e.json"), "--without", "Blue"]
    assert cli(told) == 0
    report = json.loads((tmp_path / "o" / "e.json").read_text())
    assert report["count"] == 1 and report["without"] == ["Blue"] and set(report["by_type"]) == {"name"}
    assert cli([*told[:-1], "eft"]) == 0, "a part of a word is not that word"
    assert json.loads((tmp_path / "o" / "e.json").read_text())["count"] == 2
    capsys.readouterr()
    assert cli([*told, "--without", "the"]) == 64 and "without Blue, the" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--baseline", "single-mask"], "refseg train --config config/training/single_mask.yaml"),
        (["--baseline", "gsva"], "refseg train --config config/training/systems/gsva_compact.yaml"),
        (["--baseline", "nosuch"], "There is no model 'nosuch'"),
        (["--weights", "gone.safetensors"], "gone.safetensors does not exist"),
        (["--weights", "other.safetensors"], "other.safetensors is not the one its card describes"),
        (["--device", "toaster"], "'toaster' is not known"),
        (["--json", "file/e.json"], "file cannot be written to"),
        (["--json", "d"], "d is a folder"),
        (["--page", "file/p.html"], "file cannot be written to"),
    ],
)
def test_what_would_fail_at_the_end_is_said_before_anything_is_asked(tmp_path, monkeypatch, told, capsys, more, said):
    write(tmp_path / "d", [line("the left one", (0, "left"))])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "other.safetensors").touch()
    (tmp_path / "other.json").write_text('{"sha256": "0"}')
    assert cli(["eval", "--dataset", "d", "--json", "e.json", *more]) == 64
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and told == []


def test_what_was_answered_before_a_damaged_mask_is_kept(tmp_path, told, capsys):
    lines = [line("the left one", (0, "left")), line("the right one", (0, "right"))]
    folder, out = write(tmp_path / "d", lines), tmp_path / "e.json"
    (folder / "mask" / "right.png").write_bytes(b"no picture")
    arguments = ["eval", "--dataset", str(folder), "--json", str(out), "--baseline", "colour-name"]
    assert cli(arguments) == 64
    err = capsys.readouterr().err
    assert "right.png cannot be read" in err and "e.json holds what was answered before" in err and err.count("\n") == 1
    report = json.loads(out.read_text())
    assert report["count"] == 1 and "right.png" in report["stopped"] and told == ["compact"]


def test_a_model_that_has_finished_is_not_lost_with_the_next(tmp_path, monkeypatch, told, capsys):
    models = pytest.importorskip("refseg_ros.models")
    first = models.load

    def load(name, **more):
        if name == "colour-name":
            raise KeyboardInterrupt
        return first(name, **more)

    monkeypatch.setattr(models, "load", load)
    folder, out = write(tmp_path / "d", [line("the left one", (0, "left"))]), tmp_path / "e.json"
    assert cli(["eval", "--dataset", str(folder), "--json", str(out), "--baseline", "colour-name"]) == 130
    report = json.loads(out.read_text())
    assert report["gIoU"] == 1.0 and "stopped" not in report and "baselines" not in report


def test_figures_that_cannot_be_written_after_all_are_printed(tmp_path, monkeypatch, told, capsys):
    def full(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("refseg_ros.core.report.write_json", full)
    folder = write(tmp_path / "d", [line("the left one", (0, "left"))])
    assert cli(["eval", "--dataset", str(folder), "--json", str(tmp_path / "e.json")]) == 64
    said = capsys.readouterr()
    assert "e.json cannot be written: No space left on device" in said.err and said.err.count("\n") == 1
    assert "gIoU" in said.out


def test_a_missing_dataset_is_a_wrong_command_line(tmp_path, capsys):
    assert cli(["eval", "--dataset", str(tmp_path), "--json", str(tmp_path / "e.json")]) == 64
    assert "index.jsonl" in capsys.readouterr().err
