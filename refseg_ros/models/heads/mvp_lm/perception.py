"""From the decoder's answer to what was asked: a referred mask or a rejection, a panoptic picture, instances, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg_ros.models.heads.mvp_lm.head import MVPLMOutput, Task
from refseg_ros.models.heads.mvp_lm.rejection import Rejection

ToImage = Callable[[Tensor], Tensor]
SAME_IOU = 0.7


@dataclass(frozen=True, eq=False)
class Found:
    """One segment or box. phrase: index in the word list (0 for a sentence); score 0..1; box_4: centre x, centre y,
    width, height in shares of the network's input; mask_hw: bool, None where boxes were asked for."""

    phrase: int
    score: float
    box_4: Tensor
    mask_hw: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Referred:
    """The answer to a sentence. found: best first, empty for a rejection; score: of the best query, rejected or not."""

    score: float
    found: tuple[Found, ...]


@dataclass(frozen=True, eq=False)
class Panoptic:
    """ids_hw: int32, 0 for nothing, n for the n-th of segments (from 1); stuff: whether each segment is stuff."""

    ids_hw: Tensor
    segments: tuple[Found, ...]
    stuff: tuple[bool, ...]


def mask_quality(logits_qhw: Tensor) -> Tensor:
    """(Q,): mean probability of the cells a mask claims (probability above one half); 0 for a mask that claims none."""
    chance = logits_qhw.float().flatten(1).sigmoid()
    claimed = (chance > 0.5).float()
    return (chance * claimed).sum(1) / claimed.sum(1).clamp(min=1)


def refer_scores(output: MVPLMOutput) -> Tensor:
    """(B, Q): sigmoid(similarity) x mask quality of every query for each sentence."""
    answer = output.answer
    quality = torch.stack([mask_quality(answer.mask_logits(row)) for row in range(len(answer.boxes_bq4))])
    return answer.similarity_bqk[..., 0].sigmoid() * quality


def refer(
    output: MVPLMOutput, row: int, to_image: ToImage, rejection: Rejection | None, several: float | None = None
) -> Referred:
    """The best query's mask; with `several`, of every query that scores at least that and shows something else.

    to_image: logits (N, h, w) at the head's grid -> logits at the image's pixels. rejection: None to always answer.
    Raises ValueError for an output of a word list.
    """
    if output.task is not Task.SENTENCE:
        raise ValueError(f"only a sentence refers; this output answers {output.task.value}")
    score = refer_scores(output)[row]
    order = score.argsort(descending=True)
    best = float(score[order[0]])
    if rejection is not None and rejection.rejects(best):
        return Referred(best, ())
    chosen = order[:1] if several is None else order[: max(1, int((score >= several).sum()))]
    masks = to_image(output.answer.mask_logits(row, chosen)) > 0
    kept: list[int] = []
    for n in range(len(chosen)):
        if all(_iou(masks[n], masks[k]) < SAME_IOU for k in kept):
            kept.append(n)
    boxes = output.answer.boxes_bq4[row, chosen]
    return Referred(best, tuple(Found(0, float(score[chosen[n]]), boxes[n], masks[n]) for n in kept))


def _iou(a_hw: Tensor, b_hw: Tensor) -> float:
    return float((a_hw & b_hw).sum() / (a_hw | b_hw).sum().clamp(min=1))


def name_chances(output: MVPLMOutput, row: int, stuff: Sequence[bool]) -> Tensor:
    """(Q, K): probability of each name, beside the background. Thing queries know things only, stuff queries stuff.

    stuff: of each name. Raises ValueError for another number of names than the sample has.
    """
    if output.task is Task.SENTENCE:
        raise ValueError("a sentence is no word list: use refer()")
    answer = output.answer
    similarity = answer.similarity_bqk[row]
    if len(stuff) > similarity.shape[1]:
        raise ValueError(f"{len(stuff)} names are flagged, the sample has {similarity.shape[1]}")
    similarity = similarity[:, : len(stuff)]
    for_stuff = torch.arange(len(similarity), device=similarity.device) >= output.things
    fitting = for_stuff[:, None] == torch.tensor(list(stuff), device=similarity.device)
    table = torch.cat([similarity.masked_fill(~fitting, -torch.inf), answer.background_bq[row, :, None]], 1)
    return table.softmax(1)[:, :-1]


@dataclass(frozen=True, eq=False)
class Claims:
    """n queries that claim a segment: chance_n 0..1 and index name_n of their best name, masks, boxes."""

    chance_n: Tensor
    name_n: Tensor
    logits_nhw: Tensor
    boxes_n4: Tensor


def claims(output: MVPLMOutput, row: int, stuff: Sequence[bool], score: float = 0.1) -> Claims:
    """Of one word list. score: chance of its name below which a query is not considered."""
    chances, names = name_chances(output, row, stuff).max(1)
    keep = (chances > score).nonzero()[:, 0]
    answer = output.answer
    return Claims(chances[keep], names[keep], answer.mask_logits(row, keep), answer.boxes_bq4[row, keep])


def joined(parts: Sequence[Claims], numbers: Sequence[Sequence[int]]) -> Claims:
    """Claims of several word lists about one image as those of one. numbers: of each list's names in the whole one."""
    names = [torch.tensor(list(n), device=p.name_n.device)[p.name_n] for p, n in zip(parts, numbers, strict=True)]
    chance, logits, boxes = (
        torch.cat([getattr(p, field) for p in parts]) for field in ("chance_n", "logits_nhw", "boxes_n4")
    )
    return Claims(chance, torch.cat(names), logits, boxes)


def panoptic(
    output: MVPLMOutput, row: int, stuff: Sequence[bool], to_image: ToImage, score: float = 0.1, overlap: float = 0.8
) -> Panoptic:
    """A word list's claims() as one picture; see arranged()."""
    return arranged(claims(output, row, stuff, score), stuff, to_image, overlap)


def arranged(claimed: Claims, stuff: Sequence[bool], to_image: ToImage, overlap: float = 0.8) -> Panoptic:
    """Each pixel goes to the query that claims it most; a segment stays when it keeps at least `overlap` of its mask.

    Stuff of one name is one segment.
    """
    quality = mask_quality(claimed.logits_nhw)
    shown = to_image(claimed.logits_nhw).sigmoid()
    ids = torch.zeros(shown.shape[1:], dtype=torch.int32, device=shown.device)
    segments: list[Found] = []
    flags: list[bool] = []
    if not len(claimed.chance_n):
        return Panoptic(ids, (), ())
    owner = (shown * claimed.chance_n[:, None, None]).argmax(0)
    stuff_at: dict[int, int] = {}
    for n, name in enumerate(claimed.name_n.tolist()):
        mine = shown[n] > 0.5
        own = mine & (owner == n)
        if not own.any() or own.sum() < overlap * mine.sum():
            continue
        if name in stuff_at:
            ids[own] = stuff_at[name]
            continue
        segments.append(Found(name, float(claimed.chance_n[n] * quality[n]), claimed.boxes_n4[n]))
        flags.append(bool(stuff[name]))
        ids[own] = len(segments)
        if stuff[name]:
            stuff_at[name] = len(segments)
    return Panoptic(ids, tuple(segments), tuple(flags))


def instances(
    output: MVPLMOutput, row: int, stuff: Sequence[bool], to_image: ToImage, most: int = 100, score: float = 0.0
) -> list[Found]:
    """The best (query, name) pairs among things with their masks, best first: what mask AP is measured on."""
    table = name_chances(output, row, stuff)[: output.things]
    logits = output.answer.mask_logits(row, slice(output.things))
    table = table * mask_quality(logits)[:, None]
    best = table.flatten().topk(min(most, table.numel()))
    pairs = [(float(s), *divmod(int(i), table.shape[1])) for s, i in zip(*best, strict=True) if s > score]
    if not pairs:
        return []
    used = sorted({query for _, query, _ in pairs})
    masks = dict(zip(used, to_image(logits[used]) > 0, strict=True))
    boxes = output.answer.boxes_bq4[row]
    return [Found(name, s, boxes[query], masks[query]) for s, query, name in pairs if masks[query].any()]


def detections(output: MVPLMOutput, row: int, names: int, most: int = 100, score: float = 0.0) -> list[Found]:
    """The best (query, name) pairs as boxes, best first. names: how many the sample has, all of them things."""
    table = name_chances(output, row, [False] * names)[: output.things]
    best = table.flatten().topk(min(most, table.numel()))
    pairs = [(float(s), *divmod(int(i), names)) for s, i in zip(*best, strict=True) if s > score]
    return [Found(name, s, output.answer.boxes_bq4[row, query]) for s, query, name in pairs]


def grounding(output: MVPLMOutput, row: int, names: int) -> list[Found]:
    """The best box for each phrase, in the phrases' order; works for a sentence too (names = 1)."""
    answer = output.answer
    if output.task is Task.SENTENCE:
        table = answer.similarity_bqk[row].sigmoid()
    else:
        table = name_chances(output, row, [False] * names)[: output.things]
    score, query = table.max(0)
    return [Found(n, float(score[n]), answer.boxes_bq4[row, query[n]]) for n in range(names)]
