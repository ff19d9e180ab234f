"""What a command that takes long checks before it begins: that its models can be loaded and its files be written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from refseg_ros.cli.exits import wrong


def check_models(names: Iterable[str], device: str, weights: Path | None = None) -> None:
    """Refuse what models.load() would: unknown names, missing modules, devices that are not there, weights that are
    missing or not those of their card. weights: of the first name, without it its own. Nothing is built: several models
    need not fit into memory at once. Raises RequestError, and a wrong command line."""
    from refseg_ros import models
    from refseg_ros.models.base import REGISTRY, resolve_device
    from refseg_ros.models.weights import read_card, sha256

    problems = {state.name: state.problem for state in models.describe()}
    resolve_device(device)
    for number, name in enumerate(names):
        given = weights if number == 0 else None
        if name not in problems:
            raise wrong(f"There is no model {name!r}; there are: {', '.join(problems)}.")
        if problems[name].startswith("not installed"):
            raise wrong(f"Model {name!r} cannot be used: {problems[name]}; pip install -r requirements/base.txt.")
        if problems[name] and given is None:
            how = "" if "refseg train" in problems[name] else "; install the package again"
            raise wrong(f"Model {name!r} cannot be used: {problems[name]}{how}.")
        path = given or REGISTRY[name].weights
        if path is not None and read_card(path)["sha256"] != sha256(path):
            raise wrong(f"The weights file {path} is not the one its card describes; install or train it again.")


def check_file(path: Path) -> None:
    """Make the folder of a file that will be written at the end. Raises a wrong command line where that cannot be."""
    check_folder(path.parent)
    if path.is_dir():
        raise wrong(f"{path} is a folder; name a file in it.")


def check_folder(path: Path) -> None:
    """Make a folder that will be written to. Raises a wrong command line where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise wrong(f"{path} cannot be written to ({error.strerror}); choose another place.") from error
