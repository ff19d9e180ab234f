"""Picking: the grasp planner on shapes that are known, the tasks, the figures of the report, and the cell's physics."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from refseg_ros.pick.planner import NoGrasp, plan
from refseg_ros.pick.shape import GRIPPER
from refseg_ros.pick.tasks import KINDS, choose, plain

TABLE = 0.4
EYE = np.array([0.0, -0.8, 1.0])


def box(centre, size, yaw=0.0, step=0.004):
    """What a camera at EYE sees of a box that stands on the table: its top and the sides that face the camera."""
    a, b, c = (np.arange(-s / 2, s / 2 + 1e-9, step) for s in size)
    faces = [np.stack(np.meshgrid(a, b, [size[2] / 2]), -1).reshape(-1, 3)]
    for sign in (-1, 1):
        faces.append(np.stack(np.meshgrid([sign * size[0] / 2], b, c), -1).reshape(-1, 3))
        faces.append(np.stack(np.meshgrid(a, [sign * size[1] / 2], c), -1).reshape(-1, 3))
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    normals = [(0, 0, 1), (-1, 0, 0), (0, -1, 0), (1, 0, 0), (0, 1, 0)]
    place = np.array([*centre, TABLE + size[2] / 2])
    seen = [f for f, n in zip(faces, normals, strict=True) if (EYE - place) @ (turn @ n) > 0]
    return np.concatenate(seen) @ turn.T + place


GRID = np.arange(-0.4, 0.4, 0.01)
TABLE_TOP = np.stack(np.meshgrid(GRID, GRID, [TABLE]), -1).reshape(-1, 3)


@pytest.mark.parametrize("yaw", [0.0, 0.5, 1.2, 2.4])
def test_a_box_is_held_across_its_narrow_side(yaw):
    grasp = plan(box((0.1, 0.05), (0.15, 0.05, 0.08), yaw), TABLE_TOP, TABLE, EYE)
    closing = np.array([np.cos(grasp.yaw), np.sin(grasp.yaw)])
    narrow = np.array([-np.sin(yaw), np.cos(yaw)])
    assert abs(closing @ narrow) > np.cos(np.radians(16))
    assert abs((np.array(grasp.tip[:2]) - (0.1, 0.05)) @ closing) < 0.015
    assert 0.04 < grasp.width < 0.075 and grasp.width < grasp.opening <= GRIPPER.opening
    assert TABLE < grasp.tip[2] < TABLE + 0.08


def test_what_stands_beside_it_turns_the_grasp_or_forbids_it():
    thing = box((0, 0), (0.06, 0.05, 0.10))
    free = plan(thing, TABLE_TOP, TABLE, EYE)
    closing = np.array([np.cos(free.yaw), np.sin(free.yaw)])
    beside = [box(tuple(sign * 0.065 * closing), (0.03, 0.03, 0.12)) for sign in (-1, 1)]
    turned = plan(thing, np.concatenate([TABLE_TOP, *beside]), TABLE, EYE)
    assert abs(np.cos(turned.yaw - free.yaw)) < 0.8
    ring = [box((0.065 * np.cos(a), 0.065 * np.sin(a)), (0.03, 0.03, 0.12)) for a in np.linspace(0, 6.2, 12)]
    with pytest.raises(NoGrasp, match="way"):
        plan(thing, np.concatenate([TABLE_TOP, *ring]), TABLE, EYE)


def test_what_is_too_wide_or_not_there_is_refused():
    with pytest.raises(NoGrasp, match="wide"):
        plan(box((0, 0), (0.2, 0.2, 0.05)), TABLE_TOP, TABLE, EYE)
    with pytest.raises(NoGrasp, match="above the table"):
        plan(TABLE_TOP[:200], TABLE_TOP, TABLE, EYE)


def test_the_far_side_of_a_thing_is_reckoned_with():
    """Of a round can only the half that faces the camera is seen: the fingers must not close in front of it."""
    angle = np.linspace(-np.pi, 0, 60)
    z = np.linspace(0.0, 0.1, 26)
    ring = np.stack([0.035 * np.cos(angle), 0.035 * np.sin(angle)], 1)
    can = np.concatenate([np.column_stack([ring, np.full(60, TABLE + h)]) for h in z])
    grasp = plan(can, TABLE_TOP, TABLE, EYE)
    assert np.hypot(*grasp.tip[:2]) < 0.02


def truth(**changes):
    things = [
        {"id": 0, "noun": "can", "category": "can", "inside": None},
        {"id": 1, "noun": "plate", "category": "plate", "inside": None},
        {"id": 2, "noun": "lemon", "category": "food", "inside": 0},
    ]
    said = [
        {"type": "name", "text": "the plate", "targets": [[1]]},
        {"type": "name", "text": "the can", "targets": [[0]]},
        {"type": "name", "text": "the lemon", "targets": [[2]]},
        {"type": "absent-name", "text": "the bowl", "targets": [[]]},
        {"type": "ambiguous", "text": "the object", "targets": [[0, 1, 2]]},
    ]
    return {"scene_seed": 3, "objects": things, "expressions": said} | changes


def test_tasks_ask_for_what_stands_free_and_for_what_is_not_there():
    tasks = [choose(truth(), number) for number in range(len(KINDS))]
    assert [(t.kind, t.instruction, t.target) if t else None for t in tasks] == [
        ("pick", "the can", 0), ("pick", "the can", 0), ("absent", "the bowl", None), ("pick", "the can", 0), None,
    ]  # fmt: skip
    assert tasks[0].along == {2}  # what lies in it may come up with it
    assert choose(truth(expressions=[]), 0) is None


def test_only_plain_words_are_asked_unless_all_are_wanted():
    said = [{"type": "name", "text": "the ceramic can", "targets": [[0]]}]
    assert choose(truth(expressions=said), 0) is None
    assert choose(truth(expressions=said), 0, every_word=True).instruction == "the ceramic can"
    assert plain("the red mug left of the tomato sauce") and not plain("the biggest mug")


def test_the_report_counts_what_was_done():
    pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
    from refseg_ros.pick.__main__ import summary

    def row(kind, outcomes, picked, right, code="FOUND"):
        return {"kind": kind, "outcomes": outcomes, "picked": picked, "right": right, "code": code}

    figures = summary(
        [
            row("pick", ["FOUND"] * 3, True, True),
            row("pick", ["FOUND"] * 3, True, False),
            row("pick", ["FOUND"] * 3, False, False, "NO_GRASP"),
            row("pick", ["UNCERTAIN"], False, False, "UNCERTAIN"),
            row("absent", ["ABSENT"], False, True, "ABSENT"),
            row("ambiguous", ["FOUND"] * 3, True, False),
        ]
    )
    assert (figures["scenes"], figures["found"], figures["picked_right"]) == (6, 3, 1)
    assert (figures["refused_right"], figures["picked_when_it_should_not"]) == (1, 1)
    assert figures["picked_wrong_or_dropped"] == 1 and figures["not_picked_although_found"] == {"NO_GRASP": 1}
    assert figures["picked_although_refused_by_the_node"] == 0


@pytest.mark.parametrize(("blind", "code"), [(2, "FOUND"), (9, "NO_3D")])
def test_an_image_without_depth_is_looked_past(monkeypatch, blind, code):
    pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
    from refseg_ros.msg import Object3D, SegmentationResult
    from refseg_ros.pick import picker

    def answers():
        for n in range(1, 20):
            result = SegmentationResult(outcome=SegmentationResult.FOUND)
            result.header.stamp.sec = n
            result.objects = [Object3D(valid=n > blind, reason="" if n > blind else "no depth here")]
            yield result

    given = answers()
    robot = picker.Picker.__new__(picker.Picker)  # no node: what it hears is given
    monkeypatch.setattr(robot, "_ask", lambda instruction, spin: next(given), raising=False)
    monkeypatch.setattr(robot, "_planned", lambda *_: "a grasp", raising=False)
    monkeypatch.setattr(robot, "_execute", lambda *_: 0.03, raising=False)
    attempt = robot.pick("the mug", lambda: None)
    assert attempt.code == code and attempt.picked == (code == "FOUND")
    assert len(attempt.outcomes) == (blind + picker.ASKS if code == "FOUND" else picker.LOOK_AGAIN + 1)


# The cell


@pytest.fixture(scope="module")
def cell():
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the cell needs mujoco (requirements/sim.txt)")
    from refseg_ros.sim import assets

    if not assets.sources():
        pytest.skip("no asset wheel is installed (requirements/assets.txt)")
    from refseg_ros.pick.cell import Cell

    with Cell(width=160, height=120) as cell:
        yield cell


def go(cell, **goal):
    cell.command(goal)
    for _ in range(160):
        cell.step(0.05)
        if cell.pose.arrived:
            return
    raise AssertionError(f"it did not get to {goal}: {cell.pose}")


def test_the_gripper_lifts_by_friction_and_lets_go(cell):
    """A can, held in its middle: up it stays in the hand, with the fingers' own force; opened, it falls."""
    scene = cell.show(5, (1, 1))
    (thing,) = scene.objects
    x, y, z = thing.position_world
    go(cell, x=x, y=y)
    go(cell, z=z)
    assert cell.held_s == {0: 0.0}
    go(cell, opening=0.0)
    closed = cell.pose
    assert closed.opening > 0.01 and closed.force == pytest.approx(6.0, abs=0.5)
    go(cell, z=z + 0.2)
    cell.step(1.2)
    assert cell.held_s[0] > 1.0
    go(cell, opening=0.12)
    cell.step(0.5)
    assert cell.held_s[0] == 0.0


def test_another_scene_parks_the_gripper_open_and_out_of_the_picture(cell):
    from refseg_ros.pick.cell import PARKED

    scene = cell.show(6, (2, 3))
    pose = cell.pose
    np.testing.assert_allclose((pose.x, pose.y, pose.z), PARKED[:3], atol=0.005)
    assert pose.opening == pytest.approx(GRIPPER.opening, abs=0.002) and set(cell.held_s.values()) == {0.0}
    assert not np.any((scene.instance_ids < 0) & (scene.stuff_ids < 0) & (scene.depth > 0) & (scene.depth < 0.5))
    assert cell.picture().shape == (120, 160, 3)


def test_a_command_that_cannot_be_is_refused(cell):
    for wrong in ({"roll": 1.0}, {"x": float("nan")}):
        with pytest.raises(ValueError, match="gripper"):
            cell.command(wrong)
