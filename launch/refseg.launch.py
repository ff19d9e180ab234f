"""Start the refseg node on a robot: `ros2 launch refseg_ros refseg.launch.py image:=/camera/color/image_raw`.

The node configures and activates itself (parameter autostart), so it also comes back by itself after a respawn.
"""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

ARGUMENTS = {
    "namespace": ("", "namespace of the node"),
    "model": ("compact", "model name; `refseg models` lists them"),
    "device": ("auto", "cpu, cuda, cuda:N, or auto (cuda where there is one)"),
    "weights": ("", "path of a weights file; empty: the model's own"),
    "image": ("image_raw", "colour image topic"),
    "camera_info": ("camera_info", "colour camera_info topic"),
    "depth": ("depth/image_raw", "depth image topic, aligned to colour"),
    "depth_camera_info": ("depth/camera_info", "depth camera_info topic"),
    "instruction": ("instruction", "topic of typed instructions (std_msgs/String)"),
    "target_frame": ("", "frame of a second copy of the objects; empty: none"),
    "use_sim_time": ("false", "take time from /clock"),
    "log_level": ("info", "debug, info, warn, error"),
    "params_file": (
        PathJoinSubstitution([FindPackageShare("refseg_ros"), "config", "refseg.yaml"]),
        "parameter file; the arguments above win over it",
    ),
}


def generate_launch_description() -> LaunchDescription:
    """One managed node with its topics remapped."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    node = LifecycleNode(
        package="refseg_ros",
        executable="refseg_node",
        name="refseg",
        namespace=value["namespace"],
        output="screen",
        respawn=True,
        respawn_delay=2.0,
        arguments=["--ros-args", "--log-level", ["refseg:=", value["log_level"]]],
        parameters=[
            value["params_file"],
            {
                "autostart": True,
                "model": ParameterValue(value["model"], value_type=str),
                "device": ParameterValue(value["device"], value_type=str),
                "weights": ParameterValue(value["weights"], value_type=str),
                "target_frame": ParameterValue(value["target_frame"], value_type=str),
                "use_sim_time": ParameterValue(value["use_sim_time"], value_type=bool),
            },
        ],
        remappings=[
            ("image_raw", value["image"]),
            ("camera_info", value["camera_info"]),
            ("depth/image_raw", value["depth"]),
            ("depth/camera_info", value["depth_camera_info"]),
            ("instruction", value["instruction"]),
        ],
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, node])
