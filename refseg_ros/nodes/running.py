"""Runs a node until it is told to stop: by a signal, or by the context's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger

from refseg_ros.nodes.dds import use_large_message_profile


def run_until_told(
    make: Callable[[], Any], name: str, args: list[str] | None, failures: tuple[type[Exception], ...] = ()
) -> int:
    """The exit code: 0 for an ordinary end; 1 where make() raised one of `failures`, whose sentence has been logged.

    make: gives an rclpy Node that has close(), which is called at the end.
    """
    use_large_message_profile()
    try:
        with rclpy.init(args=args):
            try:
                node = make()
            except failures as error:
                get_logger(name).fatal(str(error))
                return 1
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            try:
                executor.spin()
            finally:
                node.close()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the ordinary end
    return 0
