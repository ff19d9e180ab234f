"""Fast DDS settings without which large images do not arrive."""

from __future__ import annotations

import os

from refseg_ros.nodes.share import share_folder

VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"


def use_large_message_profile() -> None:
    """Choose the package's profile unless the user has chosen one. Must run before rclpy.init()."""
    path = share_folder() / "config" / "fastdds.xml"
    if VARIABLE not in os.environ and path.is_file():
        os.environ[VARIABLE] = str(path)
