"""The decoder's weights in a released MLLMSeg checkpoint, under our names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from refseg_ros.models.heads.convert import renamed

# Within a checkpoint of the whole model the decoder's names begin so; in one of the decoder alone they do not.
PREFIX = "res_decoder."
NAMES = {
    "text_down.": "text.",
    "img_llm_down.": "fusion.language.",
    "upsample_adapter_l.offset.": "fusion.upsample.offset.",
    "ca_layer_v2l.decoder.layers.0.": "fusion.enhance.layer.",
    "ca_layer_v2l.decoder.norm.": "fusion.enhance.norm.",
    "text_out_adapter.": "fusion.fuse.",
    "ca_layer_vl.decoder.layers.0.": "decoder.layer.",
    "ca_layer_vl.decoder.norm.": "decoder.norm.",
    "conv1.": "unfold.",
    "conv2.": "smooth.",
}
# The regular grid that DySample starts from, a constant.
CONSTANT = ("upsample_adapter_l.init_pos",)


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's decoder for MLLMSegHead.load_state_dict(). Other parts of the model are left alone.

    Raises ValueError for a tensor of the decoder that has no place in ours, or for a checkpoint without a decoder.
    """
    inner = {name.removeprefix(PREFIX): t for name, t in state.items() if name.startswith(PREFIX)}
    return renamed(inner or state, NAMES, CONSTANT)
