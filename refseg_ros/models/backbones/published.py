"""The published dimensions of the backbones, as configurations of transformers' own classes. No weights."""

from __future__ import annotations

from typing import Any


def qwen3_vl_4b() -> Any:
    """Qwen3-VL-4B: ViT 24 x 1024, language model 36 x 2560."""
    from transformers import Qwen3VLConfig

    return Qwen3VLConfig(
        vision_config={
            "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2560,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        text_config={
            "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]},
        },
        tie_word_embeddings=True,
    )  # fmt: skip


def internvl_8b() -> Any:
    """InternVL2.5-8B: InternViT-300M, and a language model of the Llama shape, 32 x 4096."""
    from transformers import InternVLConfig, LlamaConfig

    text = LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=92553, max_position_embeddings=32768,
    )  # fmt: skip
    vision = {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "image_size": [448, 448], "patch_size": [14, 14], "use_mean_pooling": True, "attention_bias": True,
    }  # fmt: skip
    return InternVLConfig(vision_config=vision, text_config=text, image_token_id=92546, tie_word_embeddings=False)


def llava_7b() -> Any:
    """LLaVA on Vicuna-7B with CLIP-L/14 at 224: 256 image tokens, language model 32 x 4096."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224,
        patch_size=14, projection_dim=768,
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32003
    )
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=32000)


def sam_vit_h() -> Any:
    """SAM's ViT-H image encoder at 1024: 256 x 64 x 64."""
    from transformers import SamVisionConfig

    return SamVisionConfig(
        hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, global_attn_indexes=[7, 15, 23, 31],
        mlp_dim=5120,
    )  # fmt: skip


def phi_1_5() -> Any:
    """Phi-1.5: 24 x 2048."""
    from transformers import PhiConfig

    turned: dict[str, Any] = {"partial_rotary_factor": 0.5}
    return PhiConfig(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=24, num_attention_heads=32, vocab_size=51200,
        **turned,
    )  # fmt: skip


def swin_b() -> Any:
    """Swin-B at 1024 with windows of 12: res2..5 with 128, 256, 512, 1024 channels."""
    from transformers import SwinConfig

    stages: dict[str, Any] = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
    return SwinConfig(
        image_size=1024, embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12, **stages
    )
