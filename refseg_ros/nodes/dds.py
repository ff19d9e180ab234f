"""Fast DDS settings without which large images do not arrive."""

from __future__ import annotations

import os

from refseg_ros.nodes.share import share_folder

# Fast DDS 3 (Kilted, Lyrical) reads the first, Fast DDS 2 (Jazzy) the second.
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def use_large_message_profile() -> None:
    """Choose the package's profile unless the user has chosen one. Must run before rclpy.init()."""
    path = share_folder() / "config" / "fastdds.xml"
    if not any(name in os.environ for name in VARIABLES) and path.is_file():
        os.environ.update(dict.fromkeys(VARIABLES, str(path)))
