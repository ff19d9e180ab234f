"""Runs a node until it is told to stop: by a signal, or by the context's end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from refseg_ros.nodes.dds import use_large_message_profile


def run_until_told(
    make: Callable[[], Any], name: str, args: list[str] | None, failures: tuple[type[Exception], ...] = ()
) -> int:
    """The exit code: 0 for an ordinary end; 1 where make() raised one of `failures`, whose sentence has been logged.

    make: gives an rclpy Node that has close(), which is called at the end and may still answer who waits.
    """
    use_large_message_profile()
    stop = stop_at_signals()
    with rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO):
        try:
            node = make()
        except failures as error:
            get_logger(name).fatal(str(error))
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.2)
        except ExternalShutdownException:
            pass  # an ordinary end, too
        finally:
            node.close()
    return 0


def stop_at_signals() -> threading.Event:
    """Set by SIGINT and SIGTERM from now on. rclpy's own handlers would close the context before those who wait are
    answered; call rclpy.init() without them."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
