"""The adapters on tiny random models of transformers' own classes, and those classes at published size on meta."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from helpers import tiny_transformers  # noqa: E402
from helpers.backbones import check_backbone, look_at, spoken  # noqa: E402

from refseg_ros.models.answers import boxes  # noqa: E402
from refseg_ros.models.answers.constraint import AllowedTokens, Constraint, ConstraintProcessor  # noqa: E402
from refseg_ros.models.answers.rejections import SPECIALS  # noqa: E402
from refseg_ros.models.answers.vocabulary import Vocabulary  # noqa: E402
from refseg_ros.models.backbones import published  # noqa: E402
from refseg_ros.models.backbones.base import Template  # noqa: E402
from refseg_ros.models.backbones.generation import generate  # noqa: E402
from refseg_ros.models.backbones.geometry import stretched_within  # noqa: E402
from refseg_ros.training.systems.loop import _checkpointing  # noqa: E402

KINDS = ("qwen3_vl", "internvl", "llava_sam", "phi_swin")


@pytest.mark.parametrize("kind", KINDS)
def test_every_adapter_is_a_backbone(kind):
    check_backbone(getattr(tiny_transformers, kind)())


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_towers_see_the_same_in_training(kind):
    """Swin would drop paths: the features of training would be none that are seen afterwards."""
    backbone = getattr(tiny_transformers, kind)()
    seen = [look_at(backbone.train(mode)).vision.maps for mode in (True, True, False)]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*seen, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_that_recomputes_is_not_read_from_a_cache(kind):
    backbone = getattr(tiny_transformers, kind)().train()
    _checkpointing(backbone, True)
    with pytest.raises(ValueError, match="no cache"):
        backbone.begin(look_at(backbone), torch.tensor([0]))
    _checkpointing(backbone, False)
    assert backbone.begin(look_at(backbone), torch.tensor([0])).valid_nk.any()


@pytest.mark.parametrize("kind", ["llava_sam", "internvl"])
def test_texts_begin_as_the_language_model_has_seen_them_begin(kind):
    """With the token that its tokenizer puts before every text; with none where the tokenizer puts none."""
    from tokenizers import processors

    backbone = getattr(tiny_transformers, kind)()
    words = backbone.vocabulary.tokenizer
    plain = backbone.template.before_ids(backbone.vocabulary)
    words.add_special_tokens({"bos_token": "<s>"})
    assert backbone.template.before_ids(Vocabulary(words, SPECIALS)) == plain, "never put there, as Phi's"
    pair = [("<s>", words.bos_token_id)]
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=pair)
    assert backbone.template.before_ids(Vocabulary(words, SPECIALS)) == [words.bos_token_id, *plain]


def _sequence(backbone, question):
    """Input ids with image placeholders, as the model's own processor would lay them out; and where they begin."""
    before = backbone.template.before_ids(backbone.vocabulary)
    picture = backbone.vocabulary.tokenizer.convert_tokens_to_ids("<image>")
    return before, picture, spoken(backbone, question)


def _inputs(backbone, prefix):
    """What the whole model of transformers is given for the first picture of the prefix."""
    pixels = prefix.vision.image_bchw[:1]
    before, picture, asked = _sequence(backbone, "the red mug")
    count = prefix.vision.tokens_blc.shape[1]
    ids = torch.tensor([[*before, *[picture] * count, *asked]])
    if type(backbone).__name__ == "Qwen3VLBackbone":
        height, width = prefix.vision.token_grid
        return len(before) + count, asked, {
            "input_ids": ids, "pixel_values": backbone.patches(pixels * 2 - 1),
            "image_grid_thw": torch.tensor([[1, 2 * height, 2 * width]]), "mm_token_type_ids": (ids == picture).int(),
        }  # fmt: skip
    from refseg_ros.models.backbones.geometry import IMAGENET_MEAN, IMAGENET_STD

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return len(before) + count, asked, {"input_ids": ids, "pixel_values": (pixels - mean) / std}


@pytest.mark.parametrize("kind", ["qwen3_vl", "internvl"])
@torch.no_grad()
def test_states_and_answers_are_those_of_the_whole_model(kind):
    """Positions, DeepStack, patch order and image tokens: any slip shows against transformers' own forward."""
    backbone = getattr(tiny_transformers, kind)()
    prefix = look_at(backbone)
    start, asked, inputs = _inputs(backbone, prefix)
    out = backbone.model.model(**inputs).last_hidden_state[0]
    ours = backbone.extend(
        backbone.begin(prefix, torch.tensor([0])), torch.tensor([asked]), torch.ones(1, len(asked), dtype=torch.bool)
    )[0]
    assert torch.allclose(out[start:], ours, atol=2e-4)
    before = len(backbone.template.before_ids(backbone.vocabulary))
    assert torch.allclose(out[before:start], prefix.image_states_bchw[0].flatten(1).T, atol=2e-4)

    allowed, labels = AllowedTokens(backbone.vocabulary), ["the mug"]
    (answer,) = generate(backbone, prefix, [0], [asked], [Constraint(boxes.grammar(labels, 2), allowed, 150)])
    processor = ConstraintProcessor(boxes.grammar(labels, 2), allowed, 150, inputs["input_ids"].shape[1])
    free = backbone.model.generate(
        **inputs, max_new_tokens=150, do_sample=False, logits_processor=[processor],
        eos_token_id=backbone.vocabulary.eos_id, pad_token_id=0,
        attention_mask=torch.ones_like(inputs["input_ids"]),
    )  # fmt: skip
    assert free[0, inputs["input_ids"].shape[1] :].tolist() == answer.ids


@torch.no_grad()
def test_qwen_patches_are_those_of_its_own_processor():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    backbone = tiny_transformers.qwen3_vl()
    rgb = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_resize=False
    )
    theirs = processor(images=[rgb], return_tensors="pt")
    geometry = backbone.geometry((96, 64))
    assert geometry.padded == (96, 64) and theirs["image_grid_thw"].tolist() == [[1, 4, 6]]
    ours = backbone.patches(backbone.pixels(rgb, geometry)[None])
    assert torch.allclose(ours, theirs["pixel_values"].float(), atol=1e-5)


@torch.no_grad()
def test_qwen_maps_are_in_raster_order():
    """A patch that alone is bright is the cell that differs, wherever it lies."""
    backbone = tiny_transformers.qwen3_vl()
    for block in backbone.model.model.visual.blocks:  # without attention each cell only sees its own patch
        block.attn.proj.weight.zero_()
        block.attn.proj.bias.zero_()
    geometry = backbone.geometry((96, 64))
    dark, bright = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96, 3), np.uint8)
    bright[32:48, 16:32] = 255
    pixels = torch.stack([backbone.pixels(p, geometry) for p in (dark, bright)])
    vision = backbone.see(pixels, [geometry] * 2)
    for level in vision.maps:
        changed = (level[1] - level[0]).abs().amax(0) > 1e-5
        assert changed.nonzero().tolist() == [[2, 1]]
    merged = (vision.tokens_blc[1] - vision.tokens_blc[0]).abs().amax(-1).view(vision.token_grid) > 1e-5
    assert merged.nonzero().tolist() == [[1, 0]]


@torch.no_grad()
def test_internvl_image_tokens_are_in_raster_order():
    backbone = tiny_transformers.internvl()
    grid = torch.arange(16.0).view(1, 4, 4, 1).repeat(1, 1, 1, 32)
    shuffled = backbone.model.model.pixel_shuffle(grid, 0.5)
    assert [sorted(set(v.tolist())) for v in shuffled.flatten(0, 2)] == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15],
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 3000), st.integers(20, 3000))
def test_qwen_sizes_are_those_of_its_own_rule(width, height):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    theirs = smart_resize(height, width, 32, 256 * 256, 1280 * 1280)
    assert stretched_within((width, height), 32, 256 * 256, 1280 * 1280).padded == (theirs[1], theirs[0])


def _count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("name", "model", "millions"), [
    ("qwen3_vl_4b", "Qwen3VLForConditionalGeneration", (4400, 4480)),
    ("internvl_8b", "InternVLForConditionalGeneration", (8000, 8150)),
    ("llava_7b", "LlavaForConditionalGeneration", (7040, 7090)),
    ("sam_vit_h", "SamVisionModel", (630, 642)), ("phi_1_5", "PhiForCausalLM", (1410, 1425)),
    ("swin_b", "SwinBackbone", (86, 89)),
])  # fmt: skip
def test_published_sizes(name, model, millions):
    import transformers

    with torch.device("meta"):
        built = getattr(transformers, model)(getattr(published, name)())
    assert millions[0] * 1e6 <= _count(built) <= millions[1] * 1e6


def test_a_template_has_one_question_and_taps_lie_in_the_tower():
    with pytest.raises(ValueError, match="question"):
        Template(before="", after="no place for it")
    backbone = tiny_transformers.qwen3_vl()
    with pytest.raises(ValueError, match="taps"):
        type(backbone)(backbone.model, backbone.vocabulary.tokenizer, taps=(1, 9))
