"""Audio as it arrives to what a recogniser takes: float32 in [-1, 1], one channel, 16 kHz."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

Samples = npt.NDArray[np.float32]

RATE = 16_000  # samples a second, what speech models are trained on
LONGEST_FILE_S = 120.0
FILE_RATES = (1_000, 384_000)  # what recorders write; to resample from other rates may take any memory


class SpeechError(Exception):
    """What cannot be heard or recognised, as one sentence with what to do."""


def mono(pcm: npt.NDArray[np.int16], channels: int) -> Samples:
    """int16 samples, channels interleaved, as float32 (N,): the mean of the channels. Raises SpeechError."""
    if len(pcm) % channels:
        raise SpeechError(f"{len(pcm)} samples are not a multiple of {channels} channels; set the parameter channels.")
    frames = pcm.reshape(-1, channels).astype(np.float32)
    return np.asarray(frames.mean(1) / 32768, np.float32)


def from_bytes(data: bytes | bytearray | memoryview) -> npt.NDArray[np.int16]:
    """Bytes of 16-bit little-endian PCM as int16. Raises SpeechError for half a sample: compressed audio, mostly."""
    if len(data) % 2:
        raise SpeechError(f"{len(data)} bytes are not 16-bit PCM; publish raw S16LE samples, not compressed audio.")
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)


def at_16k(samples: Samples, rate: int) -> Samples:
    """Samples at `rate` per second as samples at 16 kHz."""
    if rate == RATE or not len(samples):
        return samples
    common = math.gcd(rate, RATE)
    return np.asarray(resample_poly(samples, RATE // common, rate // common), np.float32)


def read_wav(path: str | Path) -> Samples:
    """A PCM WAV file of any rate, width and number of channels, at 16 kHz. Raises SpeechError."""
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            if not FILE_RATES[0] <= rate <= FILE_RATES[1]:
                low, high = FILE_RATES
                raise SpeechError(f"{path} says it has {rate} samples a second; give a file of {low} to {high}.")
            seconds = file.getnframes() / rate
            if seconds > LONGEST_FILE_S:
                raise SpeechError(f"{path} is {seconds:.0f} s long, over {LONGEST_FILE_S:.0f} s; cut it.")
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error, ZeroDivisionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "it is cut short"
        raise SpeechError(f"{path} cannot be read as a PCM WAV file ({reason}); check the path and format.") from error
    whole = len(data) // (width * channels) * width * channels  # a file that was cut may end inside a sample
    return at_16k(_decode(data[:whole], width, channels), rate)


def _decode(data: bytes, width: int, channels: int) -> Samples:
    """WAV bytes (8 bits unsigned, wider ones signed little-endian) as float32 (N,), the mean of the channels."""
    raw = np.frombuffer(data, np.uint8).reshape(-1, width)
    if width == 1:
        values = (raw[:, 0].astype(np.float32) - 128) / 128
    else:
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 4 - width :] = raw  # in the high bytes of an int32, which carry the sign
        values = wide.view("<i4")[:, 0].astype(np.float32) / 2**31
    return np.asarray(values.reshape(-1, channels).mean(1), np.float32)
