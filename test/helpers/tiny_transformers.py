"""Tiny random models of the very classes of transformers that the published systems use."""

from __future__ import annotations

from typing import Any

import torch

from helpers import tokenizers_small

CHAT = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<img>", "</img>", "<image>"]
SPECIAL_EXTRA = ["<mask_start>", "<mask_token>", "<mask_end>", "[SEG]", "[REJ]", "<PER>"]


def tokenizer(kind: str = "byte_level") -> Any:
    made = getattr(tokenizers_small, kind)()
    made.add_special_tokens({"additional_special_tokens": CHAT + SPECIAL_EXTRA})
    return made


def _llama(words: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=len(words), pad_token_id=None, bos_token_id=None, eos_token_id=words.eos_token_id,
    )  # fmt: skip


def qwen3_vl() -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from refseg_ros.models.answers import boxes, caption, rejections
    from refseg_ros.models.backbones.qwen3_vl import Qwen3VLBackbone

    torch.manual_seed(0)
    words = tokenizer()
    config = Qwen3VLConfig(
        vision_config={
            "depth": 4, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 48,
            "deepstack_visual_indexes": [0, 2], "num_position_embeddings": 64, "initializer_range": 0.3,
        },
        text_config={
            "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "vocab_size": len(words), "initializer_range": 0.3,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )  # fmt: skip
    specials = (*boxes.SPECIALS, *rejections.SPECIALS, *caption.SPECIALS)
    model = Qwen3VLForConditionalGeneration(config).eval()
    return Qwen3VLBackbone(model, words, taps=(0, 1, 2, 3), specials=specials, min_pixels=64 * 64, max_pixels=128 * 96)


def internvl() -> Any:
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    from refseg_ros.models.backbones.internvl import InternVLBackbone

    torch.manual_seed(0)
    words = tokenizer()
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": [56, 56], "patch_size": [14, 14],
    }  # fmt: skip
    config = InternVLConfig(
        vision_config=vision, text_config=_llama(words), image_token_id=words.convert_tokens_to_ids("<image>")
    )
    return InternVLBackbone(InternVLForConditionalGeneration(config).eval(), words, specials=SPECIAL_EXTRA)


def llava_sam() -> Any:
    from transformers import (
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        SamVisionConfig,
        SamVisionModel,
    )

    from refseg_ros.models.backbones.llava_sam import LlavaSamBackbone

    torch.manual_seed(0)
    words = tokenizer("metaspace")
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14
    )
    config = LlavaConfig(
        vision_config=vision, text_config=_llama(words), image_token_index=words.convert_tokens_to_ids("<image>")
    )
    sam = SamVisionConfig(
        hidden_size=32, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=128,
        global_attn_indexes=[1], mlp_dim=48, window_size=4,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config).eval()
    return LlavaSamBackbone(model, SamVisionModel(sam).eval(), words, specials=SPECIAL_EXTRA)


def phi_swin() -> Any:
    from transformers import PhiConfig, PhiForCausalLM, SwinBackbone, SwinConfig

    from refseg_ros.models.backbones.phi_swin import PhiSwinBackbone

    torch.manual_seed(0)
    words = tokenizer()
    phi = PhiConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=len(words),
        bos_token_id=None, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    swin = SwinConfig(
        image_size=64, embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    return PhiSwinBackbone(
        PhiForCausalLM(phi).eval(), SwinBackbone(swin).eval(), words, side=64, specials=SPECIAL_EXTRA
    ).eval()
