"""`refseg replay` on small bags made here: matching, depth that is missing, and bags that are none."""

import json

import numpy as np
import pytest

rosbag2 = pytest.importorskip("rosbags.rosbag2")

from helpers.fake_model import ColourModel  # noqa: E402
from rosbags.typesys import Stores, get_typestore  # noqa: E402

from refseg_ros.cli.main import run  # noqa: E402

STORE = get_typestore(Stores.ROS2_KILTED)
K = [200.0, 0.0, 80.0, 0.0, 200.0, 60.0, 0.0, 0.0, 1.0]


def message(kind, stamp_ms, **fields):
    types = STORE.types
    stamp = types["builtin_interfaces/msg/Time"](sec=1 + stamp_ms // 1000, nanosec=stamp_ms % 1000 * 1_000_000)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
    return types[f"sensor_msgs/msg/{kind}"](header=header, **fields)


def picture(stamp_ms, pixels, encoding):
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).view(np.uint8).ravel()
    return message(
        "Image", stamp_ms, height=height, width=width, encoding=encoding, is_bigendian=0, step=len(data) // height,
        data=data,
    )  # fmt: skip


def camera(stamp_ms):
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return message(
        "CameraInfo", stamp_ms, height=120, width=160, distortion_model="plumb_bob", d=np.zeros(5), k=np.array(K),
        r=np.eye(3).ravel(), p=np.zeros(12), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


@pytest.fixture
def bag(tmp_path):
    """Four images 100 ms apart; the third has no depth."""
    rgb, depth = np.full((120, 160, 3), 90, np.uint8), np.full((120, 160), 1000, np.uint16)
    rgb[20:50, 20:60], depth[20:50, 20:60] = (255, 0, 0), 600
    path = tmp_path / "bag"
    with rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        topics = (("/image_raw", "Image"), ("/depth/image_raw", "Image"), ("/camera_info", "CameraInfo"))
        by_topic = {t: writer.add_connection(t, f"sensor_msgs/msg/{k}", typestore=STORE) for t, k in topics}
        for n in range(4):
            sent = [("/camera_info", camera(100 * n)), ("/image_raw", picture(100 * n, rgb, "rgb8"))]
            if n != 2:
                sent.append(("/depth/image_raw", picture(100 * n, depth, "16UC1")))
            for order, (topic, m) in enumerate(sent):
                connection = by_topic[topic]
                writer.write(connection, 10**9 + n * 10**8 + order * 10**6, STORE.serialize_cdr(m, connection.msgtype))
    return path


@pytest.fixture(autouse=True)
def model(monkeypatch):
    models = pytest.importorskip("refseg_ros.models")
    from refseg_ros.models.base import Segmenter

    monkeypatch.setattr(models, "load", lambda *a, **k: Segmenter(ColourModel()))


def replayed(bag, out, *more):
    code = run(["replay", str(bag), "--instruction", "the red thing", "--out", str(out), *more])
    return code, [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_image_is_answered_with_the_depth_of_its_own_moment(bag, tmp_path):
    code, lines = replayed(bag, tmp_path / "out")
    assert code == 0 and [line["outcome"] for line in lines] == ["FOUND"] * 4
    assert [line["stamp_ns"] for line in lines] == [10**9 + n * 10**8 for n in range(4)]
    objects = [line["instances"][0]["object"] for line in lines]
    assert [o is not None and o["valid"] for o in objects] == [True, True, False, True]
    assert objects[0]["centroid_m"][2] == pytest.approx(0.6, abs=0.005)
    for line in lines:
        assert (tmp_path / "out" / line["instances"][0]["mask"]).is_file()
    assert (tmp_path / "out" / "0003" / "overlay.png").is_file()


def test_results_that_cannot_be_written_are_one_sentence(bag, tmp_path, capsys):
    (tmp_path / "o" / "results.jsonl").mkdir(parents=True)
    assert run(["replay", str(bag), "--instruction", "the red thing", "--out", str(tmp_path / "o")]) == 64
    assert "results.jsonl: Is a directory; check --out and the disk" in capsys.readouterr().err


def test_rectified_images_need_p(bag, tmp_path):
    """The camera info of the bag has none, and with the switch nothing is in 3-D."""
    code, lines = replayed(bag, tmp_path / "out", "--color-rectified")
    assert code == 0 and [line["instances"][0]["object"] for line in lines] == [None] * 4


def test_every_so_many_th(bag, tmp_path):
    assert [line["stamp_ns"] for line in replayed(bag, tmp_path / "out", "--every", "3")[1]] == [10**9, 13 * 10**8]


def test_an_error_is_written_and_is_the_exit_code(bag, tmp_path):
    out = tmp_path / "out"
    assert run(["replay", str(bag), "--instruction", "", "--out", str(out)]) == 2
    assert json.loads((out / "results.jsonl").read_text().splitlines()[0])["error"]["code"] == "INSTRUCTION_EMPTY"


def test_a_wrong_topic_is_answered_with_the_right_ones(bag, tmp_path, capsys):
    wrong = ["replay", str(bag), "--instruction", "x", "--out", str(tmp_path / "o"), "--image", "/nothing"]
    assert run(wrong) == 64
    assert "/image_raw" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"not a bag"])
def test_what_is_no_bag_is_a_wrong_command_line(tmp_path, capsys, content):
    path = tmp_path / "x.mcap"
    if content is not None:
        path.write_bytes(content)
    assert run(["replay", str(path), "--instruction", "x", "--out", str(tmp_path / "o")]) == 64
    assert capsys.readouterr().err.count("\n") == 1
