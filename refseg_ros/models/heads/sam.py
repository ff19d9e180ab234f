"""SAM's prompts and mask decoder in a checkpoint of transformers' SamModel: what a prompted decoder starts from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from refseg_ros.models.heads.convert import renamed

PROMPTS = "prompt_encoder."
NAMES = {
    "mask_decoder.": "decoder.",
    PROMPTS + "no_mask_embed.weight": "no_mask",
    "shared_image_embedding.positional_embedding": "frequencies_2f",
    PROMPTS + "point_embed.": "point.",
}
UNUSED = ("vision_encoder.", PROMPTS + "shared_embedding.", PROMPTS + "mask_embed.", PROMPTS + "not_a_point_embed.")
CORNERS = ("point.2.weight", "point.3.weight")  # of a box: above left, below right


def from_sam(state: Mapping[str, Tensor], corners: bool) -> dict[str, Tensor]:
    """Tensors (float32) of PromptedDecoder and, with corners, of BoxPromptHead. SAM's encoder is left alone.

    Raises ValueError for missing ones, and for others than SamModel's.
    """
    found = {name: tensor.float() for name, tensor in renamed(state, NAMES, UNUSED).items()}
    missing = [name for name in CORNERS if name not in found]
    if missing:
        raise ValueError(f"the checkpoint has no {PROMPTS}point_embed{missing[0].removeprefix('point')}")
    out = {name: tensor for name, tensor in found.items() if not name.startswith("point.")}
    out["no_mask"] = out["no_mask"].reshape(-1)
    return out | ({"corners": torch.cat([found[name] for name in CORNERS])} if corners else {})
