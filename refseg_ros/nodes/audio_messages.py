"""Audio messages to int16 PCM. Standard messages, since the distributions have two packages named audio_common_msgs.

int16: std_msgs/Int16MultiArray; bytes: std_msgs/UInt8MultiArray of S16LE; audio_common: audio_common_msgs/AudioStamped
(int16_data) where the installed package has it, else its AudioData (bytes of S16LE, not compressed).
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
from std_msgs.msg import Int16MultiArray, UInt8MultiArray

from refseg_ros.speech.audio import SpeechError, from_bytes


def message_type(transport: str) -> Any:
    """The message class of a transport. Raises SpeechError where its package is not installed."""
    if transport != "audio_common":
        return {"int16": Int16MultiArray, "bytes": UInt8MultiArray}[transport]
    if importlib.util.find_spec("audio_common_msgs") is None:
        raise SpeechError("audio_common_msgs is not installed; install it, or publish std_msgs/Int16MultiArray.")
    package = importlib.import_module("audio_common_msgs.msg")
    return getattr(package, "AudioStamped", None) or package.AudioData


def samples_of(message: Any) -> npt.NDArray[np.int16]:
    """The PCM of any of these messages, channels interleaved. Raises SpeechError."""
    if hasattr(message, "audio"):
        pcm = message.audio.audio.int16_data
        if not len(pcm):
            raise SpeechError("the audio_common message has no int16_data; capture with format 8 (paInt16).")
        return np.asarray(pcm, np.int16)
    if isinstance(message, Int16MultiArray):
        return np.asarray(message.data, np.int16)
    return from_bytes(bytes(message.data))


def frame_of(message: Any) -> str:
    """The frame that a message names, or ""."""
    header = getattr(message, "header", None)
    return header.frame_id if header is not None else ""
