"""config/refseg.yaml, the launch files and package.xml say what the code does."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
# What has another name for rosdep than for Python; ROS packages have the same.
APT = {
    "PIL": "python3-pil",
    "cv2": "python3-opencv",
    "jinja2": "python3-jinja2",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "rich": "python3-rich",
    "scipy": "python3-scipy",
    "tf2_ros": "tf2_ros_py",
    "typer": "python3-typer",
    "yaml": "python3-yaml",
}
# Used where somebody has installed it; nothing that a robot needs.
OPTIONAL = {"audio_common_msgs"}


@pytest.mark.parametrize(("node", "module"), [("refseg", "parameters"), ("speech", "speech_parameters")])
def test_the_parameter_files_list_every_parameter_with_its_default(node, module):
    parameters = pytest.importorskip(f"refseg_ros.nodes.{module}", reason="needs rclpy", exc_type=ImportError)
    content = yaml.safe_load((ROOT / "config" / f"{node}.yaml").read_text(encoding="utf-8"))
    assert content[f"/**/{node}"]["ros__parameters"] == {n: s.default for n, s in parameters.SPECS.items()}


def test_the_launch_files_name_installed_executables():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in (ROOT / "launch").glob("*.launch.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert any(isinstance(n, ast.FunctionDef) and n.name == "generate_launch_description" for n in tree.body)
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "executable":
                assert f"install_executable({node.value.value} " in cmake


def imported_modules() -> set[str]:
    """Top-level names of everything the package imports, by name or through importlib."""
    names: set[str] = set()
    for path in (ROOT / "refseg_ros").rglob("*.py"):
        if path.relative_to(ROOT / "refseg_ros").parts[0] in ("msg", "srv", "action"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module or "")
            elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "find_spec"):
                names |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"refseg_ros", "setuptools"}


def test_package_xml_names_what_the_code_imports():
    root = ET.parse(ROOT / "package.xml").getroot()
    named = {e.text for e in root if e.tag in ("depend", "exec_depend")}
    files = [ROOT / "requirements" / f"{name}.txt" for name in ("base", "sim", "speech", "train")]
    lines = [line for path in files for line in path.read_text().split()]
    wheels = {re.split("[<>=]", line)[0].replace("-", "_") for line in lines}
    unnamed = {m for m in imported_modules() if not {m, APT.get(m)} & named and m not in wheels | OPTIONAL}
    assert not unnamed, f"name {unnamed} in package.xml (rosdep key), or in requirements/ if rosdep has none"
    assert {APT[m] for m in APT} <= named, "package.xml names what nobody imports"


def test_package_xml_and_pyproject_agree():
    root = ET.parse(ROOT / "package.xml").getroot()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for tag, key in (("name", "name"), ("version", "version")):
        assert f'{key} = "{root.findtext(tag)}"' in project
    assert root.findtext("license") == "Apache-2.0" and "Apache-2.0" in project


def test_both_front_ends_install_the_same_executables():
    installed = re.findall(r"^install_executable\((\w+) ([\w.]+)\)", (ROOT / "CMakeLists.txt").read_text(), re.M)
    scripts = re.findall(r'^(\w+) = "([\w.]+):main"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert sorted(installed) == sorted(scripts)
    for _, module in installed:
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


def test_the_wheel_takes_every_data_file_of_the_package():
    """CMake installs everything in the folder; setup.py lists the data files."""
    setup = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    keywords = [node for node in ast.walk(setup) if isinstance(node, ast.keyword)]
    (patterns,) = [ast.unparse(keyword.value) for keyword in keywords if keyword.arg == "package_data"]
    globs = re.findall(r"'([^']+)'", patterns)
    listed = {path for pattern in globs for path in (ROOT / "refseg_ros").glob(pattern)}
    made = {"msg", "srv", "action", "__pycache__"}
    for path in (ROOT / "refseg_ros").rglob("*"):
        data = path.is_file() and path.suffix not in (".py", ".pyc", ".so")
        if data and not made & set(path.relative_to(ROOT).parts):
            assert path in listed, f"{path.name} is not in setup.py's package_data"
