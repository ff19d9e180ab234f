"""What `refseg replay` does once its command line is right: the bag's messages through the node's own matching."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import track
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from refseg_ros.cli.segmenting import Runner
from refseg_ros.core.outcome import Outcome
from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.report import lines_of, to_dict, write_files, write_png
from refseg_ros.nodes.frames import NOT_RECTIFIED, Rectified, build_frame
from refseg_ros.nodes.sync import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO, FrameSet, StampMatcher


class BagError(Exception):
    """A bag that cannot be replayed; the message says why and what to do."""


@dataclass(frozen=True)
class Topics:
    """Names in the bag."""

    color: str
    depth: str
    color_info: str
    depth_info: str

    def kinds(self) -> dict[str, str]:
        """Topic -> kind of nodes.sync."""
        return {self.color: COLOR, self.depth: DEPTH, self.color_info: COLOR_INFO, self.depth_info: DEPTH_INFO}


def moments(bag: Path, topics: Topics, every: int) -> Iterator[FrameSet]:
    """Each (every-th) colour image with what belongs to it. An image is given out when the next one has come, so that
    its depth has had the time to. Raises BagError."""
    kinds = topics.kinds()
    try:
        with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:
            there = {c.topic for c in reader.connections}
            if topics.color not in there:
                names = ", ".join(sorted(c.topic for c in reader.connections if c.msgtype.endswith("Image")))
                raise BagError(f"{bag} has no topic {topics.color}; pictures are on: {names or 'none'}. Use --image.")
            connections = [c for c in reader.connections if c.topic in kinds]
            # No waiting for depth: by the time a moment is given out, the bag has had its say.
            matcher, seen, total = StampMatcher(depth_wait_s=0.0), 0, sum(c.msgcount for c in connections)
            stream = reader.messages(connections=connections)
            for connection, time_ns, raw in track(stream, total=total, description=f"replaying {bag.name}"):
                message: Any = reader.deserialize(raw, connection.msgtype)
                kind = kinds[connection.topic]
                if kind == COLOR:
                    if seen and (seen - 1) % every == 0:
                        yield _newest(matcher, time_ns)
                    seen += 1
                stamp = message.header.stamp
                matcher.add(kind, stamp.sec * 1_000_000_000 + stamp.nanosec, message, time_ns / 1e9)
            if seen and (seen - 1) % every == 0:
                yield _newest(matcher, time_ns)
    except (AnyReaderError, OSError) as error:
        raise BagError(f"{bag} cannot be read as a bag: {error}.") from error


def _newest(matcher: StampMatcher, time_ns: int) -> FrameSet:
    found = matcher.newest(time_ns / 1e9)
    assert found is not None  # a colour image has been added before
    return found


def replay(
    bag: Path, topics: Topics, instruction: str, out: Path, runner: Runner, every: int,
    rectified: Rectified = NOT_RECTIFIED,
) -> tuple[int, int]:  # fmt: skip
    """Answer for every moment; returns how many there were and how many ended in ERROR. Raises BagError."""
    errors = 0
    with lines_of(out / "results.jsonl") as lines:
        for number, messages in enumerate(moments(bag, topics, every)):
            answer, frame = runner.answer(partial(build_frame, messages, rectified=rectified), instruction)
            prefix = f"{number:04d}/"
            write_files(answer, out, prefix)
            if frame is not None:
                write_png(out / prefix / "overlay.png", draw_overlay(frame.rgb, answer, frame.intrinsics))
            lines.append(json.dumps({"stamp_ns": messages.stamp_ns, **to_dict(answer, prefix)}, allow_nan=False))
            errors += answer.outcome is Outcome.ERROR
    if not lines:
        raise BagError(f"{bag} holds no image on {topics.color}.")
    return len(lines), errors
