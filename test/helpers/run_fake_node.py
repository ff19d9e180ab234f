"""The real node with the colour model: `python -m helpers.run_fake_node --ros-args ...` from the test folder."""

import sys

from helpers.fake_model import ColourModel
from refseg_ros.nodes.refseg_node import main

if __name__ == "__main__":
    sys.exit(main(model_factory=lambda values: ColourModel()))
