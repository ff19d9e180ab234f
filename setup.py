"""pip's way to the one CMake build: configure, build and stage it, then hand the stage to the wheel.

`pip install --no-build-isolation --no-deps [-e] .` in a virtual environment that holds the ROS 2 wheels.
The generated Python modules go into the package (into the source tree when editable); libraries, executables
and share/ become data files of the environment's prefix, so nodes run with no environment variables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.install import install  # noqa: F401  (makes setuptools' own distutils importable)

from distutils.command.install_data import install_data  # isort: skip

NAME = "refseg_ros"
ROOT = Path(__file__).resolve().parent
STAGE = ROOT / "build" / "stage"
SITE_PACKAGES = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
GENERATED = ("msg", "srv", "action")


def build_stage() -> None:
    """Run CMake against the ROS 2 wheels of this environment and install into STAGE."""
    try:
        import ament_package  # noqa: F401
    except ImportError as error:
        raise SystemExit("The ROS 2 wheels are missing: install requirements/ros.txt first (make setup).") from error
    prefix = sys.prefix
    env = os.environ | {"PATH": f"{prefix}/bin{os.pathsep}{os.environ.get('PATH', '')}"}
    for variable in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"):
        env[variable] = os.pathsep.join(filter(None, [env.get(variable), prefix]))
    build = ROOT / "build" / "cmake"
    shutil.rmtree(STAGE, ignore_errors=True)
    configure = [
        "cmake", "-S", str(ROOT), "-B", str(build), f"-DCMAKE_INSTALL_PREFIX={STAGE}",
        f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release", "-Wno-dev",
    ]  # fmt: skip
    jobs = str(os.cpu_count() or 1)
    for command in (
        configure,
        ["cmake", "--build", str(build), "-j", jobs],
        ["cmake", "--install", str(build)],
    ):
        subprocess.run(command, check=True, env=env)


class BuildInterfaces(build_ext):
    """Builds messages, services and actions and puts their Python modules into the package."""

    def run(self) -> None:
        build_stage()
        source = STAGE / SITE_PACKAGES / NAME
        target = ROOT / NAME if self.inplace else Path(self.build_lib) / NAME
        target.mkdir(parents=True, exist_ok=True)
        self._made: list[str] = []
        for folder in GENERATED:
            shutil.rmtree(target / folder, ignore_errors=True)
            shutil.copytree(source / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
            self._made += [str(path) for path in (target / folder).rglob("*.py")]
        for library in source.glob("*.so"):
            shutil.copy2(library, target / library.name)
            self._made.append(str(target / library.name))

    def get_outputs(self) -> list[str]:
        return getattr(self, "_made", [])

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class InstallStage(install_data):
    """Everything of the stage outside site-packages, as data files of the prefix."""

    def run(self) -> None:
        super().run()
        for path in (p for top in ("lib", "share") for p in (STAGE / top).rglob("*") if not p.is_dir()):
            relative = path.relative_to(STAGE)
            if relative.is_relative_to(SITE_PACKAGES):
                continue
            target = Path(self.install_dir) / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
            self.outfiles.append(str(target))


class RosDistribution(Distribution):
    """Editable wheels install data files only when this says there are any."""

    def has_data(self) -> bool:
        return True


setup(
    distclass=RosDistribution,
    packages=find_packages(include=[NAME, f"{NAME}.*"], exclude=[f"{NAME}.{g}*" for g in GENERATED]),
    package_data={
        NAME: ["models/*/weights/*", "demo/*.j2", "demo/*.js", "pick/*.j2", "evaluation/*.j2", "py.typed"],
    },
    ext_modules=[Extension(f"{NAME}._interfaces", [])],
    data_files=[(f"share/{NAME}", ["package.xml"])],
    cmdclass={"build_ext": BuildInterfaces, "install_data": InstallStage},
    zip_safe=False,
)
