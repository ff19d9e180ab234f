"""What the node found in the forms that grasp planners take: one file a planner, none of them needed to import this.

File formats are plain numpy; those of ROS packages take that package's message module as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from refseg_ros.adapters import anygrasp, contact_graspnet, graspgen
from refseg_ros.core.types import Frame, Segmentation

# What `refseg segment --export` writes into a folder; returns the files, raises ValueError saying what is missing.
EXPORTS: Mapping[str, Callable[[Frame, Segmentation, Path], list[Path]]] = MappingProxyType(
    {"contact-graspnet": contact_graspnet.write, "graspgen": graspgen.write, "anygrasp": anygrasp.write}
)
