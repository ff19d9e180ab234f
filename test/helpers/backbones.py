"""What every backbone must do, whatever it is made of: the same checks for all of them."""

from __future__ import annotations

import numpy as np
import torch

from refseg_ros.models.answers import boxes, rejections
from refseg_ros.models.answers.constraint import AllowedTokens, Constraint, ConstraintProcessor
from refseg_ros.models.answers.errors import transcript
from refseg_ros.models.backbones.base import Backbone, Prefix
from refseg_ros.models.backbones.generation import generate

LABELS = ("the mug", "the red milk")


def spoken(backbone: Backbone, question: str) -> list[int]:
    """The question in the backbone's template."""
    return backbone.template.after_ids(backbone.vocabulary, question)


def look_at(backbone: Backbone, seeds=(0, 1), size=(64, 48)) -> Prefix:
    """Two random pictures, read."""
    geometry = backbone.geometry(size)
    pictures = [np.random.default_rng(s).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8) for s in seeds]
    pixels = torch.stack([backbone.pixels(p, geometry) for p in pictures])
    return backbone.prefix(backbone.see(pixels, [geometry] * len(seeds)))


@torch.no_grad()
def check_backbone(backbone: Backbone) -> None:
    """Shapes, the cache against a single pass, padding, batching, and free-running answers with their states."""
    prefix = look_at(backbone)
    _check_shapes(backbone, prefix)
    _check_cache(backbone, prefix)
    _check_answers(backbone, prefix)


def _check_shapes(backbone: Backbone, prefix: Prefix) -> None:
    vision = prefix.vision
    assert tuple(m.shape[1] for m in vision.maps) == backbone.channels
    assert prefix.image_states_bchw.shape == (2, backbone.width, *vision.token_grid)
    padded = vision.geometries[0].padded
    assert vision.image_bchw.shape == (2, 3, padded[1], padded[0])
    assert vision.image_bchw.min() >= -1e-3 and vision.image_bchw.max() <= 1 + 1e-3


def _texts(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [spoken(backbone, q) for q in ("the mug", "the red milk on the box", "milk")]
    most = max(map(len, rows))
    ids = torch.tensor([r + [backbone.vocabulary.eos_id] * (most - len(r)) for r in rows])
    return ids, torch.tensor([[t < len(r) for t in range(most)] for r in rows])


def _check_cache(backbone: Backbone, prefix: Prefix) -> None:
    """Whole, in two steps, with padding between the steps: always the same states."""
    rows = torch.tensor([0, 1, 0])
    ids, valid = _texts(backbone)
    grids, whole = backbone.whole(prefix.vision, rows, ids, valid)
    assert torch.allclose(grids, prefix.image_states_bchw[rows], atol=2e-4)
    at_once = backbone.extend(backbone.begin(prefix, rows), ids, valid)
    assert torch.allclose(at_once[valid], whole[valid], atol=2e-4)
    reading = backbone.begin(prefix, rows)
    cut = 2
    padding = torch.zeros(3, 2, dtype=torch.bool)
    first = backbone.extend(reading, torch.cat([ids[:, :cut], ids[:, :2]], 1), torch.cat([valid[:, :cut], padding], 1))
    second = backbone.extend(reading, ids[:, cut:], valid[:, cut:])
    steps = torch.cat([first[:, :cut], second], 1)
    assert torch.allclose(steps[valid], whole[valid], atol=2e-4)


def _check_answers(backbone: Backbone, prefix: Prefix) -> None:
    allowed = AllowedTokens(backbone.vocabulary)
    labels = [backbone.vocabulary.spell(label) for label in LABELS]
    questions = ["the mug", "the red milk on the box", "the mug"]

    def ask(which):
        constraints = [Constraint(boxes.grammar(labels, 2), allowed, 200) for _ in which]
        return generate(backbone, prefix, [0, 1, 1], [spoken(backbone, questions[i]) for i in which], constraints)

    answers = ask([0, 1, 2])
    for answer in answers:
        found = boxes.parse(transcript(answer.ids, backbone.vocabulary), labels)
        assert all(answer.own(e.at).shape == (backbone.width,) for e in found)
        assert answer.asked < len(answer.states) <= answer.asked + len(answer.ids)
        for at, choice in answer.choices.items():
            assert answer.ids[at] in choice.ids.tolist() and choice.log_probs.argmax() == (
                choice.ids.tolist().index(answer.ids[at])
            )
    _check_states(backbone, prefix, answers[1], questions[1])
    slots = [Constraint(rejections.grammar(labels), allowed, 100)]
    (answer,) = generate(backbone, prefix, [1], [spoken(backbone, "both")], slots)
    parsed = rejections.parse(transcript(answer.ids, backbone.vocabulary), labels)
    for slot in parsed:
        names = backbone.vocabulary.symbols([answer.ids[slot.first]])
        assert names == ["[REJ]" if slot.rejected else "[SEG]"]
        assert torch.isfinite(answer.own(slot.first)).all()
    _check_processor(backbone, allowed, labels, prefix, answers[1], questions[1])


def _check_states(backbone, prefix, answer, question) -> None:
    """The states that decoding kept are those of reading question and answer in one go."""
    asked = spoken(backbone, question)
    read = answer.ids[: len(answer.states) - len(asked)]
    ids = torch.tensor([asked + read])
    states = backbone.extend(backbone.begin(prefix, torch.tensor([1])), ids, torch.ones_like(ids, dtype=torch.bool))
    assert torch.allclose(states[0], answer.states, atol=5e-4)


def _check_processor(backbone, allowed, labels, prefix, answer, question) -> None:
    """Choosing the likeliest allowed token, one at a time, gives the same answer as decoding with forced runs."""
    processor = ConstraintProcessor(boxes.grammar(labels, 2), allowed, 200, prompt_length=0)
    asked = spoken(backbone, question)
    reading = backbone.begin(prefix, torch.tensor([1]))
    ids: list[int] = []
    step = asked
    while not ids or ids[-1] != backbone.vocabulary.eos_id:
        tokens = torch.tensor([step])
        state = backbone.extend(reading, tokens, torch.ones_like(tokens, dtype=torch.bool))[:, -1]
        scores = processor(torch.tensor([ids], dtype=torch.long).reshape(1, -1), backbone.logits(state))
        step = [int(scores.argmax())]
        ids += step
    assert ids == answer.ids
