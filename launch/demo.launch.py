"""A simulated RGB-D camera and the refseg node; then publish an instruction."""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The camera and the node in one namespace, so that their relative topic names meet.

    The arguments of refseg.launch.py that are not declared here (device, weights, log_level, ...) work as well.
    """
    namespace = LaunchConfiguration("namespace")
    share = FindPackageShare("refseg_ros")
    camera = Node(
        package="refseg_ros",
        executable="sim_camera_node",
        name="sim_camera",
        namespace=namespace,
        output="screen",
        parameters=[{"scene_seed": ParameterValue(LaunchConfiguration("scene_seed"), value_type=int)}],
    )
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "refseg.launch.py"])),
        launch_arguments={"namespace": namespace}.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="namespace of both nodes"),
            DeclareLaunchArgument("scene_seed", default_value="7", description="which scene is simulated"),
            camera,
            node,
        ]
    )
