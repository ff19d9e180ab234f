"""One training step's losses: the text's where the model has a say, and the head's on teacher-forced states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.answers.constraint import FREE_TEXT, Constraint, Written
from refseg_ros.models.answers.errors import transcript
from refseg_ros.models.backbones.base import Backbone, Prefix, VisionFeatures
from refseg_ros.models.systems.system import Conversation, Said, System, Truth
from refseg_ros.training.systems.batches import Batch
from refseg_ros.training.systems.looking import looking_loss

WORTH_A_GROUP = 0.75
"""A second pass is worth it where it leaves at most this share of the tokens."""


class Step(nn.Module):
    """A system's losses as a module, so that Accelerate can wrap it for many devices.

    text: "choices" teaches the answer where the model chooses, among what it may choose; "all" every token, among
    the whole vocabulary, as published. one_pass: no cache, for gradient checkpointing; then one conversation a picture.
    looking: weight of where words look, for a backbone that can be taught that.
    """

    def __init__(
        self, system: System, text: str = "choices", text_weight: float = 1.0, one_pass: bool = False,
        head_losses: bool = True, looking: float = 1.0,
    ) -> None:
        super().__init__()
        if text not in ("choices", "all"):
            raise ValueError(f"text must be 'choices' or 'all', not {text!r}")
        self.system, self.text, self.text_weight = system, text, text_weight
        self.one_pass, self.head_losses, self.looking = one_pass, head_losses, looking

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, weighted; their sum is to be minimised."""
        system = self.system
        written = [self._written(c, t) for c, t in zip(batch.conversations, batch.truths, strict=True)]
        vision = batch.pictures.vision(system.backbone, batch.indices)
        read = [c.question + w.ids[:-1] for c, w in zip(batch.conversations, written, strict=True)]
        prefix, states, looks = self._states(vision, batch.rows, read)
        said = []
        for n, (conversation, answer) in enumerate(zip(batch.conversations, written, strict=True)):
            entries = transcript(answer.ids, system.backbone.vocabulary)
            parsed = system.parse(conversation, entries)
            said.append(Said(parsed, answer.ids, states[n].to(system.dtype), len(conversation.question), {}))
        truths = [t.to(vision.tokens_blc.device) for t in batch.truths]
        losses = {"text": self.text_weight * self._text(system.backbone, said, written)}
        if self.looking and looks:
            triples = zip(batch.conversations, truths, said, strict=True)
            loss = looking_loss(looks, [system.meant(*triple) for triple in triples])
            losses |= {} if loss is None else {"looking": self.looking * loss}
        if self.head_losses:
            looked = system.look(system.for_head(prefix))
            losses |= system.losses(looked, batch.rows, batch.conversations, truths, said)
        return losses

    def _written(self, conversation: Conversation, truth: Truth) -> Written:
        answer = self.system.write(conversation, truth)
        budget = len(answer) + self.system.budget(conversation)
        return Constraint(conversation.grammar, self.system.allowed, budget).encode(answer)

    def _states(
        self, vision: VisionFeatures, about: Sequence[int], read: Sequence[list[int]]
    ) -> tuple[Prefix, list[Tensor], list[Tensor]]:
        """The images as read; states (t, c) of each text; and where each word looks, (t, h, w), where that is known."""
        backbone, device = self.system.backbone, vision.tokens_blc.device
        states: list[Tensor] = [vision.tokens_blc[0]] * len(read)
        looks: dict[int, Tensor] = {}
        prefix = None if self.one_pass else backbone.prefix(vision)
        if prefix is None and list(about) != list(range(len(vision.tokens_blc))):
            raise ValueError("one_pass needs exactly one conversation a picture")
        for group in [list(range(len(read)))] if prefix is None else by_length([len(r) for r in read]):
            most = max(len(read[n]) for n in group)
            eos = backbone.vocabulary.eos_id
            ids = torch.tensor([read[n] + [eos] * (most - len(read[n])) for n in group], device=device)
            valid = torch.tensor([[t < len(read[n]) for t in range(most)] for n in group], device=device)
            rows = torch.tensor([about[n] for n in group], dtype=torch.long, device=device)
            if prefix is None:
                grid, out = backbone.whole(vision, rows, ids, valid)
                prefix = Prefix(vision, grid, None, None, 0)
            else:
                out = backbone.extend(backbone.begin(prefix, rows), ids, valid)
            places = backbone.looks(vision.token_grid)
            for k, n in enumerate(group):
                states[n] = out[k, : len(read[n])]
                looks |= {} if places is None else {n: places[k]}
        assert prefix is not None
        return prefix, states, [looks[n] for n in sorted(looks)]

    def _text(self, backbone: Backbone, said: Sequence[Said], written: Sequence[Written]) -> Tensor:
        """Mean cross entropy over the choices, or over all tokens of the answers."""
        if self.text == "all":
            pairs = [(s, w, at) for s, w in zip(said, written, strict=True) for at in range(len(w.ids))]
            states = torch.stack([s.predicting(at) for s, _, at in pairs])
            truth = torch.tensor([w.ids[at] for _, w, at in pairs], device=states.device)
            return F.cross_entropy(backbone.logits(states).float(), truth)
        few: list[tuple[Tensor, int, Tensor]] = []
        free: dict[int, list[tuple[Tensor, int, Tensor]]] = {}  # by what is allowed: in free text mostly the same
        for answer, tokens in zip(said, written, strict=True):
            for at, allowed in tokens.choices.items():
                places = few if len(allowed) <= FREE_TEXT else free.setdefault(id(allowed), [])
                places.append((answer.predicting(at), tokens.ids[at], allowed))
        groups = [places for places in (few, *free.values()) if places]
        if not groups:
            return torch.stack([s.states.sum() for s in said]).sum() * 0
        return torch.stack([_among(backbone, g) for g in groups]).sum() / sum(map(len, groups))


def by_length(lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of the texts in one group, or in two where a few long ones would pad all others by much."""
    order = sorted(range(len(lengths)), key=lambda n: lengths[n])
    longest = lengths[order[-1]]
    size, cut = min((k * lengths[order[k - 1]] + (len(order) - k) * longest, k) for k in range(1, len(order) + 1))
    return [order] if size > WORTH_A_GROUP * len(order) * longest else [order[:cut], order[cut:]]


def _among(backbone: Backbone, places: Sequence[tuple[Tensor, int, Tensor]]) -> Tensor:
    """Summed cross entropy of each place's token among what was allowed there."""
    states = torch.stack([state for state, _, _ in places])
    first = places[0][2]
    same = all(allowed is first for _, _, allowed in places)
    ids = first if same else torch.unique(torch.cat([allowed for _, _, allowed in places]))
    logits = backbone.logits(states, ids.to(states.device)).float()
    if not same:
        barred = torch.stack([~torch.isin(ids, allowed) for _, _, allowed in places])
        logits = logits.masked_fill(barred.to(states.device), -1e9)
    truth = torch.stack([(ids == token).nonzero()[0, 0] for _, token, _ in places])
    return F.cross_entropy(logits, truth.to(states.device), reduction="sum")
