"""Matched messages to a Frame: what a broken camera sends is an error by name or a reason in words, never a guess."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import RequestError
from refseg_ros.core.transform import NoTransform, rigid_transform
from refseg_ros.core.types import Instance
from refseg_ros.nodes.frames import FrameSource, Rectified, build_frame, intrinsics_of
from refseg_ros.nodes.images import fill_image
from refseg_ros.nodes.sync import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO, FrameSet, StampMatcher
from refseg_ros.nodes.worker import Job

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
THING = (slice(10, 40), slice(16, 48))


def color():
    message = fill_image(Image(), np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "rgb8")
    message.header.frame_id = "camera_optical"
    return message


def depth_of(metres=0.8):
    values = np.full((HEIGHT, WIDTH), 0, np.float32)
    values[THING] = metres
    message = fill_image(Image(), values, "32FC1")
    message.header.frame_id = "camera_optical"
    return message


def info(width=WIDTH, height=HEIGHT, focal=FOCAL, model="plumb_bob", d=()):
    k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(width=width, height=height, k=k, distortion_model=model, d=list(d))


def build(color_=None, color_info=None, depth=None, depth_info=None, problem=""):
    return build_frame(FrameSet(color_ or color(), color_info, depth, depth_info, 0, 0.0, problem))


def lifted(frame):
    """The one object that a mask over the thing becomes."""
    mask = np.ones((30, 32), bool)
    (thing,) = Lifter().lift(frame, (Instance(1, 0, 0.9, mask, (16, 10)),))
    return thing


def refused(frame, said):
    """Depth is not used, and the object says why; it has no point and no centroid."""
    assert frame.depth is None and said in frame.depth_problem, frame.depth_problem
    thing = lifted(frame)
    assert not thing.valid and said in thing.reason and not len(thing.points) and thing.centroid_m is None


def test_a_whole_moment_is_lifted():
    frame = build(color_info=info(), depth=depth_of(), depth_info=info())
    assert frame.depth_problem == "" and frame.frame_id == "camera_optical"
    thing = lifted(frame)
    assert thing.valid and thing.centroid_m[2] == pytest.approx(0.8, abs=1e-3)


def test_depth_that_never_came_says_what_the_matcher_said():
    refused(build(color_info=info(), problem="no depth image has arrived"), "no depth image has arrived")


def test_without_camera_info_there_is_no_3d():
    refused(build(depth=depth_of()), "no camera info")


@pytest.mark.parametrize("change", [{"width": 32}, {"height": 24}])
def test_a_camera_info_of_another_size_is_not_believed(change):
    refused(build(color_info=info(**change), depth=depth_of()), "the camera info is for")


def half_size():
    """The same view at half the resolution, and its camera info."""
    values = np.zeros((HEIGHT // 2, WIDTH // 2), np.float32)
    values[5:20, 8:24] = 0.8
    message = fill_image(Image(), values, "32FC1")
    message.header.frame_id = "camera_optical"
    k = [FOCAL / 2, 0.0, (WIDTH / 2 - 0.5) / 2, 0.0, FOCAL / 2, (HEIGHT / 2 - 0.5) / 2, 0.0, 0.0, 1.0]
    return message, CameraInfo(width=WIDTH // 2, height=HEIGHT // 2, k=k, distortion_model="plumb_bob")


def test_depth_of_another_size_needs_its_camera_info():
    depth, _ = half_size()
    refused(build(color_info=info(), depth=depth), "no depth camera info")
    refused(build(color_info=info(), depth=depth, depth_info=info()), "its camera info for 64 x 48")


def test_depth_of_another_size_is_registered():
    depth, depth_info = half_size()
    frame = build(color_info=info(), depth=depth, depth_info=depth_info)
    assert frame.depth_problem == "" and frame.depth.shape == (HEIGHT, WIDTH)
    expected = build(color_info=info(), depth=depth_of()).depth
    assert (frame.depth != expected).mean() < 0.05  # its outline, by half a depth pixel
    thing, same = lifted(frame), lifted(build(color_info=info(), depth=depth_of()))
    assert thing.valid and np.allclose(thing.centroid_m, same.centroid_m, atol=0.01)


def beside():
    """The thing from a depth camera of its own, 5 cm to the right and at half the resolution, and its camera info."""
    values = np.zeros((HEIGHT // 2, WIDTH // 2), np.float32)
    left = round(0.05 / 0.8 * FOCAL / 2)
    values[5:20, 8 - left : 24 - left] = 0.8
    message, depth_info = half_size()
    fill_image(message, values, "32FC1").header.frame_id = "depth_optical"
    return message, depth_info


def moment(depth, depth_info, to_color=None):
    return build_frame(FrameSet(color(), info(), depth, depth_info, 0, 0.0, ""), to_color=to_color)


def test_depth_of_another_frame_is_seen_from_the_colour_camera():
    depth, depth_info = beside()
    depth.header.stamp.sec = 5
    asked = []

    def to_color(*names):
        asked.append(names)
        return rigid_transform((0.05, 0, 0), (0, 0, 0, 1))

    frame = moment(depth, depth_info, to_color)
    assert asked == [("camera_optical", "depth_optical", 5_000_000_000)] and frame.depth_problem == ""
    thing, same = lifted(frame), lifted(build(color_info=info(), depth=depth_of()))
    assert thing.valid and np.allclose(thing.centroid_m, same.centroid_m, atol=0.012)


def test_depth_of_another_frame_needs_its_camera_info_even_at_the_same_size():
    other = depth_of()
    other.header.frame_id = "depth_optical"
    refused(moment(other, None, lambda *_: rigid_transform((0, 0, 0), (0, 0, 0, 1))), "each in a frame of its own")


def test_depth_in_a_frame_that_is_nowhere_is_not_believed():
    other = depth_of()
    other.header.frame_id = "depth_optical"
    refused(build(color_info=info(), depth=other), "'depth_optical'")

    def nowhere(*_):
        raise NoTransform("nobody has said so")

    refused(moment(other, info(), nowhere), "there is no transform between them: nobody has said so")


def test_depth_with_another_k_is_registered():
    frame = build(color_info=info(), depth=depth_of(), depth_info=info(focal=75.0))
    thing, same = lifted(frame), lifted(build(color_info=info(), depth=depth_of()))
    # A longer lens: what it sees is smaller than the same pixels of the colour camera would be.
    assert thing.valid and len(thing.points) == pytest.approx(len(same.points) * (60 / 75) ** 2, rel=0.15)


def test_a_depth_camera_that_cannot_be_is_a_reason():
    refused(build(color_info=info(), depth=depth_of(), depth_info=info(focal=-60.0)), "calibrate")
    bent = info(model="equidistant", d=(0.1, 0, 0, 0), focal=75.0)
    refused(build(color_info=info(), depth=depth_of(), depth_info=bent), "'equidistant'")


@pytest.mark.parametrize("focal", [0.0, float("nan"), -60.0])
def test_an_uncalibrated_k_is_a_reason(focal):
    refused(build(color_info=info(focal=focal), depth=depth_of()), "calibrate")


def test_an_unknown_distortion_is_refused_by_name():
    refused(build(color_info=info(model="equidistant", d=(0.1, 0, 0, 0)), depth=depth_of()), "'equidistant'")
    assert intrinsics_of(info(model="equidistant", d=(0.0, 0, 0, 0))).distortion == ()


def bent_info(focal=FOCAL, model="equidistant"):
    """A lens whose K and D hold for the raw images, and P, of focal length 50, for the rectified ones."""
    message = info(focal=focal, model=model, d=(0.1, 0.01, 0, 0))
    message.p = [50.0, 0.0, 31.0, 0.0, 0.0, 52.0, 23.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def test_rectified_images_are_described_by_p():
    found = intrinsics_of(bent_info(), rectified=True)
    assert (found.fx, found.fy, found.cx, found.cy, found.distortion) == (50.0, 52.0, 31.0, 23.0, ())
    frame = build_frame(FrameSet(color(), bent_info(), depth_of(), None, 0, 0.0, ""), rectified=Rectified(color=True))
    assert frame.depth_problem == "" and lifted(frame).valid


def test_an_unknown_distortion_names_the_switch_for_rectified_images():
    refused(build(color_info=bent_info(), depth=depth_of()), "color_rectified")
    refused(build(color_info=info(), depth=depth_of(), depth_info=bent_info(focal=75.0)), "depth_rectified")


def test_rectified_images_without_p_are_a_reason():
    messages = FrameSet(color(), info(), depth_of(), None, 0, 0.0, "")
    refused(build_frame(messages, rectified=Rectified(color=True)), "P of the camera info is empty")


def test_depth_aligned_to_rectified_colour_lies_on_it():
    """As depth_image_proc registers it: with the colour camera's own info."""
    messages = FrameSet(color(), bent_info(), depth_of(), bent_info(), 0, 0.0, "")
    frame = build_frame(messages, rectified=Rectified(color=True, depth=True))
    np.testing.assert_array_equal(frame.depth, build(color_info=info(), depth=depth_of()).depth)


def test_depth_that_is_not_rectified_is_brought_onto_rectified_colour():
    """Of one K, but seen through a lens that bends: not pixel by pixel the same."""
    bent = info(d=(-0.3, 0.1, 0.0, 0.0, 0.0))
    bent.p = [FOCAL, 0.0, WIDTH / 2, 0.0, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    messages = FrameSet(color(), bent, depth_of(), bent, 0, 0.0, "")
    alike = build_frame(messages, rectified=Rectified(color=True, depth=True)).depth
    brought = build_frame(messages, rectified=Rectified(color=True)).depth
    assert (alike > 0).sum() == 30 * 32 and (brought != alike).any()


def test_a_distorted_camera_is_lifted_along_its_true_rays():
    frame = build(color_info=info(d=(-0.3, 0.1, 0.0, 0.0, 0.0)), depth=depth_of())
    bent, straight = lifted(frame), lifted(build(color_info=info(), depth=depth_of()))
    assert bent.valid
    # Barrel distortion draws the image together: undone, the same pixels lie farther from the axis.
    assert np.ptp(bent.points[:, 0]) > 1.02 * np.ptp(straight.points[:, 0])


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), -1.0, 1e9])
def test_depth_without_a_reading_makes_no_point(value):
    thing = lifted(build(color_info=info(), depth=depth_of(value)))
    assert not thing.valid and thing.reason and not len(thing.points)


def test_one_pixel_of_depth_is_no_object():
    message = depth_of(0.0)
    values = np.zeros((HEIGHT, WIDTH), np.float32)
    values[20, 30] = 0.7
    thing = lifted(build(color_info=info(), depth=fill_image(message, values, "32FC1")))
    assert not thing.valid and thing.reason and not len(thing.points)


@pytest.mark.parametrize("encoding", ["mono16", "8UC1", "16SC1", "rgb8"])
def test_depth_of_another_encoding_is_refused_by_name_and_masks_remain(encoding):
    wrong = depth_of()
    wrong.encoding = encoding
    refused(build(color_info=info(), depth=wrong), repr(encoding))


@pytest.mark.parametrize("spoil", [
    lambda m: setattr(m, "step", 3), lambda m: setattr(m, "data", m.data[:100]), lambda m: setattr(m, "width", 0),
])  # fmt: skip
def test_broken_depth_is_a_reason_and_broken_colour_an_error(spoil):
    bad = depth_of()
    spoil(bad)
    assert build(color_info=info(), depth=bad).depth_problem
    image = color()
    spoil(image)
    with pytest.raises(RequestError) as caught:
        build(image, color_info=info(), depth=depth_of())
    assert caught.value.code.value == "IMAGE_INVALID"


def test_big_endian_depth_is_read_right():
    message = fill_image(depth_of(), np.full((HEIGHT, WIDTH), 800, ">u2"), "16UC1")
    message.is_bigendian = 1
    assert build(color_info=info(), depth=message).depth[0, 0] == pytest.approx(0.8)


def test_a_compressed_image_that_is_none_is_an_error():
    with pytest.raises(RequestError) as caught:
        build(CompressedImage(format="jpeg", data=b"nothing"))
    assert caught.value.code.value == "IMAGE_UNREADABLE"


def test_a_camera_that_changes_is_followed():
    lifter = Lifter()
    mask = np.ones((30, 32), bool)
    near, far = (
        lifter.lift(build(color_info=info(focal=f), depth=depth_of()), (Instance(1, 0, 0.9, mask, (16, 10)),))[0]
        for f in (60.0, 120.0)
    )
    assert np.ptp(near.points[:, 0]) == pytest.approx(2 * np.ptp(far.points[:, 0]), rel=0.05)


def job():
    return Job("the thing", lambda: None, lambda *_: None)


def stamped(message, seconds):
    message.header.stamp.sec = seconds
    return message


@pytest.mark.parametrize(
    ("sim_s", "stale"),
    [(0, True), (100, False), (101, False), (103, True), (5, True)],
    ids=["no /clock", "stands still", "slow", "stopped camera", "of another clock"],
)
def test_in_a_simulation_an_image_ages_by_its_clock(sim_s, stale):
    """It came ten seconds ago and was taken at 100 s of the simulation, which may be slow or stand still."""
    matcher = StampMatcher()
    matcher.add(COLOR, 100 * 10**9, stamped(color(), 100), time.monotonic() - 10.0)
    source = FrameSource(matcher, "/image_raw", sim_ns=lambda: sim_s * 10**9)
    if stale:
        with pytest.raises(RequestError) as caught:
            source.newest(job(), 0.0, 2.0)
        assert caught.value.code.value == "STALE_FRAME" and matcher.counts["stale"] == 1
    else:
        assert source.newest(job(), 0.0, 2.0).stamp_ns == 100 * 10**9


def test_a_changed_switch_is_obeyed_by_the_same_image():
    matcher = StampMatcher()
    matcher.add(COLOR_INFO, 1, bent_info(model="plumb_bob"))
    matcher.add(COLOR, 1, color())
    source = FrameSource(matcher, "/image_raw")
    focal = [source.newest(job(), 0.0, 0.0, r).intrinsics.fx for r in (Rectified(), Rectified(color=True))]
    assert focal == [60.0, 50.0]
    assert source.newest(job(), 0.0, 0.0) is source.newest(job(), 0.0, 0.0)


def test_what_was_missing_is_used_when_it_has_come_without_a_new_image():
    depth, known = depth_of(), []
    depth.header.frame_id = "depth_optical"

    def to_color(*_):
        if not known:
            raise NoTransform("nobody has said so")
        return known[0]

    matcher = StampMatcher()
    for kind, message in ((COLOR_INFO, info()), (DEPTH_INFO, info()), (DEPTH, depth), (COLOR, color())):
        matcher.add(kind, 1, message)
    source = FrameSource(matcher, "/image_raw", to_color)
    assert "no transform" in source.newest(job(), 0.0, 0.0).depth_problem
    known.append(rigid_transform((0, 0, 0), (0, 0, 0, 1)))
    found = source.newest(job(), 0.0, 0.0)
    assert found.depth is not None and not found.depth_problem
    assert source.newest(job(), 0.0, 0.0) is found


def test_a_camera_without_depth_is_decoded_once_an_image():
    matcher = StampMatcher()
    matcher.add(COLOR_INFO, 1, info())
    matcher.add(COLOR, 1, color())
    source = FrameSource(matcher, "/image_raw")
    first = source.newest(job(), 0.0, 0.0)
    assert first.depth_problem and source.newest(job(), 0.0, 0.0) is first


@pytest.mark.parametrize(
    ("info_", "depth", "expected", "said"),
    [
        (None, True, True, "no camera info has arrived"),
        (info(width=32), True, True, "is for 32 x 48, the image is 64 x 48"),
        (info(focal=0.0), True, True, "calibrate"),
        (bent_info(), True, True, "color_rectified"),
        (info(), False, True, "no depth image has arrived"),
        (info(), False, False, ""),
        (info(), True, False, ""),
    ],
)
def test_what_keeps_objects_from_3d_is_said_before_anybody_asks(info_, depth, expected, said):
    matcher = StampMatcher()
    source = FrameSource(matcher, "/image_raw")
    assert source.problem(Rectified(), expected) == ""  # nothing has come: the diagnostics say that themselves
    if info_ is not None:
        matcher.add(COLOR_INFO, 1, info_)
    if depth:
        matcher.add(DEPTH, 1, depth_of())
    matcher.add(COLOR, 1, color())
    problem = source.problem(Rectified(), expected)
    assert said in problem and bool(said) == bool(problem)


def test_depth_that_comes_and_never_matches_is_said():
    matcher = StampMatcher(slop_s=0.02, depth_wait_s=0.0)
    matcher.add(COLOR_INFO, 1, info())
    matcher.add(DEPTH, 10**9, depth_of())
    matcher.add(COLOR, 2 * 10**9, color())
    assert "1000 ms away" in FrameSource(matcher, "/image_raw").problem(Rectified(), False)


def test_a_compressed_image_has_the_size_that_it_was_decoded_to():
    data = cv2.imencode(".png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
    picture = CompressedImage(format="png", data=data)
    matcher = StampMatcher()
    matcher.add(COLOR_INFO, 1, info(width=32))
    matcher.add(COLOR, 1, picture)
    source = FrameSource(matcher, "/image_raw")
    assert source.problem(Rectified(), False) == ""
    source.newest(job(), 0.0, 0.0)
    assert "is for 32 x 48" in source.problem(Rectified(), False)
