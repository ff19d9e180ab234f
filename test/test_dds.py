"""The large-message profile: chosen where nobody has chosen, under the name that the distribution reads."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("ament_index_python", reason="needs ROS 2 (make setup)")

from refseg_ros.nodes.dds import OLD_VARIABLE, VARIABLE, use_large_message_profile


@pytest.mark.parametrize(
    ("distribution", "name"), [("jazzy", OLD_VARIABLE), ("kilted", VARIABLE), ("lyrical", VARIABLE), (None, VARIABLE)]
)
def test_the_profile_is_named_as_the_distribution_reads_it(monkeypatch, distribution, name):
    monkeypatch.setattr(os, "environ", {} if distribution is None else {"ROS_DISTRO": distribution})
    use_large_message_profile()
    assert os.environ[name].endswith("fastdds.xml")
    assert {VARIABLE, OLD_VARIABLE} & set(os.environ) == {name}


@pytest.mark.parametrize("name", [VARIABLE, OLD_VARIABLE])
def test_a_users_own_profile_stays(monkeypatch, name):
    monkeypatch.setattr(os, "environ", {name: "mine.xml"})
    use_large_message_profile()
    assert {k: v for k, v in os.environ.items() if k in (VARIABLE, OLD_VARIABLE)} == {name: "mine.xml"}
