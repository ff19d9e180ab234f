"""Where an utterance begins and ends in a stream of audio, by loudness over the noise of the room.

Only loudness: whether the sound is a voice is the recogniser's to say. Time is counted in samples, so a stream may be
fed faster or slower than it was spoken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from refseg_ros.speech.audio import Samples

FRAME_S = 0.02
MEMORY_S = 5.0  # the room's noise is judged by the quietest tenth of that long
SILENT_DB = -120.0


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """What counts as sound, and what ends an utterance. Seconds; decibels, dbfs relative to full scale.

    Sound is louder than quiet_dbfs and by margin_db than the room. begin_s of it begin an utterance, which takes
    lead_s from before; end_silence_s of quiet end it, and at the latest longest_s. Raises ValueError.
    """

    rate: int
    quiet_dbfs: float = -50.0
    margin_db: float = 10.0
    begin_s: float = 0.08
    lead_s: float = 0.3
    end_silence_s: float = 0.7
    longest_s: float = 15.0

    def __post_init__(self) -> None:
        if self.rate < 1000:
            raise ValueError(f"rate must be at least 1000 samples a second, not {self.rate}")
        if not 0 < self.end_silence_s < self.longest_s:
            raise ValueError(f"need 0 < end_silence_s < longest_s, not {self.end_silence_s} and {self.longest_s}")


@dataclass(frozen=True, eq=False)
class Utterance:
    """samples: float32 (N,) at `rate`; sounding_s: how much of it was loud; cut: it was still going on at longest_s;
    torn: why some of it, or what came right before it, is missing; "" for a whole one."""

    samples: Samples
    rate: int
    sounding_s: float
    cut: bool
    torn: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


class UtteranceDetector:
    """Feed it audio, take utterances out. One thread at a time."""

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config
        self._size = max(1, round(config.rate * FRAME_S))
        self._levels: deque[float] = deque(maxlen=round(MEMORY_S / FRAME_S))
        self._lead: deque[Samples] = deque(maxlen=max(1, round((config.lead_s + config.begin_s) / FRAME_S)))
        self._rest: Samples = np.zeros(0, np.float32)
        self._frames: list[Samples] = []
        self._loud = self._quiet = 0  # frames: of this utterance that were loud; quiet ones since the last loud one
        self._torn, self._torn_for = "", 0  # frames within which what begins may be the rest of what is missing

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return bool(self._frames)

    def feed(self, samples: Samples) -> list[Utterance]:
        """Take the next samples (N,), of any number; the utterances that ended in them."""
        stream = np.concatenate([self._rest, samples])
        count = len(stream) // self._size
        self._rest = stream[count * self._size :]
        frames = stream[: count * self._size].reshape(count, self._size)
        power = np.mean(np.square(frames), axis=1) if count else np.zeros(0)
        levels = 10 * np.log10(np.maximum(power, 10 ** (SILENT_DB / 10)))
        ended = [self._step(frame, float(level)) for frame, level in zip(frames, levels, strict=True)]
        return [utterance for utterance in ended if utterance is not None]

    def lose(self, why: str) -> None:
        """Something is missing between the last samples and the next ones: what is being said, or begins before there
        has been quiet for long enough to end an utterance, is torn."""
        seconds = max(self.config.end_silence_s, self.config.lead_s) + self.config.begin_s
        self._torn, self._torn_for = why, round(seconds / FRAME_S) + 1

    def flush(self) -> Utterance | None:
        """End the utterance that is going on, for instance because the audio stopped."""
        return self._finish(cut=False) if self._frames else None

    def _step(self, frame: Samples, level: float) -> Utterance | None:
        room = float(np.percentile(self._levels, 10)) if self._levels else SILENT_DB
        self._levels.append(level)
        loud = level > max(self.config.quiet_dbfs, room + self.config.margin_db)
        if not self._frames:
            self._torn_for = max(0, self._torn_for - 1)
            self._lead.append(frame)
            self._loud = self._loud + 1 if loud else 0
            if self._loud * FRAME_S >= self.config.begin_s:
                self._frames, self._quiet = list(self._lead), 0
                self._lead.clear()
            return None
        self._frames.append(frame)
        self._loud += loud
        self._quiet = 0 if loud else self._quiet + 1
        if self._quiet * FRAME_S >= self.config.end_silence_s:
            return self._finish(cut=False)
        if len(self._frames) * FRAME_S < self.config.longest_s:
            return None
        cut = self._finish(cut=True)
        self.lose(f"it is the rest of a sound that went on for more than {self.config.longest_s:.0f} s; say it shorter")
        return cut

    def _finish(self, cut: bool) -> Utterance:
        samples = np.concatenate(self._frames)
        torn = self._torn if self._torn_for else ""
        made = Utterance(samples, self.config.rate, self._loud * FRAME_S, cut, torn)
        self._frames, self._loud, self._quiet, self._torn_for = [], 0, 0, 0
        return made
