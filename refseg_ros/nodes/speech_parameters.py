"""Every parameter of the speech node."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from refseg_ros.nodes.parameters import Spec, check_choices
from refseg_ros.speech.endpoint import EndpointConfig
from refseg_ros.speech.listener import Trust
from refseg_ros.speech.recognizer import MAX_HINTS

SPECS: dict[str, Spec] = {
    "audio_transport": Spec(
        "int16", "Type of the topic audio: Int16MultiArray, UInt8MultiArray (S16LE), or audio_common_msgs.",
        choices=("int16", "bytes", "audio_common"), read_only=True,
    ),
    "sample_rate": Spec(16000, "Samples a second of the audio.", 8000, 192000, read_only=True),
    "channels": Spec(1, "Channels of the audio, interleaved; their mean is heard.", 1, 16, read_only=True),
    "model": Spec("", "Folder of a CTranslate2 Whisper model; empty: the installed wheel's.", read_only=True),
    "device": Spec("cpu", "Where the model runs.", choices=("cpu", "cuda", "auto"), read_only=True),
    "threads": Spec(0, "CPU threads of the model; 0: the library's choice.", 0, 256, read_only=True),
    "language": Spec("en", "Language code; the shipped model knows English only.", read_only=True),
    "listening": Spec(True, "False: the audio is ignored, for instance while the robot itself speaks."),
    "hints": Spec(
        "", "Words that are likely, such as names of objects. They help, and noise is then more often taken for them.",
    ),
    "min_confidence": Spec(0.5, "Mean probability of the words below which they are no instruction.", 0.0, 1.0),
    "min_voice_s": Spec(0.2, "Less sound or voice than this is no instruction, seconds.", 0.0, 5.0),
    "quiet_dbfs": Spec(-50.0, "Sound below this level is silence, decibels of full scale.", -90.0, 0.0),
    "margin_db": Spec(10.0, "How much louder than the room speech is, decibels.", 1.0, 60.0),
    "end_silence_s": Spec(0.7, "The pause that ends an utterance, seconds.", 0.1, 5.0),
    "longest_s": Spec(15.0, "A sound that goes on for longer is no instruction, seconds.", 6.0, 28.0),
}  # fmt: skip


def check(changed: list[Parameter]) -> SetParametersResult:
    """Whether a set of changes is accepted; the reason if not. Ranges have been checked by rclpy already."""
    for parameter in changed:
        if parameter.name == "hints" and len(parameter.value) > MAX_HINTS:
            reason = f"hints has {len(parameter.value)} characters; at most {MAX_HINTS} are read"
            return SetParametersResult(successful=False, reason=reason)
    return check_choices(SPECS, changed)


def endpoint_config(values: dict[str, Any]) -> EndpointConfig:
    """How utterances are found."""
    names = ("quiet_dbfs", "margin_db", "end_silence_s", "longest_s")
    return EndpointConfig(rate=values["sample_rate"], **{name: values[name] for name in names})


def trust(values: dict[str, Any]) -> Trust:
    """When words are an instruction."""
    return Trust(values["min_confidence"], values["min_voice_s"])
