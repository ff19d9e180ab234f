"""The managed node through its states, by the services that a lifecycle manager uses."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from helpers.robot import ERROR, FOUND
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

UP = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
DOWN = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)


def change(robot, transition):
    return robot.call(robot.change, ChangeState.Request(transition=Transition(id=transition))).success


def usage(pid):
    """Resident megabytes, threads and open files of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), files


def test_what_inactive_means(quick):
    assert change(quick, Transition.TRANSITION_DEACTIVATE)
    inactive = quick.ask("the red thing")
    assert (inactive.outcome, inactive.error_code) == (ERROR, "NOT_ACTIVE")
    assert change(quick, Transition.TRANSITION_CLEANUP)
    assert quick.call(quick.state, GetState.Request()).current_state.id == State.PRIMARY_STATE_UNCONFIGURED
    assert quick.until(lambda: not quick.once.service_is_ready()), "the servers outlive cleanup"
    for transition in UP:
        assert change(quick, transition)
    quick.ready()


def test_fifty_rounds_leave_memory_threads_and_files_as_they_were(quick):
    """Each round: down to unconfigured, up to active, one request answered from a fresh image."""
    pid, seen = quick.process.pid, []
    for round_number in range(50):
        for transition in DOWN + UP:
            assert change(quick, transition), round_number
        assert quick.until(lambda: quick.once.service_is_ready())
        assert quick.ask("the red thing").outcome == FOUND
        seen.append(usage(pid))
    early, late = seen[9], seen[-1]
    assert late[0] - early[0] < 15, f"{early[0]:.0f} MB after 10 rounds, {late[0]:.0f} MB after 50"
    assert late[1] <= early[1] + 1 and late[2] <= early[2] + 4, f"threads, files: {early[1:]} -> {late[1:]}"
