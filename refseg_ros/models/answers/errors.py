"""What can be wrong with an answer. It is always an error, never an absence."""

from __future__ import annotations

from enum import Enum

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.models.answers.vocabulary import Vocabulary


class Fault(str, Enum):
    """TRUNCATED: it has no end. MALFORMED: not of the form. FOREIGN: names or tokens that were not asked for."""

    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    FOREIGN = "foreign"


class AnswerError(RequestError):
    """A language model's answer that cannot be used. code is MODEL_OUTPUT."""

    def __init__(self, fault: Fault, what: str) -> None:
        message = f"The model's answer is {fault.value}: {what}; ask again, or use other words."
        super().__init__(ErrorCode.MODEL_OUTPUT, message)
        self.fault = fault


def transcript(ids: list[int], vocabulary: Vocabulary) -> list[bytes | str]:
    """One entry a token (bytes, or a special token's name) up to the end token.

    Raises AnswerError(TRUNCATED) without an end token, AnswerError(FOREIGN) for a token that no answer contains.
    """
    if not ids or ids[-1] != vocabulary.eos_id:
        raise AnswerError(Fault.TRUNCATED, f"it has no end after {len(ids)} tokens")
    entries = vocabulary.symbols(ids[:-1])
    foreign = [e for e in entries if isinstance(e, str) and e not in vocabulary.special_ids]
    if foreign:
        raise AnswerError(Fault.FOREIGN, f"it contains {foreign[0]}")
    return entries


def decoded(data: bytes) -> str:
    """UTF-8 text. Raises AnswerError(MALFORMED)."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise AnswerError(Fault.MALFORMED, "it is not text") from error
