"""What somebody sent, as text that is safe to read, and its sentences as words: before any grammar.

Refuses what is too long, holds control characters or tokens reserved for models, or has no words. Raises RequestError
and nothing else.
"""

from __future__ import annotations

import re
import unicodedata

from refseg_ros.core import lexicon as lex
from refseg_ros.core.outcome import ErrorCode, RequestError

MAX_CHARACTERS = 1000

_INVISIBLE = dict.fromkeys([0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
_QUOTES = str.maketrans("‘’‛`´“”„«»", "'" * 5 + '"' * 5)
_SPECIAL = re.compile(
    r"<\s*\|[^<>]{0,80}\|?\s*>|<{1,2}\s*/?\s*[A-Za-z_][^<>]{0,80}>{1,2}|<0x[0-9A-Fa-f]{2}>"
    r"|\[\s*/?\s*[A-Z][A-Z_]*[0-9]*\s*\]|\[\s*/?\s*(?:seg|rej|cls|sep|mask|pad|unk|inst|box|loc|image|img)[0-9]*\s*\]",
)
_TOKENS = re.compile(r"[,;:!?()\"\[\]{}]|[^\s,;:!?()\"\[\]{}]+")
_LISTED = re.compile(r"(?:^|(?<=\s))(\d{1,2})[.)](?=\s)(?!\s+\1[.)])")  # not the first 2 of "block 2. 2. the mug"
_STOPS = frozenset(";!?")
_COMMAS = frozenset(",:()")


def checked(text: str) -> str:
    """The text, NFKC-normalised and safe to read. Raises RequestError."""
    if not isinstance(text, str) or not text.strip():
        raise RequestError(ErrorCode.INSTRUCTION_EMPTY, "The instruction is empty; name an object to look for.")
    clean = ""
    if len(text) <= MAX_CHARACTERS:
        clean = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).translate(_INVISIBLE).translate(_QUOTES)
    if len(text) > MAX_CHARACTERS or len(clean) > MAX_CHARACTERS:
        raise RequestError(
            ErrorCode.INSTRUCTION_TOO_LONG,
            f"The instruction has {max(len(text), len(clean))} characters; the limit is {MAX_CHARACTERS}, shorten it.",
        )
    bad = next((c for c in clean if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\t\n\r"), None)
    if bad is not None:
        raise RequestError(
            ErrorCode.INSTRUCTION_CONTROL_CHARACTERS,
            f"The instruction holds the control character U+{ord(bad):04X}; send plain text.",
        )
    if _SPECIAL.search(clean):
        raise RequestError(
            ErrorCode.INSTRUCTION_SPECIAL_TOKENS,
            "The instruction holds a token reserved for models, such as [SEG] or <image>; use plain words.",
        )
    if not clean.strip():
        raise RequestError(ErrorCode.INSTRUCTION_EMPTY, "The instruction is empty; name an object to look for.")
    if not any(c.isalpha() for c in clean):
        raise RequestError(ErrorCode.INSTRUCTION_UNREADABLE, "The instruction has no words; name an object.")
    return clean


def sentences(text: str) -> list[list[str]]:
    """Sentences as lists of words and ",". Noise is dropped; dots end a sentence only at a word's end."""
    out: list[list[str]] = [[]]
    for line in re.split(r"[\n\r]+", _unnumbered(text)):
        for token in _TOKENS.findall(line):
            if token in _STOPS:
                out.append([])
            elif token in _COMMAS:
                out[-1].append(",")
            elif token in '"[]{}':
                continue
            else:
                word = token.rstrip(".…。").strip("'") if len(token) > 1 else token.strip(".'")
                if word and word.lower() not in lex.NOISE and word not in ("-", "–", "—", "*"):
                    out[-1].append(word)
                if word != token and token.endswith((".", "…", "。")) and word.lower() not in lex.ABBREVIATIONS:
                    out.append([])
        out.append([])
    return [s for s in out if any(w != "," for w in s)]


def _unnumbered(text: str) -> str:
    """The text without the numbers of a list: "1. the mug 2. the bowl"; the items are sentences."""
    awaited = 1

    def replaced(number: re.Match[str]) -> str:
        nonlocal awaited
        if int(number[1]) != awaited:
            return number[0]
        awaited += 1
        return ";"

    return _LISTED.sub(replaced, text) if re.match(r"\s*1[.)]\s", text) else text
