"""Where the package's messages and configuration are installed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


def share_folder() -> Path:
    """share/refseg_ros of the colcon install space or of the virtual environment; else the source tree."""
    from ament_index_python.packages import get_package_share_directory

    places = [Path(sys.prefix) / "share" / "refseg_ros", Path(__file__).resolve().parents[2]]
    # Without AMENT_PREFIX_PATH (a virtual environment) the index raises; there the prefix is the place.
    with contextlib.suppress(LookupError, OSError):
        places.insert(0, Path(get_package_share_directory("refseg_ros")))
    return next((place for place in places if (place / "config").is_dir()), places[-1])
