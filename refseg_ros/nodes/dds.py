"""Fast DDS settings without which large images do not arrive."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"


def profile_path() -> Path | None:
    """The installed profile, or the source tree's."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    places = [Path(__file__).resolve().parents[2]]
    try:
        places.insert(0, Path(get_package_share_directory("refseg_ros")))
    except (PackageNotFoundError, LookupError):
        pass  # run from a source tree that is not installed
    return next((p for p in (place / "config" / "fastdds.xml" for place in places) if p.is_file()), None)


def use_large_message_profile() -> None:
    """Choose the package's profile unless the user has chosen one. Must run before rclpy.init()."""
    if VARIABLE not in os.environ and (path := profile_path()) is not None:
        os.environ[VARIABLE] = str(path)
