"""Fast DDS settings without which large images do not arrive."""

from __future__ import annotations

import os

from refseg_ros.nodes.share import share_folder

# Fast DDS 3 (Kilted, Lyrical) reads the first and warns of the second, which is all that Fast DDS 2 (Jazzy) reads.
VARIABLE, OLD_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


def use_large_message_profile() -> None:
    """Choose the package's profile unless the user has chosen one. Must run before rclpy.init()."""
    path = share_folder() / "config" / "fastdds.xml"
    if VARIABLE in os.environ or OLD_VARIABLE in os.environ or not path.is_file():
        return
    os.environ[OLD_VARIABLE if os.environ.get("ROS_DISTRO") == "jazzy" else VARIABLE] = str(path)
