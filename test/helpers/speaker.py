"""Speech made by espeak-ng, which is no person but says the words."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def speak(folder, text, voice="en-us"):
    """The path of a WAV file (22 050 Hz) in which `text` is said. Skips the test where espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    path = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", str(path), text], check=True)
    return path
