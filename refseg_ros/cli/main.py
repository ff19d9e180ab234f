"""The `refseg` command. Each command is a module of this folder with a function `command`; nothing heavy loads here.

Exit codes: 0 done, 2 the answer is an ERROR (it is written all the same), 64 a wrong command line or
results that cannot be written, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import typer

from refseg_ros.cli.exits import ERROR, USAGE, say

COMMANDS = ("segment", "scenes", "convert", "eval", "robustness", "train", "bench", "models", "replay")


def build() -> typer.Typer:
    """The application with every command that is installed."""
    app = typer.Typer(
        name="refseg",
        help="Referring segmentation for robots: masks, explicit rejections and 3-D objects from an instruction.",
        add_completion=False,
        no_args_is_help=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root() -> None:
        """Referring segmentation for robots: masks, explicit rejections and 3-D objects from an instruction."""

    for name in COMMANDS:
        if find_spec(f"refseg_ros.cli.{name}") is not None:
            app.command(name)(import_module(f"refseg_ros.cli.{name}").command)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; arguments: without the program's name, None for sys.argv."""
    try:
        code = typer.main.get_command(build()).main(
            args=None if arguments is None else list(arguments), prog_name="refseg", standalone_mode=False
        )
    except typer.Exit as leave:
        return int(leave.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        say("interrupted")
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error: typer has no public name for its class
            raise
        say(f"{error.format_message().rstrip('.')}; see refseg --help.")
        return USAGE
    return code if isinstance(code, int) else 0


def main() -> None:
    """The entry point of the `refseg` executable."""
    sys.exit(run())


__all__ = ["COMMANDS", "ERROR", "USAGE", "build", "main", "run"]

if __name__ == "__main__":
    main()
