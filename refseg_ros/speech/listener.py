"""Whether what was heard is an instruction. Every utterance gets an answer; a refusal says why."""

from __future__ import annotations

import re
from dataclasses import dataclass

from refseg_ros.core.instruction import parse
from refseg_ros.core.outcome import RequestError
from refseg_ros.speech.audio import RATE, Samples, at_16k
from refseg_ros.speech.endpoint import Utterance
from refseg_ros.speech.recognizer import Recognizer, Transcript

STUCK = 2.4  # a text that compresses further repeats itself: what Whisper makes of noise
ASIDES = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪+")  # [music], (coughs), *sighs*: descriptions, not words


@dataclass(frozen=True)
class Heard:
    """accepted: the text is an instruction; otherwise reason says why not. confidence in 0..1; seconds of audio."""

    text: str
    confidence: float
    accepted: bool
    reason: str
    seconds: float


@dataclass(frozen=True)
class Trust:
    """Below min_confidence, or with less than min_voice_s seconds of sound and voice, nothing is an instruction."""

    min_confidence: float = 0.5
    min_voice_s: float = 0.2


def judge_utterance(utterance: Utterance, recognizer: Recognizer, trust: Trust) -> Heard:
    """Recognise an utterance, unless it is too short, was cut or did not all arrive, and decide."""
    seconds = utterance.seconds
    if utterance.sounding_s < trust.min_voice_s:
        reason = f"a sound of {utterance.sounding_s:.2f} s is too short for words (min_voice_s {trust.min_voice_s:g})"
        return Heard("", 0.0, False, reason, seconds)
    if utterance.cut:  # half an instruction may be the opposite of the whole
        return Heard("", 0.0, False, f"the sound went on for more than {seconds:.0f} s; say it shorter", seconds)
    if utterance.torn:
        return Heard("", 0.0, False, utterance.torn, seconds)
    return recognise(at_16k(utterance.samples, utterance.rate), recognizer, trust)


def recognise(samples_16k: Samples, recognizer: Recognizer, trust: Trust) -> Heard:
    """Recognise float32 (N,) at 16 kHz and decide. A recogniser that fails is a reason, never an exception."""
    seconds = len(samples_16k) / RATE
    try:
        found = recognizer.transcribe(samples_16k)
    except Exception as error:  # noqa: BLE001  (whatever a library raises, the person who spoke learns that it failed)
        return Heard("", 0.0, False, f"the recognition failed: {error}", seconds)
    text = " ".join(ASIDES.sub(" ", found.text).split())
    reason = _doubt(text, found, trust)
    return Heard(text, found.confidence, not reason, reason, seconds)


def _doubt(text: str, found: Transcript, trust: Trust) -> str:
    """Why a transcript is no instruction; "" when it is one."""
    if found.voice_s < trust.min_voice_s:
        return f"{found.voice_s:.2f} s of voice are too little for words (min_voice_s {trust.min_voice_s:g})"
    if not any(c.isalnum() for c in text):
        return "there is a voice, but no words were recognised"
    if found.repetition > STUCK:
        return "the recogniser repeats itself, which it does on noise; say it again"
    if found.confidence < trust.min_confidence:
        return f"the confidence {found.confidence:.2f} is below min_confidence {trust.min_confidence:g}; say it again"
    try:
        parse(text)
    except RequestError as error:  # "Thank you." is no instruction, and what Whisper likes to hear in a murmur
        return error.message
    return ""
