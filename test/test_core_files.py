"""Files in, files out: frames from files, reports, PLY, overlay, and the types' own checks."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from core_fakes import FakeModel, candidate, frame

from refseg_ros.core.box_edges import BOX_EDGES, box_corners
from refseg_ros.core.files import read_camera, read_depth, read_frame, read_rgb
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import ErrorCode, ErrorReport, Outcome, RequestError, Verdict, combine
from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.pipeline import run
from refseg_ros.core.protocol import PhraseDecoding, Thresholds
from refseg_ros.core.report import ply, to_dict, write_files, write_json, write_png
from refseg_ros.core.types import (
    Frame,
    Instance,
    Intrinsics,
    Object3D,
    OrientedBox,
    PhraseVerdict,
    Segmentation,
    crop_mask,
)

K = [60, 0, 32, 0, 60, 24, 0, 0, 1]


@pytest.fixture
def folder(tmp_path):
    write_png(tmp_path / "rgb.png", np.dstack([np.full((48, 64), v, np.uint8) for v in (250, 100, 5)]))
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((48, 64), 1500, np.uint16))
    np.save(tmp_path / "depth.npy", np.full((48, 64), 1.5, np.float32))
    (tmp_path / "camera.json").write_text(json.dumps({"width": 64, "height": 48, "k": K}))
    return tmp_path


def test_frames_from_files(folder):
    for depth in ("depth.png", "depth.npy"):
        f = read_frame(folder / "rgb.png", folder / depth, folder / "camera.json")
        assert f.rgb[0, 0].tolist() == [250, 100, 5] and f.depth[0, 0] == pytest.approx(1.5)
        assert f.intrinsics.fx == 60
    assert read_frame(folder / "rgb.png").depth is None


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.png", None, ErrorCode.IMAGE_UNREADABLE),
        ("empty.png", b"", ErrorCode.IMAGE_UNREADABLE),
        ("text.png", b"hello", ErrorCode.IMAGE_UNREADABLE),
    ],
)
def test_broken_images_are_named(tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in (read_rgb, read_depth):
        with pytest.raises(RequestError, match=name) as caught:
            read(tmp_path / name)
        assert caught.value.code is code


def test_depth_of_another_kind_is_refused(tmp_path):
    write_png(tmp_path / "eight.png", np.zeros((4, 4), np.uint8))
    np.save(tmp_path / "int.npy", np.zeros((4, 4), np.int32))
    np.savez(tmp_path / "zip.npz", a=np.zeros(3))
    (tmp_path / "zip.npz").rename(tmp_path / "zip.npy")
    for name in ("eight.png", "int.npy", "zip.npy"):
        with pytest.raises(RequestError) as caught:
            read_depth(tmp_path / name)
        assert caught.value.code is ErrorCode.IMAGE_ENCODING
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(RequestError) as caught:
        read_depth(tmp_path / "bad.npy")
    assert caught.value.code is ErrorCode.IMAGE_UNREADABLE


def test_sizes_must_agree(folder):
    np.save(folder / "small.npy", np.ones((24, 32), np.float32))
    with pytest.raises(RequestError, match="32 x 24") as caught:
        read_frame(folder / "rgb.png", folder / "small.npy")
    assert caught.value.code is ErrorCode.IMAGE_INVALID
    with pytest.raises(RequestError, match="32 x 24") as caught:
        read_frame(folder / "rgb.png", None, {"width": 32, "height": 24, "k": K})
    assert caught.value.code is ErrorCode.CAMERA_INVALID


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{}", '{"width": 64, "height": 48}', '{"width": 64, "height": 48, "k": [1, 2]}',
     '{"width": "x", "height": 48, "k": [1,0,1,0,1,1,0,0,1]}', '{"width": 64, "height": 48, "k": [0,0,0,0,0,0,0,0,0]}',
     '{"width": 64, "height": 48, "k": [NaN,0,1,0,1,1,0,0,1]}', '{"width": 64, "height": 48, "k": "abc"}',
     '{"width": -1, "height": 48, "k": [1,0,1,0,1,1,0,0,1]}', "[" * 100000,
     '{"width": 64, "height": 48, "k": [1,0,1,0,1,1,0,0,1], "distortion": [1, 2]}'],
)  # fmt: skip
def test_bad_cameras_are_refused(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(content)
    with pytest.raises(RequestError) as caught:
        read_camera(path)
    assert caught.value.code is ErrorCode.CAMERA_INVALID


def answer(depth=None):
    table = {
        "the mug": PhraseDecoding(0.9, (candidate(2, 2), candidate(30, 20))),
        "the bowl": PhraseDecoding(0.5),
        "the can": PhraseDecoding(0.95, (candidate(8, 8),)),
    }
    f = frame(depth=depth)
    return f, run(FakeModel(table), f, "the mug, the bowl, the can and the é but not the box", lifter=Lifter())


def test_report_has_the_contract_s_form(tmp_path):
    _, s = answer(1.0)
    d = json.loads(json.dumps(to_dict(s), allow_nan=False))
    assert d["schema"] == 1 and d["outcome"] == "AMBIGUOUS" and d["error"] is None and d["image_size"] == [64, 48]
    assert [p["verdict"] for p in d["phrases"]] == ["AMBIGUOUS", "UNCERTAIN", "FOUND", "ABSENT"]
    assert d["excluded"] == ["the box"]
    one = d["instances"][0]
    assert one["box_xyxy"] == [2, 2, 22, 22] and one["area_px"] == 400 and one["mask"] == "mask_1.png"
    assert one["object"]["valid"] and one["object"]["points"] == "object_1.ply" and one["object"]["count"] > 300
    write_files(s, tmp_path)
    mask = cv2.imread(str(tmp_path / "mask_1.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (48, 64) and set(np.unique(mask)) == {0, 255} and (mask > 0).sum() == 400
    header, body = (tmp_path / "object_1.ply").read_bytes().split(b"end_header\n")
    assert b"binary_little_endian" in header and len(body) == one["object"]["count"] * 15
    assert not list(tmp_path.glob(".*"))
    missing = to_dict(answer()[1])["instances"][0]["object"]
    assert not missing["valid"] and missing["points"] is None and "no depth image" in missing["reason"]


def test_ply_keeps_points():
    points, colors = np.array([[1, 2, 3]], np.float32), np.array([[4, 5, 6]], np.uint8)
    assert ply(points, colors).endswith(points.tobytes() + colors.tobytes())


def test_a_file_is_whole_or_absent(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"bad": float("nan")})
    assert not list(tmp_path.iterdir())


def test_overlay_shows_masks_and_verdicts():
    f, s = answer()
    before = f.rgb.copy()
    picture = draw_overlay(f.rgb, s)
    assert picture.dtype == np.uint8 and picture.shape[0] > 48 and picture.shape[1:] == (64, 3)
    assert (picture[:48] != before).any() and (f.rgb == before).all()
    failed = draw_overlay(f.rgb, run(FakeModel(), f, ""))
    assert (failed[:48] == before).all() and failed[48:].max() > 100


def test_boxes_are_drawn_as_the_camera_sees_them():
    """A cube of 20 cm, 1 m away and straight ahead: two squares around the middle, the near one the larger."""
    camera = Intrinsics(64, 48, 60.0, 60.0, 32.0, 24.0)
    box = OrientedBox((0.0, 0.0, 1.0), (0.2, 0.2, 0.2), (0.0, 0.0, 0.0, 1.0))
    dark = np.zeros((48, 64, 3), np.uint8)
    cube = Object3D(1, True, "", "camera", (0.0, 0.0, 1.0), box, np.zeros((1, 3), np.float32))
    mask = Instance(1, 0, 0.9, np.ones((1, 1), np.bool_), (32, 24))
    said = (PhraseVerdict("it", Verdict.FOUND, 0.9, (1,)),)
    whole = Segmentation("it", Outcome.FOUND, (64, 48), "m", said, (mask,), (cube,))
    without = draw_overlay(dark, whole)[:48].max(-1) > 0
    lines = (draw_overlay(dark, whole, camera)[:48].max(-1) > 0) & ~without
    rows, columns = np.nonzero(lines)
    reach = np.array([columns.min() - 32, columns.max() - 32, rows.max() - 24])
    assert np.abs(reach - (-6.7, 6.7, 6.7)).max() <= 1.5  # 0.1 m at 0.9 m, and the lines are soft
    corners = box_corners(box)
    for a, b in BOX_EDGES:
        assert np.linalg.norm(corners[a] - corners[b]) == pytest.approx(0.2)
    behind = dataclasses.replace(cube, obb=dataclasses.replace(box, center_m=(0.0, 0.0, 0.0)))
    draw_overlay(dark, dataclasses.replace(whole, objects=(behind,)), camera)  # edges behind the camera are left out


@pytest.mark.parametrize(
    "make",
    [
        lambda: Instance(0, 0, 0.5, np.ones((1, 1), np.bool_), (0, 0)),
        lambda: Instance(1, 0, 1.5, np.ones((1, 1), np.bool_), (0, 0)),
        lambda: Instance(1, 0, 0.5, np.zeros((1, 1), np.bool_), (0, 0)),
        lambda: Instance(1, 0, 0.5, np.ones((1, 1), np.bool_), (-1, 0)),
        lambda: crop_mask(np.zeros((2, 2), np.bool_)),
        lambda: PhraseVerdict("x", Verdict.FOUND, 0.9),
        lambda: PhraseVerdict("x", Verdict.ABSENT, 0.1, (1,)),
        lambda: PhraseVerdict("x", Verdict.AMBIGUOUS, 0.9, (1,)),
        lambda: PhraseVerdict("x", Verdict.ABSENT, float("nan")),
        lambda: Object3D(1, True),
        lambda: Object3D(1, False),
        lambda: Segmentation("x", Outcome.ERROR, (1, 1), "m"),
        lambda: Segmentation("x", Outcome.FOUND, (1, 1), "m", (PhraseVerdict("x", Verdict.ABSENT, 0.1),)),
        lambda: Segmentation("x", Outcome.FOUND, (1, 1), "m", (PhraseVerdict("x", Verdict.FOUND, 0.9, (1,)),)),
        lambda: Segmentation("x", Outcome.ABSENT, (1, 1), "m", error=ErrorReport(ErrorCode.INTERNAL, "x")),
        lambda: combine([]),
        lambda: Thresholds(accept=0.2, reject=0.4),
        lambda: Thresholds(accept=1.2),
    ],
)
def test_types_refuse_what_cannot_be(make):
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Frame(np.zeros((2, 2), np.uint8)),
        lambda: Frame(np.zeros((0, 2, 3), np.uint8)),
        lambda: Frame(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2))),
        lambda: Intrinsics(0, 1, 1, 1, 1, 1),
        lambda: Intrinsics(1, 1, float("nan"), 1, 1, 1),
    ],
)
def test_frames_and_cameras_refuse_with_a_code(make):
    with pytest.raises(RequestError):
        make()
