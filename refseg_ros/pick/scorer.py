"""Sees the truth that the picking program never sees: sets the scenes, and says what is held."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String

Spin = Callable[[], None]
SCENE_S = 60.0


class Scorer(Node):
    """truth: of the scene in view; held: object id -> for how long it has been 10 cm above its place, seconds."""

    def __init__(self) -> None:
        super().__init__("pick_scorer")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.truth: dict[str, Any] | None = None
        self.held: dict[int, float] = {}
        self._images = 0
        self._cell: Any = self.create_client(SetParameters, "cell/set_parameters")
        self.create_subscription(String, "cell/truth", self._on_truth, latched)
        self.create_subscription(String, "cell/held", self._on_held, 10)
        self.create_subscription(Image, "image_raw", self._on_image, qos_profile_sensor_data)

    def _on_truth(self, message: String) -> None:
        self.truth, self.held = json.loads(message.data), {}

    def _on_held(self, message: String) -> None:
        self.held = {int(o): float(s) for o, s in json.loads(message.data).items()}

    def _on_image(self, message: Image) -> None:
        self._images += 1

    def wait(self, condition: Callable[[], bool], seconds: float, spin: Spin, what: str) -> None:
        """Raises TimeoutError naming what did not come."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"no {what} after {seconds:.0f} s")
            spin()

    def show(self, seed: int, spin: Spin) -> dict[str, Any]:
        """Ask the cell for a scene; its truth."""
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        self._cell.call_async(SetParameters.Request(parameters=[Parameter(name="scene_seed", value=value)]))
        self.wait(lambda: self.truth is not None and self.truth["scene_seed"] == seed, SCENE_S, spin, f"scene {seed}")
        assert self.truth is not None
        return self.truth

    def settle(self, spin: Spin) -> None:
        """Until images of the scene in view have come, and those of the one before have gone."""
        wanted = self._images + 3
        self.wait(lambda: self._images >= wanted, SCENE_S, spin, "images from the cell")
