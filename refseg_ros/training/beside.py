"""Two stages that need nothing of each other, side by side on a processor; neither outlives the other's end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.runs import ConfigError

Stage = Callable[[TrainingConfig], None]


def together(
    threads: int, first: Stage, told_first: TrainingConfig, second: Stage, told_second: TrainingConfig
) -> None:
    """Run two stages: side by side on a processor with threads for both, else in turn. second must be importable.

    Small networks gain little from a second thread: one each makes nearly twice the steps. On GPUs, which have work
    enough in either, they run in turn. Raises what `first` does, ConfigError where `second` failed, and SystemExit when
    this process is told to end (SIGTERM).
    """
    if threads < 2 or torch.cuda.is_available():
        first(told_first)
        second(told_second)
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads - threads // 2)
    spawn = torch.multiprocessing.get_context("spawn")
    beside = spawn.Process(target=_beside, args=(threads // 2, second, told_second), daemon=True)
    with _ended_by_raising():
        beside.start()
        try:
            first(told_first)
        except BaseException:  # an interruption, too: the other stage must not run on alone
            beside.terminate()
            raise
        finally:
            beside.join()
            torch.set_num_threads(before)
    if beside.exitcode:
        raise ConfigError(
            f"the stage in {second.__module__} failed (exit code {beside.exitcode}) and said why above; "
            "the same command goes on from what is in work."
        )


@contextmanager
def _ended_by_raising() -> Iterator[None]:
    """SIGTERM raises SystemExit, so that what has begun is ended; only a program's main thread can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _beside(threads: int, stage: Stage, told: TrainingConfig) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells both: the first hears it and ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        stage(told)
    except ConfigError as error:
        sys.exit(f"refseg: {error}")


def _end_with_parent() -> None:
    """A parent that was killed could not end this process."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
