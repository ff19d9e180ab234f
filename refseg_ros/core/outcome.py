"""How a request ends: outcomes, verdicts, error codes, and the one place an exception becomes an outcome."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum


class Verdict(IntEnum):
    """What is said of one phrase. Values equal the constants of msg/PhraseVerdict."""

    FOUND = 1
    ABSENT = 2
    AMBIGUOUS = 3
    UNCERTAIN = 4


class Outcome(IntEnum):
    """What is said of a whole request. Values equal the constants of msg/SegmentationResult."""

    FOUND = 1
    ABSENT = 2
    AMBIGUOUS = 3
    UNCERTAIN = 4
    ERROR = 5


class ErrorCode(str, Enum):
    """Every code an ERROR outcome can carry. Programs branch on these; people read the message."""

    INSTRUCTION_EMPTY = "INSTRUCTION_EMPTY"
    INSTRUCTION_UNREADABLE = "INSTRUCTION_UNREADABLE"
    INSTRUCTION_TOO_LONG = "INSTRUCTION_TOO_LONG"
    INSTRUCTION_CONTROL_CHARACTERS = "INSTRUCTION_CONTROL_CHARACTERS"
    INSTRUCTION_SPECIAL_TOKENS = "INSTRUCTION_SPECIAL_TOKENS"
    INSTRUCTION_TOO_MANY_PHRASES = "INSTRUCTION_TOO_MANY_PHRASES"
    IMAGE_INVALID = "IMAGE_INVALID"
    IMAGE_ENCODING = "IMAGE_ENCODING"
    IMAGE_UNREADABLE = "IMAGE_UNREADABLE"
    CAMERA_INVALID = "CAMERA_INVALID"
    NO_FRAME = "NO_FRAME"
    STALE_FRAME = "STALE_FRAME"
    NOT_ACTIVE = "NOT_ACTIVE"
    QUEUE_FULL = "QUEUE_FULL"
    SUPERSEDED = "SUPERSEDED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    SHUTDOWN = "SHUTDOWN"
    MODEL_UNKNOWN = "MODEL_UNKNOWN"
    MODEL_WEIGHTS = "MODEL_WEIGHTS"
    MODEL_OUTPUT = "MODEL_OUTPUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    INTERNAL = "INTERNAL"


class RequestError(Exception):
    """A failure with a code from the list and one sentence that says what to do."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class ErrorReport:
    """The error half of a result: a code and a sentence a person can act on."""

    code: ErrorCode
    message: str


def report_exception(error: BaseException) -> ErrorReport:
    """Turn any exception into an error report. The only function that does so."""
    if isinstance(error, RequestError):
        return ErrorReport(error.code, error.message)
    # torch.cuda.OutOfMemoryError is a RuntimeError; core cannot import torch, so it is known by its name.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ErrorReport(
            ErrorCode.OUT_OF_MEMORY,
            "The device ran out of memory; use a smaller image or model, or free the device, and ask again.",
        )
    return ErrorReport(
        ErrorCode.INTERNAL,
        f"The request failed inside the program ({type(error).__name__}: {error}); "
        "ask again, and report it with the log if it repeats.",
    )


def combine(verdicts: Iterable[Verdict]) -> Outcome:
    """The outcome of a whole request from its phrases' verdicts.

    FOUND or ABSENT when all agree; otherwise the verdict that asks most of the person: AMBIGUOUS,
    then UNCERTAIN, then FOUND with the absent phrases listed beside it.

    Raises ValueError when there is no verdict: a request without phrases is an ERROR, never an absence.
    """
    seen = set(verdicts)
    if not seen:
        raise ValueError("combine() needs at least one verdict")
    for verdict in (Verdict.AMBIGUOUS, Verdict.UNCERTAIN, Verdict.FOUND):
        if verdict in seen:
            return Outcome(int(verdict))
    return Outcome.ABSENT
