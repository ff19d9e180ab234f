"""Fixtures of all tests, most of them of those over DDS. Nothing of ROS is imported where it is not installed."""

import os
import sys

import pytest

# One thread a process, nodes that tests start included: where a core is busy, threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it when it is first imported, whoever does that


@pytest.fixture(autouse=True)
def one_run_a_process():
    """Accelerate keeps its settings for the life of a process, which a training run is; a test is not."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def robot():
    """A Robot with no node running yet."""
    rclpy = pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
    from helpers.robot import ENVIRONMENT, Robot

    from refseg_ros.nodes.dds import use_large_message_profile

    os.environ.update(ENVIRONMENT)
    use_large_message_profile()
    rclpy.init()
    yield (robot := Robot())
    if robot.process is not None:
        robot.process.kill()
    rclpy.shutdown()


@pytest.fixture
def quick(robot):
    """The node with a model that answers at once; shared by the tests that do not change it."""
    if robot.process is None:
        robot.start("max_frame_age_s:=5.0")  # a loaded machine may keep the camera of the tests waiting for a while
        robot.ready()
    robot.reset()
    return robot


@pytest.fixture
def slow(robot):
    """The node, with a model that takes a second."""
    robot.stop()
    robot.start(seconds="1")
    robot.ready()
    yield robot
    assert robot.process.poll() is None
    robot.stop()
