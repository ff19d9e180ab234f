"""Which messages of a microphone never came: half an instruction may be the opposite of the whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

MOST_SOURCES = 32
LOST = "some of what was said was lost between microphone and node; say it again"
HELD_BACK = "the audio came late, and was cut in two where it stopped; say it again"


class AudioGaps:
    """Counts what is lost, in the network or in the reader's full history, and says before which message.

    Each publisher numbers what it publishes (rmw_fastrtps hands the numbers on), so that a gap has its exact place.
    Where the middleware gives no numbers, its event `message_lost` is all there is: that knows of no place, and of
    nothing that a full history replaced.
    """

    def __init__(self) -> None:
        self.lost = 0  # messages
        self._last: dict[bytes, int] = {}
        self._lost_ns = self._published_ns = 0

    def since_published_s(self, info: Mapping[str, Any]) -> float:
        """Seconds between this message and the one before it as they were published, however late they came."""
        before, self._published_ns = self._published_ns, info["source_timestamp"]
        return float(1e-9 * (self._published_ns - before))

    def before(self, info: Mapping[str, Any]) -> bool:
        """Whether something is missing right before a message. info: what rclpy tells of it."""
        source, number = info.get("publisher_gid"), info.get("publication_sequence_number")
        if source is None or number is None:
            return bool(info["received_timestamp"] <= self._lost_ns)
        last = self._last.pop(source["data"], number - 1)
        self._last[source["data"]] = number
        if len(self._last) > MOST_SOURCES:
            del self._last[next(iter(self._last))]
        missing = max(0, number - last - 1)
        self.lost += missing
        return missing > 0

    def reported(self, messages: int) -> bool:
        """Take in that the middleware reports lost messages: anywhere up to the last one that has arrived, which may
        still wait to be heard. Whether that is news: it is not where messages are numbered."""
        if self._last:
            return False
        self.lost += messages
        self._lost_ns = time.time_ns()
        return True
