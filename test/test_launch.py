"""The launch files make the node, the arguments and the remappings that docs and robots rely on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# The folder launch/ of this repository imports as an empty package where ROS launch is absent.
pytest.importorskip("launch.actions", reason="ROS launch is not installed")
pytest.importorskip("launch_ros.actions", reason="ROS launch is not installed")

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from launch import LaunchContext

FOLDER = Path(__file__).parents[1] / "launch"
PARAMETERS = FOLDER.parent / "config" / "refseg.yaml"
ARGUMENTS = {
    "namespace", "autostart", "model", "device", "weights", "image", "camera_info", "depth", "depth_camera_info",
    "instruction", "target_frame", "color_rectified", "depth_rectified", "use_sim_time", "log_level", "params_file",
    "speech", "audio",
}  # fmt: skip


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.launch.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared(module: ModuleType) -> dict[str, DeclareLaunchArgument]:
    entities = module.generate_launch_description().entities
    return {e.name: e for e in entities if isinstance(e, DeclareLaunchArgument)}


def text(context: LaunchContext, value: Any) -> str:
    return perform_substitutions(context, normalize_to_list_of_substitutions(value))


def node(monkeypatch: pytest.MonkeyPatch, **given: str) -> tuple[LaunchContext, dict[str, Any]]:
    """What the node is made of when the launch file is run with these arguments."""
    module, context = load("refseg"), LaunchContext()
    monkeypatch.setattr(module, "LifecycleNode", lambda **made: made)
    context.launch_configurations.update({"params_file": str(PARAMETERS)} | given)
    description = module.generate_launch_description()
    for argument in declared(module).values():
        argument.execute(context)
    (made,) = [n for e in description.entities if isinstance(e, OpaqueFunction) for n in e.execute(context)]
    return context, made


def given_parameters(context: LaunchContext, made: dict[str, Any]) -> dict[str, Any]:
    return {name: value.evaluate(context) for name, value in made["parameters"][1].items()}


def test_every_argument_is_declared_and_described():
    arguments = declared(load("refseg"))
    assert set(arguments) == ARGUMENTS
    assert all(a.default_value is not None and len(a.description) > 5 for a in arguments.values())


def test_the_node_is_the_installed_lifecycle_node_and_comes_back(monkeypatch):
    _, made = node(monkeypatch)
    assert (made["package"], made["executable"], made["name"]) == ("refseg_ros", "refseg_node", "refseg")
    assert made["respawn"] and made["parameters"][0] == str(PARAMETERS)


def test_nothing_given_leaves_the_parameter_file_alone(monkeypatch):
    assert given_parameters(*node(monkeypatch)) == {}


def test_a_missing_parameter_file_is_an_error(monkeypatch):
    with pytest.raises(RuntimeError, match=r"/robot\.yaml does not exist"):
        node(monkeypatch, params_file="/robot.yaml")


def test_given_arguments_reach_the_node_with_their_types(monkeypatch):
    given = {"model": "compact", "device": "cpu", "weights": "/w", "target_frame": "map"}
    switches = {"autostart": "false", "color_rectified": "true", "use_sim_time": "true"}
    parameters = given_parameters(*node(monkeypatch, **given, **switches))
    assert parameters == given | {"autostart": False, "color_rectified": True, "use_sim_time": True}


def test_the_topics_are_remapped(monkeypatch):
    context, made = node(monkeypatch, image="/cam/rgb", depth_camera_info="/cam/depth_info")
    remappings = {topic: text(context, target) for topic, target in made["remappings"]}
    assert remappings == {
        "image_raw": "/cam/rgb",
        "camera_info": "camera_info",
        "depth/image_raw": "depth/image_raw",
        "depth/camera_info": "/cam/depth_info",
        "instruction": "instruction",
    }


def test_speech_is_started_when_it_is_asked_for_and_reaches_the_node(monkeypatch):
    module, context = load("refseg"), LaunchContext()
    for name in ("LifecycleNode", "Node"):
        monkeypatch.setattr(module, name, lambda **made: made)
    given = {"speech": "true", "audio": "/mic", "namespace": "r1", "params_file": str(PARAMETERS)}
    context.launch_configurations.update(given)
    for argument in declared(module).values():
        argument.execute(context)
    functions = [e for e in module.generate_launch_description().entities if isinstance(e, OpaqueFunction)]
    node, speech = [n for f in functions for n in f.execute(context)]
    assert (speech["executable"], speech["name"], text(context, speech["namespace"])) == ("speech_node", "speech", "r1")
    remappings = {topic: text(context, target) for topic, target in speech["remappings"]}
    assert remappings["audio"] == "/mic"
    assert remappings["instruction"] == text(context, dict(node["remappings"])["instruction"])
    assert text(context, speech["parameters"][1]) == str(PARAMETERS)


@pytest.mark.parametrize(
    ("namespace", "pushed", "logger"),
    [("", None, "refseg"), ("robot1", None, "robot1.refseg"), ("/a/b", "/c", "a.b.refseg"), ("b", "/a", "a.b.refseg")],
)
def test_the_log_level_names_the_logger_of_the_namespace(monkeypatch, namespace, pushed, logger):
    names = {"namespace": namespace, "log_level": "debug"} | ({"ros_namespace": pushed} if pushed else {})
    context, made = node(monkeypatch, **names)
    assert text(context, made["arguments"][-1]) == f"{logger}:=debug"


def test_the_demo_puts_the_camera_and_the_node_into_one_namespace(monkeypatch):
    module = load("demo")
    monkeypatch.setattr(module, "Node", lambda **made: made)
    context = LaunchContext()
    context.launch_configurations.update(namespace="robot1", scene_seed="3")
    entities = module.generate_launch_description().entities
    (camera,) = [e for e in entities if isinstance(e, dict)]
    (include,) = [e for e in entities if isinstance(e, IncludeLaunchDescription)]
    assert set(declared(module)) == {"namespace", "scene_seed"}
    assert camera["executable"] == "sim_camera_node" and text(context, camera["namespace"]) == "robot1"
    assert camera["parameters"][0]["scene_seed"].evaluate(context) == 3
    assert {text(context, k): text(context, v) for k, v in include.launch_arguments} == {"namespace": "robot1"}
