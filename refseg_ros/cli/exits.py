"""Exit codes, and the one way the command line speaks to a person: a sentence on stderr."""

from __future__ import annotations

import sys

import click

OK, ERROR, USAGE = 0, 2, 64


def say(message: str) -> None:
    """One line on stderr."""
    line = " ".join(message.split())
    print(f"refseg: {line}".encode("ascii", "backslashreplace").decode("ascii"), file=sys.stderr)


def wrong(message: str) -> click.UsageError:
    """A wrong command line, to be raised: main() prints it and exits with 64."""
    return click.UsageError(message)
