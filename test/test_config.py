"""config/refseg.yaml, the launch files and package.xml say what the code does."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_parameter_file_lists_every_parameter_with_its_default():
    parameters = pytest.importorskip("refseg_ros.nodes.parameters", reason="needs rclpy", exc_type=ImportError)
    content = yaml.safe_load((ROOT / "config" / "refseg.yaml").read_text(encoding="utf-8"))
    assert content["/**/refseg"]["ros__parameters"] == {n: s.default for n, s in parameters.SPECS.items()}


def test_the_launch_files_name_installed_executables():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in (ROOT / "launch").glob("*.launch.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert any(isinstance(n, ast.FunctionDef) and n.name == "generate_launch_description" for n in tree.body)
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "executable":
                assert f"install_executable({node.value.value} " in cmake


def test_package_xml_is_well_formed_and_names_what_the_code_imports():
    root = ET.parse(ROOT / "package.xml").getroot()
    named = {e.text for e in root if e.tag.endswith("depend")}
    assert {"rclpy", "sensor_msgs", "cv_bridge", "sensor_msgs_py", "visualization_msgs", "diagnostic_msgs"} <= named
    assert root.findtext("license") == "Apache-2.0"


def test_the_launch_description_builds_where_launch_is_installed():
    pytest.importorskip("launch.actions", reason="ROS launch is not on the registry")
    import importlib.util

    for path in (ROOT / "launch").glob("*.launch.py"):
        spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.generate_launch_description().entities
