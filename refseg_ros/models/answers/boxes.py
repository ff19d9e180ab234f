"""Boxes with masks, as Qwen3-VL-Seg answers (arXiv 2605.07141): a JSON list, empty when nothing fits.

    [{"bbox_2d":[x0,y0,x1,y1],"label":"the mug","mask":"<mask_start><mask_token><mask_end>"}, ...]

Corners are integers, thousandths of the image's width and height; x0 < x1 and y0 < y1. Without masks ("with_mask"
False) an entry ends after its label.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import END, Integer, Symbol, Term, chain, either, literal, repeated, spelled

MASK_START, MASK, MASK_END = SPECIALS = ("<mask_start>", "<mask_token>", "<mask_end>")
SCALE = 1000
# Special tokens enter the JSON text as private characters, so that the same letters in plain text stay text.
_MARKS = {MASK_START: "\ue000", MASK: "\ue001", MASK_END: "\ue002"}
_MASK_FIELD = "".join(_MARKS.values())


@dataclass(frozen=True)
class BoxEntry:
    """box: x0, y0, x1, y1 in thousandths of the image; phrase: index of the label; at: position of its <mask_token>."""

    box: tuple[int, int, int, int]
    phrase: int
    at: int = -1


def grammar(labels: Sequence[str], most: int = 20, with_mask: bool = True) -> Term:
    """Lists of up to `most` boxes with these labels (as Vocabulary.spell() gives them)."""
    mask = literal(',"mask":"', (MASK_START,), (MASK,), (MASK_END,), '"}') if with_mask else literal("}")
    tail = chain(literal(',"label":'), _label(labels), mask)
    item = chain(literal('{"bbox_2d":['), Integer(0, SCALE - 1, partial(_after_x0, tail)))
    return chain(literal("["), either(END, repeated(item, literal(","), most)), literal("]"))


def _after_x0(tail: Term, x0: int) -> Term:
    """The other three corners, the bracket that closes them, and what follows it."""
    return chain(literal(","), Integer(0, SCALE - 1, partial(_after_y0, tail, x0)))


def _after_y0(tail: Term, x0: int, y0: int) -> Term:
    return chain(literal(","), Integer(x0 + 1, SCALE, partial(_after_x1, tail, y0)))


def _after_x1(tail: Term, y0: int, _x1: int) -> Term:
    return chain(literal(","), Integer(y0 + 1, SCALE, partial(_after_y1, tail)))


def _after_y1(tail: Term, _y1: int) -> Term:
    return chain(literal("]"), tail)


def _label(labels: Sequence[str]) -> Term:
    return either(*(literal(_quoted(label)) for label in labels))


def _quoted(label: str) -> str:
    return json.dumps(label, ensure_ascii=False)


def write(entries: Sequence[BoxEntry], labels: Sequence[str], with_mask: bool = True) -> tuple[Symbol, ...]:
    """The answer that says so; positions are ignored."""
    parts: list[str | tuple[str]] = ["["]
    for number, entry in enumerate(entries):
        numbers = ",".join(str(v) for v in entry.box)
        parts.append(("," if number else "") + '{"bbox_2d":[' + numbers + '],"label":' + _quoted(labels[entry.phrase]))
        parts += [',"mask":"', (MASK_START,), (MASK,), (MASK_END,), '"}'] if with_mask else ["}"]
    return spelled(*parts, "]")


def parse(
    entries: Sequence[bytes | str], labels: Sequence[str], most: int = 20, with_mask: bool = True
) -> tuple[BoxEntry, ...]:
    """A transcript as boxes. Raises AnswerError: MALFORMED for anything but the form, FOREIGN for another label."""
    plain = decoded(b"".join(e for e in entries if isinstance(e, bytes)))
    if any(mark in plain for mark in _MARKS.values()):
        raise AnswerError(Fault.FOREIGN, "it contains private characters")
    marks = [_MARKS.get(e, "\ue003") if isinstance(e, str) else e for e in entries]
    text = decoded(b"".join(m.encode() if isinstance(m, str) else m for m in marks))
    try:
        fields = ["bbox_2d", "label", "mask"] if with_mask else ["bbox_2d", "label"]
        items = json.loads(text, object_pairs_hook=partial(_pairs, fields), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AnswerError(Fault.MALFORMED, "it is not a JSON list of boxes") from error
    if not isinstance(items, list) or len(items) > most:
        raise AnswerError(Fault.MALFORMED, f"it is not a list of at most {most} boxes")
    places = [at for at, e in enumerate(entries) if e == MASK]
    if len(places) != len(items) * with_mask:
        raise AnswerError(Fault.MALFORMED, f"it has {len(items)} boxes and {len(places)} masks")
    if not with_mask:
        places = [-1] * len(items)
    return tuple(_entry(item, labels, at) for item, at in zip(items, places, strict=True))


def _pairs(fields: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if [key for key, _ in pairs] != fields:
        raise ValueError(f"the fields are {', '.join(fields)}, in this order")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number here")


def _entry(item: Any, labels: Sequence[str], at: int) -> BoxEntry:
    if not isinstance(item, dict) or item.get("mask", _MASK_FIELD) != _MASK_FIELD:
        raise AnswerError(Fault.MALFORMED, "an entry is not a box with a label and a mask")
    box = item["bbox_2d"]
    numbers = isinstance(box, list) and len(box) == 4 and all(type(v) is int and 0 <= v <= SCALE for v in box)
    if not numbers or box[0] >= box[2] or box[1] >= box[3]:
        raise AnswerError(Fault.MALFORMED, "a box is not four integers 0..1000 with x0 < x1 and y0 < y1")
    if item["label"] not in labels:
        raise AnswerError(Fault.FOREIGN, "a label is none of the phrases that were asked for")
    return BoxEntry((box[0], box[1], box[2], box[3]), labels.index(item["label"]), at)
