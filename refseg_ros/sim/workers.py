"""Processes that render: each with one engine of its own, for as long as there is work."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from refseg_ros.sim.engine import SceneEngine

Job = TypeVar("Job")
Result = TypeVar("Result")
_engines: list[SceneEngine] = []


def _start(width: int, height: int, unknown: bool) -> None:
    _engines.append(SceneEngine(width=width, height=height, unknown=unknown))
    Finalize(None, _engines[0].close, exitpriority=10)


def _work(job: tuple[Callable[[SceneEngine, Any], Any], Any]) -> Any:
    function, argument = job
    return function(_engines[0], argument)


def rendered(
    function: Callable[[SceneEngine, Job], Result], jobs: Sequence[Job], size: tuple[int, int], workers: int,
    unknown: bool = False,
) -> Iterator[Result]:  # fmt: skip
    """function(engine, job) of each job, as they are done. function must be importable; size: (width, height); unknown:
    as the engine has it."""
    if not jobs:
        return
    # Each process renders with an OpenGL context of its own, which a forked copy of ours would not be.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs)), _start, (*size, unknown)) as pool:
        yield from pool.imap_unordered(_work, [(function, job) for job in jobs])
        pool.close()
        pool.join()
