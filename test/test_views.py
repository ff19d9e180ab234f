"""The views' configurations: every topic they show is one that the node has, in the type that the display takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "config"
yaml = pytest.importorskip("yaml")

DISPLAYS = {
    "rviz_default_plugins/PointCloud2": "PointCloud2",
    "rviz_default_plugins/MarkerArray": "MarkerArray",
    "rviz_default_plugins/Image": "Image",
}


@pytest.fixture(scope="module")
def topics():
    pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
    from refseg_ros.nodes.outputs import TOPICS

    return {f"/refseg/{name}": kind.__name__ for name, kind in TOPICS.items()}


def test_rviz_shows_what_the_node_publishes(topics):
    manager = yaml.safe_load((CONFIG / "refseg.rviz").read_text())["Visualization Manager"]
    shown = [d for d in manager["Displays"] if "Topic" in d]
    assert len(shown) == 4
    for display in shown:
        assert topics[display["Topic"]["Value"]] == DISPLAYS[display["Class"]]
        assert display["Topic"]["Reliability Policy"] == "Reliable"  # as the node's results are
    namespaces = next(d for d in shown if "Namespaces" in d)["Namespaces"]
    source = (CONFIG.parent / "refseg_ros" / "nodes" / "markers.py").read_text()
    assert all(f'"{name}"' in source for name in namespaces)
    assert manager["Global Options"]["Fixed Frame"] == "camera_color_optical_frame"


def test_foxglove_shows_what_the_node_publishes(topics):
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    panels = layout["configById"]

    def placed(node):
        return {node} if isinstance(node, str) else placed(node["first"]) | placed(node["second"])

    assert placed(layout["layout"]) == set(panels)
    kinds = {topic: topics[topic] for topic in panels["3D!refseg"]["topics"]}
    assert set(kinds.values()) == {"PointCloud2", "MarkerArray"}
    assert topics[panels["Image!refseg"]["imageMode"]["imageTopic"]] == "CompressedImage"
    for panel in ("RawMessages!verdicts", "RawMessages!events"):
        topic = panels[panel]["topicPath"].split(".")[0]
        assert topic in topics
    assert panels["Publish!instruction"]["topicName"] == "/instruction"
    assert json.loads(panels["Publish!instruction"]["value"]) == {"data": "the red mug"}
