"""What a model costs: encoding a frame, its first phrase, further ones, whole requests; and memory.

Everything is measured in turns within one run, so that a machine that is busy with something else slows all of it
alike: compare the ratios, not the milliseconds of two runs.
"""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.pipeline import run
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import Frame, Intrinsics
from refseg_ros.evaluation.tally import spread

SIZES = ((640, 480), (1280, 720))
MANY = 10
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "orange", "purple", "grey", "brown")
NOUNS = ("mug", "bowl", "plate", "can", "box", "bottle", "book", "carton", "cup", "lemon", "basket", "pot")
PLACES = ("", " on the left", " on the right", " near the plate", " in front of the box")


def unheard() -> Iterator[str]:
    """Phrases that differ from each other: a model that keeps texts gains nothing."""
    for place, noun, colour in itertools.product(PLACES, NOUNS, COLOURS):
        yield f"the {colour} {noun}{place}"


def frame_of(rgb: npt.NDArray[np.uint8], size: tuple[int, int]) -> Frame:
    """A picture at a size (width, height), with a table's depth and a usual lens."""
    width, height = size
    pixels = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    depth = np.repeat(np.linspace(1.4, 0.6, height, dtype=np.float32)[:, None], width, 1)
    return Frame(pixels, depth, Intrinsics(width, height, 0.95 * width, 0.95 * width, width / 2, height / 2))


def drawn_table(seed: int = 0) -> npt.NDArray[np.uint8]:
    """A picture of coloured shapes on a table, (720, 1280, 3), for a bench without a dataset."""
    rng = np.random.default_rng(seed)
    picture = np.clip(rng.normal(150, 8, (720, 1280, 3)), 0, 255).astype(np.uint8)
    picture[:200] //= 2
    for n in range(12):
        x, y, r = (int(v) for v in (100 + 98 * n, rng.integers(280, 620), rng.integers(30, 60)))
        colour = tuple(int(v) for v in rng.integers(20, 235, 3))
        if n % 2:
            cv2.ellipse(picture, (x, y), (r, int(1.4 * r)), 0, 0, 360, colour, -1)
        else:
            cv2.rectangle(picture, (x - r, y - int(1.3 * r)), (x + r, y + r), colour, -1)
    return picture


def measure(model: SegmentationModel, pictures: Sequence[npt.NDArray[np.uint8]], rounds: int) -> dict[str, Any]:
    """By size, {"median", "p95"} in milliseconds of each thing a model does, and the ratios of the medians.

    first_phrase: one phrase about a new frame; further_phrase: one more about the same; again: that text once more;
    ten_phrases: ten at once about an encoded frame; request_1, request_10: whole requests, parsing and lifting
    included, about a new frame.
    """
    frames = {f"{w}x{h}": [frame_of(p, (w, h)) for p in pictures] for w, h in SIZES}
    texts, lifter = itertools.cycle(unheard()), Lifter()
    spent: dict[str, dict[str, list[float]]] = {size: {} for size in frames}
    for number in track(range(rounds + 1), description=f"{rounds} rounds"):
        for size, shown in frames.items():
            frame, times = shown[number % len(shown)], spent[size]
            encoded, encode = _timed(lambda frame=frame: model.encode(frame))  # type: ignore[misc]
            first, more = Phrase(next(texts)), Phrase(next(texts))
            many = [Phrase(next(texts)) for _ in range(MANY)]
            said = {1: next(texts), MANY: " and ".join(next(texts) for _ in range(MANY))}
            one = _timed(lambda e=encoded, p=first: model.decode(e, [p]))[1]  # type: ignore[misc]
            rows = {
                "encode": encode,
                "first_phrase": encode + one,
                "further_phrase": _timed(lambda e=encoded, p=more: model.decode(e, [p]))[1],  # type: ignore[misc]
                "again": _timed(lambda e=encoded, p=more: model.decode(e, [p]))[1],  # type: ignore[misc]
                "ten_phrases": _timed(lambda e=encoded, p=many: model.decode(e, p))[1],  # type: ignore[misc]
            }
            for count, text in said.items():
                rows[f"request_{count}"] = _timed(
                    lambda f=frame, t=text: run(model, f, t, lifter=lifter)  # type: ignore[misc]
                )[1]
            if number:  # the first round warms up
                for name, value in rows.items():
                    times.setdefault(name, []).append(value)
    sizes = {size: {name: spread(values) for name, values in times.items()} for size, times in spent.items()}
    return {"sizes": sizes, "ratios": _ratios(sizes)}


def _timed(do: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    out = do()
    return out, (time.perf_counter() - began) * 1e3


def _ratios(sizes: dict[str, dict[str, Any]]) -> dict[str, float]:
    small, large = (sizes[f"{w}x{h}"] for w, h in SIZES)

    def ratio(over: dict[str, Any], under: dict[str, Any]) -> float:
        return round(over["median"] / max(under["median"], 1e-9), 3)

    return {
        "further_phrase_to_first": ratio(small["further_phrase"], small["first_phrase"]),
        "ten_phrases_to_one": ratio(small["ten_phrases"], small["further_phrase"]),
        "request_10_to_request_1": ratio(small["request_10"], small["request_1"]),
        "request_1_to_first_phrase": ratio(small["request_1"], small["first_phrase"]),
        "encode_1280x720_to_640x480": ratio(large["encode"], small["encode"]),
    }


def high_water_mb() -> float:
    """The most memory this process has held, megabytes (Linux counts in kilobytes)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
