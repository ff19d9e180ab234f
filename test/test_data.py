"""Readers of public data sets, on small folders made here in those very formats, and on damaged ones."""

import json
import os
import pickle
import pickletools
import shutil
import time

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from refseg_ros.cli.main import run as cli
from refseg_ros.core.outcome import Verdict
from refseg_ros.data.coco_masks import to_mask
from refseg_ros.data.coco_panoptic import plain_name, read_coco_panoptic
from refseg_ros.data.coco_words import arguable, covered
from refseg_ros.data.dataset import DatasetError, read_dataset
from refseg_ros.data.unpickle import load_plain
from refseg_ros.data.writer import write_dataset
from refseg_ros.evaluation.word_lists import read_panoptic, vocabulary

WIDTH, HEIGHT = 40, 30
SQUARE = [10.0, 5.0, 20.0, 5.0, 20.0, 15.0, 10.0, 15.0]


def pixels(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def packed(mask):
    out = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in out["size"]], "counts": out["counts"].decode()}


def unpacked(mask):
    """Uncompressed run lengths, column by column, zeros first: COCO's form for crowds."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": counts if not flat[0] else [0, *counts]}


LEFT, RIGHT = pixels(2, 2, 12, 12), pixels(22, 3, 35, 20)


def write_image(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))


def instances(folder):
    write_image(folder / "images", "COCO_train2014_000000000007.jpg")
    content = {
        "images": [{"id": 7, "file_name": "COCO_train2014_000000000007.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {"id": 70, "image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]},
            {"id": 71, "image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": packed(LEFT)},
            {"id": 72, "image_id": 7, "category_id": 1, "iscrowd": 1, "segmentation": unpacked(RIGHT)},
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))


def reference(number, ann_id, *said, split="val"):
    sentences = [{"sent_id": 10 * number + k, "sent": s, "raw": s.title(), "tokens": s.split()}
                 for k, s in enumerate(said)]  # fmt: skip
    return {
        "ref_id": number, "ann_id": ann_id, "image_id": 7, "category_id": 1, "split": split,
        "file_name": f"COCO_train2014_000000000007_{number}.jpg", "sentences": sentences,
        "sent_ids": [s["sent_id"] for s in sentences],
    }  # fmt: skip


@pytest.fixture
def refcoco(tmp_path):
    instances(tmp_path)
    references = [
        reference(1, 70, "the man on the left", "man in red"), reference(2, 71, "woman"), reference(3, 72, "crowd"),
        reference(4, 70, "not this", split="train"),
    ]  # fmt: skip
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(references, protocol=2))
    return tmp_path


def convert(source, kind, *more, images="images"):
    arguments = ["--from", kind, "--source", str(source), "--out", str(source / "out"), *more]
    return cli(["convert", *arguments, *(["--images", str(source / images)] if images else [])])


def test_refcoco_gives_a_line_a_sentence_and_every_form_of_mask(refcoco, capsys):
    assert convert(refcoco, "refcoco", "--split", "val") == 0
    assert "wrote 4 instructions" in capsys.readouterr().err
    samples = read_dataset(refcoco / "out")
    assert [s.instruction for s in samples] == ["the man on the left", "man in red", "woman", "crowd"]
    assert all(s.verdicts() == (Verdict.FOUND,) and s.image.is_file() for s in samples)
    masks = [s.targets[0].read((WIDTH, HEIGHT)) for s in samples]
    assert (masks[2] == LEFT).all() and (masks[3] == RIGHT).all()
    assert masks[0][6:15, 11:20].all() and masks[0].sum() == pytest.approx(100, abs=22)  # a polygon's edge is its own
    assert samples[0].targets[0].mask == samples[1].targets[0].mask


def test_a_conversion_goes_on_where_it_was(refcoco):
    assert convert(refcoco, "refcoco") == 0
    kept = refcoco / "out" / "mask" / "70.png"
    os.utime(kept, (time.time() - 100,) * 2)
    before = kept.stat().st_mtime
    (refcoco / "out" / "mask" / "71.png").unlink()
    assert convert(refcoco, "refcoco", "--limit", "3") == 0
    assert kept.stat().st_mtime == before and (refcoco / "out" / "mask" / "71.png").is_file()
    assert len(read_dataset(refcoco / "out")) == 3


def test_a_pickle_of_python_two_is_read(tmp_path):
    text = b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xc3\\xa9'\np3\nsS'ref_id'\np4\nI7\nsa."  # protocol 0, byte strings
    (tmp_path / "x.p").write_bytes(text)
    assert load_plain(tmp_path / "x.p") == [{"sent": "café", "ref_id": 7}]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_something_is_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps([Evil()], protocol=protocol)
    assert any(op.name in ("GLOBAL", "STACK_GLOBAL") for op, _, _ in pickletools.genops(content))
    (tmp_path / "x.p").write_bytes(content)
    with pytest.raises(DatasetError, match=r"more than plain.*mkdir"):
        load_plain(tmp_path / "x.p")
    assert not (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"hello", b"\x80\x02]q\x00(K\x01", b"(i__main__\nX\n."])
def test_a_damaged_pickle_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "x.p").write_bytes(content)
    with pytest.raises(DatasetError, match=r"x\.p"):
        load_plain(tmp_path / "x.p")


def test_grefcoco_knows_several_targets_and_none(tmp_path):
    instances(tmp_path)
    references = [reference(1, [70, 72], "all of them"), reference(2, [-1], "the zebra"), reference(3, [71], "she")]
    (tmp_path / "grefs(unc).json").write_text(json.dumps(references))
    assert convert(tmp_path, "grefcoco") == 0
    both, none, one = read_dataset(tmp_path / "out")
    assert [len(s.targets) for s in (both, none, one)] == [2, 0, 1]
    assert [s.verdicts()[0] for s in (both, none, one)] == [Verdict.FOUND, Verdict.ABSENT, Verdict.FOUND]
    assert [s.kind for s in (both, none, one)] == ["multi-target", "0-target", "1-target"]
    assert (both.targets[1].read((WIDTH, HEIGHT)) == RIGHT).all()


def sa1b(folder):
    write_image(folder, "sa_1.jpg")
    annotations = [
        {"id": n, "segmentation": packed(mask), "bbox": [0, 0, 1, 1], "area": int(mask.sum()), "predicted_iou": iou,
         "stability_score": 0.97, "point_coords": [[5.0, 5.0]], "crop_box": [0, 0, WIDTH, HEIGHT]}
        for n, mask, iou in ((500, LEFT, 0.95), (501, LEFT | RIGHT, 0.9), (502, RIGHT, 0.5))
    ]  # fmt: skip
    picture = {"image_id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "sa_1.jpg"}
    (folder / "sa_1.json").write_text(json.dumps({"image": picture, "annotations": annotations}))


def test_sa1b_asks_for_everything_and_overlaps_survive(tmp_path):
    sa1b(tmp_path)
    assert convert(tmp_path, "sa1b", "--least-iou", "0.88", images=None) == 0
    (sample,) = read_dataset(tmp_path / "out")
    masks = [t.read((WIDTH, HEIGHT)) for t in sample.targets]
    assert len(masks) == 2 and (masks[0] == LEFT).all() and (masks[1] == LEFT | RIGHT).all()
    assert sample.verdicts() == (Verdict.FOUND,)


def panoptic(folder, crowd=0):
    write_image(folder / "images", "000000000009.jpg")
    (folder / "panoptic_val2017").mkdir()
    ids = np.full((HEIGHT, WIDTH), 3_000_000, np.uint32)
    ids[LEFT], ids[RIGHT] = 70_001, 255
    ids[25:28, 3:9] = 5
    colours = np.stack([ids >> 16, (ids >> 8) & 255, ids & 255], -1).astype(np.uint8)  # as BGR: R + 256 G + 65536 B
    cv2.imwrite(str(folder / "panoptic_val2017" / "000000000009.png"), colours)
    segments = [
        {"id": 70_001, "category_id": 18, "iscrowd": crowd}, {"id": 255, "category_id": 18, "iscrowd": 0},
        {"id": 5, "category_id": 88, "iscrowd": 0}, {"id": 3_000_000, "category_id": 190, "iscrowd": 0},
    ]  # fmt: skip
    categories = [
        {"id": 18, "name": "dog", "isthing": 1}, {"id": 88, "name": "teddy bear", "isthing": 1},
        {"id": 23, "name": "bear", "isthing": 1}, {"id": 5, "name": "airplane", "isthing": 1},
        {"id": 190, "name": "floor-other-merged", "isthing": 0}, {"id": 7, "name": "wall-brick", "isthing": 0},
    ]  # fmt: skip
    content = {
        "images": [{"id": 9, "file_name": "000000000009.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"image_id": 9, "file_name": "000000000009.png", "segments_info": segments}],
        "categories": categories,
    }
    (folder / "panoptic_val2017.json").write_text(json.dumps(content))


def test_coco_panoptic_asks_by_category_and_for_one_that_is_not_there(tmp_path):
    panoptic(tmp_path)
    assert convert(tmp_path, "coco-panoptic", "--split", "panoptic_val2017") == 0
    said = {s.instruction: s for s in read_dataset(tmp_path / "out")}
    # Never "the bear": a teddy bear is in the image. Never an absent stuff: the wall could be argued about.
    assert set(said) == {"every dog", "the teddy bear", "the floor", "the airplane"}
    assert {k: s.kind for k, s in said.items()} == {
        "every dog": "all-of", "the teddy bear": "name", "the floor": "stuff", "the airplane": "absent-name"
    }  # fmt: skip
    dogs = [t.read((WIDTH, HEIGHT)) for t in said["every dog"].targets]
    assert (dogs[0] == LEFT).all() and (dogs[1] == RIGHT).all() and not said["the airplane"].targets


def test_a_group_that_was_not_separated_is_not_asked_for(tmp_path):
    panoptic(tmp_path, crowd=1)
    assert convert(tmp_path, "coco-panoptic", "--split", "panoptic_val2017") == 0
    assert "every dog" not in {s.instruction for s in read_dataset(tmp_path / "out")}


@pytest.mark.parametrize(
    ("name", "thing", "others", "expected"),
    [
        ("food", False, ["pizza"], True), ("food", False, ["dog"], False), ("water", False, ["sea"], True),
        ("pillow", False, [], True), ("sky", False, ["sea"], False), ("bear", True, ["teddy bear"], True),
        ("dog", True, ["cat"], False),
    ],
)  # fmt: skip
def test_a_wider_name_and_many_drawn_as_one_can_be_argued_about(name, thing, others, expected):
    assert arguable(name, thing, others) is expected


def test_what_a_wider_name_in_view_may_cover_is_no_sure_absence():
    assert covered("apple", ["food"]) and covered("potted plant", ["tree"]) and not covered("apple", ["dog"])


@pytest.mark.parametrize("crowd", [0, 1])
def test_coco_panoptic_gives_word_lists_too(tmp_path, crowd):
    """Without them neither words nor panoptic tasks could be drawn from it."""
    panoptic(tmp_path, crowd)
    for _ in range(2):  # again, and nothing changes
        assert convert(tmp_path, "coco-panoptic", "--split", "panoptic_val2017") == 0
    (row,) = (json.loads(line) for line in (tmp_path / "out" / "panoptic.jsonl").read_text().splitlines())
    names = ["dog", "dog", "teddy bear", "floor"][crowd:]
    assert [s["name"] for s in row["segments"]] == names and row["unsure"] == ["dog"] * crowd
    assert [s["id"] for s in row["segments"] if s["stuff"]] == [len(names)]
    (sample,) = read_panoptic(tmp_path / "out")
    ids, index = sample.truth().ids, read_dataset(tmp_path / "out")
    assert sample.image == index[0].image
    assert (ids[RIGHT] == 2 - crowd).all() and (ids[LEFT] == (4 if crowd else 1)).all()
    assert set(np.unique(ids)) <= set(range(5)) and sample.crowd == ({4} if crowd else set())
    assert sample.truth().crowd == sample.crowd and vocabulary([sample]) == (["dog", "teddy bear"], ["floor"])
    with pytest.raises(DatasetError, match=r"panoptic_val2017/000000000009\.png cannot be read"):
        (tmp_path / "panoptic_val2017" / "000000000009.png").unlink()
        shutil.rmtree(tmp_path / "out" / "panoptic")
        write_dataset(read_coco_panoptic(tmp_path, tmp_path / "images", "panoptic_val2017"), tmp_path / "out")


def test_names_are_said_as_people_say_them():
    assert [plain_name(n) for n in ("floor-other-merged", "wall-brick", "food-other-merged", "water-other", "stuff")]
    assert plain_name("floor-other-merged") == "floor" and plain_name("wall-brick") == "wall brick"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "no polygon"),
        ([[1, 1, 5, 1]], "three corners"),
        ([[1, 1, 5, 1, 5, 5, 3]], "three corners"),
        ([[1, 1, 5, 1, float("nan"), 5]], "three corners"),
        ([[1, 1, 5, 1, 1e9, 5]], "far outside"),
        ({"size": [HEIGHT, WIDTH]}, "counts"),
        ({"size": [5, 5], "counts": "PPYo0"}, "its image"),
        ({"size": [HEIGHT, WIDTH], "counts": [0, -3]}, "whole numbers"),
        ({"size": [HEIGHT, WIDTH], "counts": [0, 30]}, "end before"),
        ({"size": [HEIGHT, WIDTH], "counts": 7}, "list or text"),
        ({"size": [HEIGHT, WIDTH], "counts": "zzzz~~~~"}, "run lengths|RLE"),
        (None, "list of polygons"),
    ],
)
def test_a_damaged_mask_is_refused_with_the_reason(wrong, said):
    with pytest.raises(ValueError, match=said):
        to_mask(wrong, (WIDTH, HEIGHT))


def test_a_cut_off_text_of_run_lengths_is_refused():
    whole = packed(LEFT)
    with pytest.raises(ValueError, match=r"end before|RLE"):
        to_mask({**whole, "counts": whole["counts"][: len(whole["counts"]) // 2]}, (WIDTH, HEIGHT))


def _break(folder, what):
    if what == "image":
        (folder / "images" / "COCO_train2014_000000000007.jpg").unlink()
    elif what == "instances":
        (folder / "instances.json").write_text('{"images": [')
    elif what == "no instances":
        (folder / "instances.json").unlink()
    elif what == "no annotation":
        (folder / "refs(unc).p").write_bytes(pickle.dumps([reference(1, 99, "man")]))
    elif what == "no sentences":
        (folder / "refs(unc).p").write_bytes(pickle.dumps([{"split": "val", "ref_id": 4, "ann_id": 1, "image_id": 7}]))
    elif what == "mask":
        content = json.loads((folder / "instances.json").read_text())
        content["annotations"][0]["segmentation"] = [[1, 2]]
        (folder / "instances.json").write_text(json.dumps(content))
    elif what == "two":
        (folder / "refs(umd).p").write_bytes((folder / "refs(unc).p").read_bytes())
    elif what == "no refs":
        (folder / "refs(unc).p").unlink()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("image", "is missing; check the folder of images"),
        ("instances", "is not JSON"),
        ("no instances", "cannot be read"),
        ("no annotation", "lacks 99"),
        ("no sentences", "reference 4 lacks"),
        ("mask", "the mask 70 is damaged: a polygon"),
        ("two", "say which with --by"),
        ("no refs", "holds no refs(...).p"),
    ],
)
def test_a_bad_folder_is_a_wrong_command_line_said_in_one_sentence(refcoco, capsys, what, said):
    _break(refcoco, what)
    assert convert(refcoco, "refcoco") == 64
    err = capsys.readouterr().err
    assert said in err and err.count("refseg:") == 1 and "Traceback" not in err
    assert not (refcoco / "out" / "index.jsonl").exists()


def test_a_split_that_is_not_there_is_named(refcoco, capsys):
    assert convert(refcoco, "refcoco", "--split", "testA") == 64
    assert "no split 'testA'; it has train, val" in capsys.readouterr().err


def test_other_bad_folders_are_refused(tmp_path, capsys):
    assert convert(tmp_path, "sa1b", images=None) == 64
    (tmp_path / "sa_1.json").write_text('{"image": {"file_name": "a.jpg", "width": 0, "height": 3}}')
    assert convert(tmp_path, "sa1b", images=None) == 64
    assert convert(tmp_path, "coco-panoptic", images=None) == 64
    err = capsys.readouterr().err
    assert "holds no JSON" in err and "0 x 3" in err and "val.json" in err


def test_a_folder_behind_a_link_is_read_back(tmp_path):
    """Its pictures are found from where it is, which is not where its name is."""
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    panoptic(tmp_path)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "deep")
    assert convert(tmp_path, "coco-panoptic", "--split", "panoptic_val2017") == 0
    assert all(sample.image.is_file() for sample in read_dataset(tmp_path / "out"))


def test_annotations_that_are_none_are_said_so(tmp_path, capsys):
    panoptic(tmp_path)
    file = tmp_path / "panoptic_val2017.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": [5]}))
    assert convert(tmp_path, "coco-panoptic", "--split", "panoptic_val2017") == 64
    err = capsys.readouterr().err
    assert "panoptic_val2017.json is not what the format says" in err and "Traceback" not in err


def test_a_line_without_phrases_and_one_with_a_separator_in_its_text(tmp_path):
    row = {"image": "a.png", "instruction": "the mug\u2028the bowl", "phrases": ["the mug"], "targets": []}
    (tmp_path / "index.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert len(read_dataset(tmp_path)) == 1
    (tmp_path / "index.jsonl").write_text(json.dumps(row | {"phrases": []}) + "\n")
    with pytest.raises(DatasetError, match=r"line 1 is not a sample: it has no phrases"):
        read_dataset(tmp_path)
