"""Exit codes, and the one way the command line speaks to a person: a sentence on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def writing(option: str = "--out") -> Iterator[None]:
    """Around what writes results to where `option` says: what cannot be written is a wrong command line. Not 2: that
    promises a result.json."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        raise wrong(f"{what}; check {option} and the disk.") from error
