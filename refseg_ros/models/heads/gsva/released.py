"""The mask head's weights in a released GSVA checkpoint, under our names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from refseg_ros.models.heads.convert import renamed

SAM, PROJECTION = "model.visual_model.", "model.text_hidden_fcs."
# A checkpoint saved with its adapters still in place has a wrapper's name before all others.
WRAPPERS = ("base_model.model.", "module.")
_DECODER, _OURS = SAM + "mask_decoder.", "decoder."
NAMES = {
    PROJECTION + "0.": "prompt.",
    SAM + "prompt_encoder.no_mask_embed.weight": "no_mask",
    SAM + "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": "frequencies_2f",
    _DECODER + "iou_token.": _OURS + "iou_token.",
    _DECODER + "mask_tokens.": _OURS + "mask_tokens.",
    _DECODER + "output_upscaling.0.": _OURS + "upscale_conv1.",
    _DECODER + "output_upscaling.1.": _OURS + "upscale_layer_norm.",
    _DECODER + "output_upscaling.3.": _OURS + "upscale_conv2.",
    _DECODER + "output_hypernetworks_mlps.": _OURS + "output_hypernetworks_mlps.",
    _DECODER + "iou_prediction_head.": _OURS + "iou_prediction_head.",
    _DECODER + "transformer.norm_final_attn.": _OURS + "transformer.layer_norm_final_attn.",
    _DECODER + "transformer.": _OURS + "transformer.",
}
# Prompts that a language model does not give: points, boxes, masks.
UNUSED = tuple(
    SAM + "prompt_encoder." + part for part in ("point_embeddings.", "not_a_point_embed.", "mask_downscaling.")
)
# Three linear layers in a list there; the first, those between and the last here.
LAYERS = {".layers.0.": ".proj_in.", ".layers.1.": ".layers.0.", ".layers.2.": ".proj_out."}


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's projection, prompt and mask decoder for GSVAHead.load_state_dict(); LLaVA and SAM's encoder are
    left alone. A file that holds trained parts only lacks SAM's prompt encoder: add those of the SAM checkpoint first,
    under "model.visual_model.".

    Raises ValueError for a tensor of these parts that has no place in ours, and for missing parts.
    """
    plain = {_unwrapped(name): tensor for name, tensor in state.items()}
    parts = (_DECODER, SAM + "prompt_encoder.", PROJECTION)
    found = renamed({n: t for n, t in plain.items() if n.startswith(parts)}, NAMES, UNUSED)
    return {_inner(name): t.reshape(-1) if name == "no_mask" else t for name, t in found.items()}


def _unwrapped(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _inner(name: str) -> str:
    """Names inside the decoder's layers."""
    if name.startswith((_OURS + "output_hypernetworks_mlps.", _OURS + "iou_prediction_head.")):
        for theirs, ours in LAYERS.items():
            if theirs in name:
                return name.replace(theirs, ours)
    elif name.startswith(_OURS + "transformer.layers."):
        return name.replace(".norm", ".layer_norm")
    return name
