"""Processes that render: each with one engine of its own, for as long as there is work."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, TypeVar

from refseg_ros.sim import assets

if TYPE_CHECKING:  # where OpenGL is missing its import fails: only in _start(), which can say so
    from refseg_ros.sim.engine import SceneEngine

Job = TypeVar("Job")
Result = TypeVar("Result")
_engines: list[SceneEngine] = []
_failed: list[str] = []


class RendererFailed(RuntimeError):
    """No engine could be started, or one was killed; the message says what to do."""


def _start(width: int, height: int, unknown: bool) -> None:
    try:
        from refseg_ros.sim.engine import SceneEngine

        _engines.append(SceneEngine(width=width, height=height, unknown=unknown))
    except Exception as error:  # noqa: BLE001  # whatever it is: the pool would start such processes for ever
        _failed.append(f"{type(error).__name__}: {error}")
        return
    Finalize(None, _engines[0].close, exitpriority=10)


def _work(function: Callable[[SceneEngine, Any], Any], job: Any) -> Any:
    if _failed:
        raise RendererFailed(
            f"The renderer does not start ({_failed[0]}); run bash .ci/system-packages.sh and "
            "pip install -r requirements/sim.txt, or see MUJOCO_GL in MuJoCo's documentation."
        )
    return function(_engines[0], job)


def rendered(
    function: Callable[[SceneEngine, Job], Result], jobs: Sequence[Job], size: tuple[int, int], workers: int,
    unknown: bool = False,
) -> Iterator[Result]:  # fmt: skip
    """function(engine, job) of each job, as they are done. function must be importable; size: (width, height); unknown:
    as the engine has it. Raises assets.AssetsMissing, RendererFailed, OSError where the assets cannot be kept, and what
    function does."""
    if not jobs:
        return
    assets.prepare()  # here, so that it is done once and fails once
    # Each process renders with an OpenGL context of its own, which a forked copy of ours would not be.
    spawning = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(workers, len(jobs)), spawning, _start, (*size, unknown))
    try:
        for done in as_completed([executor.submit(_work, function, job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool as error:
        raise RendererFailed(
            "A process that renders was killed, most often because memory ran out; run the same command with fewer "
            "--workers: it goes on where it stopped."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
