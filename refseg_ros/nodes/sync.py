"""Which colour image goes with which depth image and camera info: by stamp, newest first.

Messages are kept as they came and converted only when a request needs them. Knows nothing of rclpy.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

COLOR, DEPTH, COLOR_INFO, DEPTH_INFO = "color", "depth", "color_info", "depth_info"
KINDS = (COLOR, DEPTH, COLOR_INFO, DEPTH_INFO)
# So many of each kind are kept; beyond them colour images while they wait for their depth, and all else up to KEPT_NS
# by stamp: a colour image may come that long after its depth (compressed, over a wireless link). Images are megabytes:
# never more than MOST_KEPT, which is a second of depth at 90 Hz (60 MB of 640 x 480 in 16 bits).
KEPT, KEPT_NS = 12, 2_000_000_000
MOST_KEPT = {COLOR: 48, DEPTH: 96, COLOR_INFO: 96, DEPTH_INFO: 96}
# Bounds of the automatic slop, ns: a depth image farther off shows another moment, however slow the colour images are.
LEAST_SLOP_NS, MOST_SLOP_NS = 5_000_000, 50_000_000
# An older stamp while newer images keep coming is a straggler; after a pause this long the clock has been set back.
REORDER_S = 0.5
LOOK_UP_S = 0.05  # how soon one who waits for a first frame sees that nobody wants it any more
NO_DEPTH = "no depth image has arrived"


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Messages of one moment. problem: why there is no depth, in words. received_s: on time.monotonic()'s clock."""

    color: Any
    color_info: Any | None
    depth: Any | None
    depth_info: Any | None
    stamp_ns: int
    received_s: float
    problem: str = ""


@dataclass(eq=False)
class _Kept:
    """A message. depth: of a colour image, the nearest depth image so far; it stays while the colour image does."""

    stamp_ns: int
    received_s: float
    message: Any
    depth: _Kept | None = None


class StampMatcher:
    """The mailbox of the newest frame. Thread-safe: callbacks add, the worker takes.

    slop_s: largest difference of two stamps of one moment; 0: half the colour period as measured (5 to 50 ms).
    depth_wait_s: how long a colour image waits for its depth before it is used without.
    """

    def __init__(self, slop_s: float = 0.0, depth_wait_s: float = 0.1) -> None:
        self.slop_s, self.depth_wait_s = slop_s, depth_wait_s
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, deque[_Kept]] = {kind: deque() for kind in KINDS}
        self._arrived = threading.Condition()

    def add(self, kind: str, stamp_ns: int, message: Any, now_s: float | None = None) -> None:
        """Keep a message. Counts those without a stamp, those out of order, and colour images that never matched."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._arrived:
            kept = self._kept[kind]
            self.counts[f"{kind}_received"] += 1
            if stamp_ns == 0:
                self.counts[f"{kind}_without_stamp"] += 1
            elif kept and stamp_ns < kept[-1].stamp_ns:
                self.counts[f"{kind}_late"] += 1
                near = kept[-1].stamp_ns - stamp_ns < 5_000_000_000
                if near and now_s - kept[-1].received_s < REORDER_S:
                    return
                # A clock that was set: what came before it cannot be matched any more. Camera infos hold until the
                # next one, and their stamps say nothing of the images.
                for other in (COLOR, DEPTH) if kind in (COLOR, DEPTH) else (kind,):
                    self._kept[other].clear()
            new = _Kept(stamp_ns, now_s, message)
            kept.append(new)
            while len(kept) > KEPT and not self._needed(kind, now_s):
                gone = kept.popleft()
                self.counts["unmatched"] += kind == COLOR and gone.depth is None
            if kind == COLOR:
                self._match(new, self._kept[DEPTH], self.slop_ns())
            elif kind == DEPTH:
                slop_ns = self.slop_ns()
                for color in self._kept[COLOR]:
                    self._match(color, (new,), slop_ns)
            self._arrived.notify_all()

    def _needed(self, kind: str, now_s: float) -> bool:
        """Whether the oldest message of a kind may still find what belongs to it."""
        kept = self._kept[kind]
        if len(kept) > MOST_KEPT[kind]:
            return False
        if kind == COLOR:
            return now_s - kept[0].received_s <= self.depth_wait_s
        return 0 < kept[-1].stamp_ns - kept[0].stamp_ns <= KEPT_NS  # without stamps nothing ages, and nothing matches

    def _match(self, color: _Kept, depths: Iterable[_Kept], slop_ns: int) -> _Kept | None:
        """The depth image of a colour image: the nearest within the slop, of those given and the one that it has."""
        if color.stamp_ns == 0:
            return None
        had = () if color.depth is None else (color.depth,)
        best = min(chain(had, depths), key=lambda depth: abs(depth.stamp_ns - color.stamp_ns), default=None)
        if best is None or best.stamp_ns == 0 or abs(best.stamp_ns - color.stamp_ns) > slop_ns:
            return None
        self.counts["matched"] += color.depth is None
        color.depth = best
        return best

    def slop_ns(self) -> int:
        """The slop in force, nanoseconds."""
        if self.slop_s > 0:
            return int(self.slop_s * 1e9)
        stamps = [k.stamp_ns for k in self._kept[COLOR] if k.stamp_ns]
        if len(stamps) < 3:
            return 20_000_000
        gaps = sorted(b - a for a, b in pairwise(stamps))
        return min(max(LEAST_SLOP_NS, gaps[len(gaps) // 2] // 2), MOST_SLOP_NS)

    def _near(self, kind: str, stamp_ns: int) -> _Kept | None:
        """The message of a kind nearest in stamp, if within the slop."""
        if stamp_ns == 0:
            return None
        best = min(self._kept[kind], key=lambda k: abs(k.stamp_ns - stamp_ns), default=None)
        return best if best is not None and abs(best.stamp_ns - stamp_ns) <= self.slop_ns() else None

    def newest(self, now_s: float | None = None) -> FrameSet | None:
        """The newest usable moment, or None before the first colour image.

        A colour image younger than depth_wait_s whose depth is still on its way gives way to the matched one before.
        """
        now_s = time.monotonic() if now_s is None else now_s
        with self._arrived:
            colors = self._kept[COLOR]
            if not colors:
                return None
            depth_seen = bool(self._kept[DEPTH]) and now_s - self._kept[DEPTH][-1].received_s < 2.0
            slop_ns = self.slop_ns()
            for color in reversed(colors):
                depth = self._match(color, self._kept[DEPTH], slop_ns)  # the slop may have been raised since it came
                if depth is not None:
                    return self._set(color, depth, "")
                if not depth_seen or now_s - color.received_s >= self.depth_wait_s:
                    break
            return self._set(colors[-1], None, self._why(colors[-1], now_s))

    def _why(self, color: _Kept, now_s: float) -> str:
        if not self._kept[DEPTH]:
            return NO_DEPTH
        last = self._kept[DEPTH][-1]
        if color.stamp_ns == 0:
            return "the colour image carries no stamp, so no depth image can be matched to it"
        if last.stamp_ns == 0:
            return "the depth images carry no stamp, so none can be matched"
        if now_s - last.received_s >= 2.0:
            return f"the depth images stopped {now_s - last.received_s:.1f} s ago"
        meant = self._near(COLOR, last.stamp_ns)
        lag_s = last.received_s - meant.received_s if meant is not None else 0.0
        if lag_s > self.depth_wait_s:
            limit = f"depth_wait_s ({self.depth_wait_s:g} s)"
            return f"depth comes {lag_s * 1e3:.0f} ms after its colour image; raise {limit} above that"
        apart = min(abs(k.stamp_ns - color.stamp_ns) for k in self._kept[DEPTH]) / 1e6
        told = f"the nearest depth image is {apart:.0f} ms away, over the slop of {self.slop_ns() / 1e6:.0f} ms"
        period_s = self._period_s(DEPTH)
        rare = period_s > max(self.depth_wait_s, 1.5 * self._period_s(COLOR))
        if meant is not None and rare:  # some colour images have their depth, and it is not this one
            told += f"; depth comes every {period_s:.2g} s, raise depth_wait_s ({self.depth_wait_s:g} s) above that"
        return told

    def _period_s(self, kind: str) -> float:
        """Seconds from one message that is kept to the next, by their stamps; 0 for fewer than two."""
        kept = self._kept[kind]
        return 1e-9 * (kept[-1].stamp_ns - kept[0].stamp_ns) / (len(kept) - 1) if len(kept) > 1 else 0.0

    def _set(self, color: _Kept, depth: _Kept | None, problem: str) -> FrameSet:
        infos = {}
        for kind in (COLOR_INFO, DEPTH_INFO):
            # A driver may publish its info once, latched: the last one holds until another comes.
            near = self._near(kind, color.stamp_ns) or (self._kept[kind][-1] if self._kept[kind] else None)
            infos[kind] = near.message if near else None
        return FrameSet(
            color.message, infos[COLOR_INFO], depth.message if depth else None, infos[DEPTH_INFO],
            color.stamp_ns, color.received_s, problem,
        )  # fmt: skip

    def wait(self, timeout_s: float, given_up: Callable[[], bool] = lambda: False) -> FrameSet | None:
        """newest(), waiting up to timeout_s for a first frame, and no longer than until given_up() is true."""
        end = time.monotonic() + timeout_s
        with self._arrived:
            while (found := self.newest()) is None:
                left = end - time.monotonic()
                if left <= 0 or given_up():
                    return None
                self._arrived.wait(min(left, LOOK_UP_S))
            return found

    def clear(self) -> None:
        """Forget every image; the counters stay, and camera infos hold until the next one."""
        with self._arrived:
            for kind in (COLOR, DEPTH):
                self._kept[kind].clear()
