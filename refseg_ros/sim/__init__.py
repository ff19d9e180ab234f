"""The simulated RGB-D camera: scenes of household objects, sensors, truth, and what can be said of a scene."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")  # headless rendering: MuJoCo reads it when it is first imported
