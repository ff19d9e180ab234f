"""A recogniser of a few lines, and the tones it understands: the pitch of a sound is what was said."""

from __future__ import annotations

import time

import numpy as np

from refseg_ros.speech.audio import RATE
from refseg_ros.speech.recognizer import Transcript

MUG, MUMBLE, MUSIC, CRASH = 400, 800, 1200, 1600  # Hz


class ToneRecognizer:
    """Takes `seconds` for an utterance, to look slow."""

    name = "tones"

    def __init__(self, seconds=0.0):
        self.hints, self.seconds, self.heard = "", seconds, []

    def transcribe(self, samples):
        time.sleep(self.seconds)
        self.heard.append(len(samples))
        spectrum = np.abs(np.fft.rfft(samples))
        pitch = round(float(np.argmax(spectrum)) * RATE / len(samples), -2)
        if pitch == MUG:
            return Transcript(f"Pick up the red mug.{self.hints}", 0.9, 1.0, 1.0)
        if pitch == MUMBLE:
            return Transcript("pig up the rat", 0.3, 1.0, 1.0)
        if pitch == CRASH:
            raise RuntimeError("the model broke")
        return Transcript("")


def tone(pitch, seconds=1.0, rate=RATE, silence=1.0, level=0.3):
    """float32: silence, a sine of `pitch` Hz, silence; a little noise everywhere."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    pause = np.zeros(round(silence * rate))
    sound = np.concatenate([pause, level * np.sin(2 * np.pi * pitch * t), pause])
    return (sound + rng.normal(0, 1e-4, len(sound))).astype(np.float32)


def pcm16(samples):
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
