"""MVP-LM asked for a dataset's whole vocabulary, as evaluation.word_lists asks: in word lists as long as it was taught.

A vocabulary longer than the lists of training is asked in pieces about one encoded frame: stuff with the first
things, then the other things; then all pieces compete for the pixels as if they were one list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import Frame
from refseg_ros.evaluation.mask_ap import NamedMask
from refseg_ros.evaluation.panoptic import PanopticMap
from refseg_ros.evaluation.word_lists import WordListAnswer
from refseg_ros.models.heads.mvp_lm.perception import arranged, claims, instances, joined
from refseg_ros.models.systems.model import SystemModel
from refseg_ros.models.systems.mvp_lm import MvpLm

MOST_INSTANCES = 100


class SystemWords:
    """A WordListModel of a loaded MVP-LM."""

    def __init__(self, model: SystemModel) -> None:
        self._model = model

    @torch.inference_mode()
    def perceive(self, rgb: npt.NDArray[np.uint8], things: Sequence[str], stuff: Sequence[str]) -> WordListAnswer:
        """See WordListModel."""
        system = self._model.system
        assert isinstance(system, MvpLm)
        encoded = self._model.encode(Frame(rgb))
        names = [*stuff, *things]
        longest = self._model.names
        lists = [list(range(n, min(n + longest, len(names)))) for n in range(0, len(names), longest)]
        parts, found = [], []
        geometry = encoded.prefix.vision.geometries[0]
        for numbers in lists:  # one by one: a piece with stuff is another task than one without
            flags = [n < len(stuff) for n in numbers]
            asked = [names[n] for n in numbers]
            conversation = system.converse_about_words(asked, flags if any(flags) else ())
            said = system.answer(encoded.prefix, [0], [conversation])
            output = system.perceive(encoded.looked, [0], [conversation], said)
            parts.append(claims(output, 0, flags))
            found += [
                NamedMask(asked[f.phrase], f.mask_hw.cpu().numpy(), f.score)
                for f in instances(output, 0, flags, geometry.to_image, MOST_INSTANCES)
                if f.mask_hw is not None and not flags[f.phrase]
            ]
        scene = arranged(joined(parts, lists), [n < len(stuff) for n in range(len(names))], geometry.to_image)
        ids = scene.ids_hw.cpu().numpy().astype(np.int64)
        named = {n + 1: names[segment.phrase] for n, segment in enumerate(scene.segments)}
        best = sorted(found, key=lambda m: -m.score)[:MOST_INSTANCES]
        return WordListAnswer(PanopticMap(ids, named), best)


def word_list_model(model: SegmentationModel | Any) -> SystemWords | None:
    """The model as one that answers word lists; None for one that does not."""
    if isinstance(model, SystemModel) and isinstance(model.system, MvpLm):
        return SystemWords(model)
    return None
