"""Child processes of the demo: started with their own logs, ended with SIGINT, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType


class Processes:
    """A context that owns child processes; leaving it ends them all, newest first."""

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self._logs = logs
        self._environment = os.environ | environment
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, module: str, arguments: Sequence[str] = ()) -> None:
        """Run `python -m module arguments`; its output goes to <logs>/<name>.log."""
        with (self._logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                # A background shell starts its children with SIGINT ignored; ours must end on it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        self._running.append((name, process))

    def dead(self) -> str | None:
        """Name of a process that has ended by itself, or None."""
        return next((name for name, process in self._running if process.poll() is not None), None)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for name, process in reversed(self._running):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                print(f"{name} did not end on SIGINT and was killed", file=sys.stderr)
                process.kill()
                process.wait()
