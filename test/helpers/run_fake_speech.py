"""The real speech node with the recogniser of tones: `python -m helpers.run_fake_speech --ros-args ...`."""

import os
import sys

from helpers.fake_recognizer import ToneRecognizer
from refseg_ros.nodes.speech_node import main

if __name__ == "__main__":
    seconds = float(os.environ.get("FAKE_RECOGNIZER_SECONDS", "0"))
    sys.exit(main(factory=lambda values: ToneRecognizer(seconds)))
