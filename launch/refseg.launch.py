"""Start the refseg node on a robot: `ros2 launch refseg_ros refseg.launch.py image:=/camera/color/image_raw`.

The node configures and activates itself (parameter autostart), so it also comes back by itself after a respawn.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from launch import LaunchContext, LaunchDescription

# Empty means "as params_file says": an argument that nobody gave must not undo what the robot's own file sets.
PARAMETERS = {
    "autostart": (bool, "configure and activate at start; false: a lifecycle manager does; empty: as params_file says"),
    "model": (str, "model name, `refseg models` lists them; empty: as params_file says"),
    "device": (str, "cpu, cuda, cuda:N, or auto (cuda where there is one); empty: as params_file says"),
    "weights": (str, "path of a weights file; empty: as params_file says, and there empty is the model's own"),
    "target_frame": (str, "frame of a second copy of the objects; empty: as params_file says"),
    "color_rectified": (bool, "true: the colour images are rectified (image_proc); empty: as params_file says"),
    "depth_rectified": (bool, "true: so are the depth images, or aligned to such; empty: as params_file says"),
    "use_sim_time": (bool, "true: take time from /clock; empty: as params_file says"),
}
TOPICS = {
    "image": ("image_raw", "colour image topic"),
    "camera_info": ("camera_info", "colour camera_info topic"),
    "depth": ("depth/image_raw", "depth image topic, aligned to colour"),
    "depth_camera_info": ("depth/camera_info", "depth camera_info topic"),
    "instruction": ("instruction", "topic of typed instructions (std_msgs/String)"),
}
SPEECH_TOPICS = {"audio": ("audio", "topic of the microphone, heard with speech:=true")}


def refseg_node(context: LaunchContext) -> list[LifecycleNode]:
    """The managed node with the parameters that were given and its topics remapped."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _) in PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    parameters = LaunchConfiguration("params_file").perform(context)
    if not Path(parameters).is_file():
        # launch_ros only warns, and a robot would run with other parameters than its own.
        raise RuntimeError(f"The parameter file {parameters} does not exist; check params_file.")
    namespace = LaunchConfiguration("namespace").perform(context)
    # A logger's name carries the namespace, the one that an including launch file pushed as well.
    absolute = make_namespace_absolute(prefix_namespace(context.launch_configurations.get("ros_namespace"), namespace))
    logger = ".".join([*filter(None, (absolute or "").split("/")), "refseg"])
    node = LifecycleNode(
        package="refseg_ros",
        executable="refseg_node",
        name="refseg",
        namespace=namespace,
        output="screen",
        respawn=True,
        respawn_delay=2.0,
        # Longer than the node takes to answer what it was asked, or to finish loading, on a busy machine.
        sigterm_timeout="20",
        arguments=["--ros-args", "--log-level", [f"{logger}:=", LaunchConfiguration("log_level")]],
        parameters=[parameters, given],
        remappings=[(topic, LaunchConfiguration(name)) for name, (topic, _) in TOPICS.items()],
    )
    return [node]


def speech_node(context: LaunchContext) -> list[Node]:
    """With speech:=true, the node that turns speech into instructions; params_file may hold its parameters too."""
    share = PathJoinSubstitution([FindPackageShare("refseg_ros"), "config", "speech.yaml"])
    node = Node(
        package="refseg_ros",
        executable="speech_node",
        name="speech",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        respawn=True,
        respawn_delay=10.0,  # where its libraries are missing it ends with a sentence, which need not fill the log
        parameters=[share, LaunchConfiguration("params_file")],
        remappings=[(name, LaunchConfiguration(name)) for name in ("audio", "instruction")],
    )
    return [node] if LaunchConfiguration("speech").perform(context) == "true" else []


def generate_launch_description() -> LaunchDescription:
    """The arguments and the node that they describe."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
            *(
                DeclareLaunchArgument(name, default_value="", description=text)
                for name, (_, text) in PARAMETERS.items()
            ),
            *(
                DeclareLaunchArgument(name, default_value=topic, description=text)
                for name, (topic, text) in (TOPICS | SPEECH_TOPICS).items()
            ),
            DeclareLaunchArgument(
                "speech", default_value="false", choices=["true", "false"],
                description="true: start speech_node as well (needs requirements/speech.txt)",
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", choices=["debug", "info", "warn", "error", "fatal"],
                description="what the node logs",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([FindPackageShare("refseg_ros"), "config", "refseg.yaml"]),
                description="parameter file; the arguments that are given win over it",
            ),
            OpaqueFunction(function=refseg_node),
            OpaqueFunction(function=speech_node),
        ]
    )  # fmt: skip
