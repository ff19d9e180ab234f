"""Exit codes, and the one way the command line speaks to a person: a sentence on stderr."""

from __future__ import annotations

import sys

import typer

OK, ERROR, USAGE = 0, 2, 64


def say(message: str) -> None:
    """One line on stderr."""
    line = " ".join(message.split())
    print(f"refseg: {line}".encode("ascii", "backslashreplace").decode("ascii"), file=sys.stderr)


class _Wrong(typer.BadParameter):
    """Said as it is, without a parameter's name before it."""

    def format_message(self) -> str:
        return self.message


def wrong(message: str) -> typer.BadParameter:
    """A wrong command line, to be raised: main() prints it and exits with 64."""
    return _Wrong(message)
