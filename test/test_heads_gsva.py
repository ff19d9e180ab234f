"""GSVA's mask head: size, slots, [REJ] without masks, released names, gradients, invariances, and that it learns."""

import pytest

torch = pytest.importorskip("torch")

from helpers.balls_for_heads import (  # noqa: E402
    CHANNELS,
    LANGUAGE,
    STRIDES,
    at_stride,
    parameters_of,
    pictures,
    taught,
    untaught,
)

from refseg_ros.models.heads import states  # noqa: E402
from refseg_ros.models.heads.box_prompt import BoxPromptConfig, BoxPromptHead  # noqa: E402
from refseg_ros.models.heads.gsva import (  # noqa: E402
    GSVAConfig,
    GSVAHead,
    LossWeights,
    Slots,
    compact,
    from_released,
    llama2_13b,
    losses,
    slots_of,
    vicuna_7b,
)
from refseg_ros.models.heads.gsva.released import LAYERS, NAMES, SAM, UNUSED  # noqa: E402
from refseg_ros.models.heads.sam import from_sam  # noqa: E402
from refseg_ros.models.losses import iou  # noqa: E402

SMALL = {"channels": CHANNELS, "strides": STRIDES, "width": 32, "heads": 2, "feedforward": 32}
GRID = (4, 4)


def head(**changes):
    torch.manual_seed(3)
    return GSVAHead(compact(LANGUAGE, **{**SMALL, **changes}))


def slots(picture, rejected=()):
    image = torch.tensor([n for n, each in enumerate(picture.states) for _ in each], dtype=torch.long)
    kinds = torch.ones(len(image), dtype=torch.bool)
    kinds[list(rejected)] = False
    return Slots(torch.cat(picture.states), kinds, image)


def truth(picture):
    return at_stride(torch.cat(picture.masks), 4)


def test_it_has_the_published_parameters():
    net = parameters_of(lambda: GSVAHead(vicuna_7b()).decoder)
    assert net == pytest.approx(4.058340, abs=1e-6)  # SAM's mask decoder
    assert parameters_of(lambda: GSVAHead(vicuna_7b()).prompt) == pytest.approx(17.830144, abs=1e-6)
    assert parameters_of(lambda: GSVAHead(llama2_13b()).prompt) == pytest.approx(27.530496, abs=1e-6)


@pytest.mark.parametrize("counts", [(1, 0, 5), (1,), (0, 0)])
def test_shapes_with_none_one_and_many_slots(counts):
    net, picture = head(), pictures(counts)
    output = net(picture.maps, GRID, slots(picture))
    assert output.logits_nhw.shape == (sum(counts), 16, 16) and output.iou_n.shape == (sum(counts),)
    assert all(torch.isfinite(v) for v in losses(output, truth(picture)).values())


def test_a_rejection_has_no_mask_and_teaches_none():
    net, picture = head(), pictures((2, 3))
    asked, kept = slots(picture, rejected=(0, 3)), torch.tensor([1, 2, 4])
    output, masks = net(picture.maps, GRID, asked), truth(picture)
    assert [m is None for m in output.slots] == [True, False, False, True, False]
    only = Slots(asked.states_sc[kept], torch.ones(3, dtype=torch.bool), asked.image_s[kept])
    alone = net(picture.maps, GRID, only)
    torch.testing.assert_close(output.logits_nhw, alone.logits_nhw, atol=1e-5, rtol=1e-4)
    wrong = masks.clone()
    wrong[[0, 3]] = 1 - wrong[[0, 3]]
    for name, value in losses(output, masks).items():
        torch.testing.assert_close(value, losses(output, wrong)[name])
        torch.testing.assert_close(value, losses(alone, masks[kept])[name], atol=1e-5, rtol=1e-4)
    nothing = net(picture.maps, GRID, slots(picture, rejected=range(5)))
    assert all(float(v) == 0 for v in losses(nothing, masks).values()) and set(nothing.slots) == {None}


def test_a_slots_state_is_the_one_that_predicted_it():
    text = torch.randn(2, 6, LANGUAGE)
    asked = slots_of(text, [[2, 5], [1]], [[True, False], [True]], torch.tensor([4, 3]))
    assert torch.equal(asked.states_sc, torch.stack([text[0, 1], text[0, 4], text[1, 0]]))
    assert asked.segment_s.tolist() == [True, False, True] and asked.image_s.tolist() == [4, 4, 3]
    own, row = states.own(text, [[2, 5], [1]])
    assert torch.equal(own, torch.stack([text[0, 2], text[0, 5], text[1, 1]])) and row.tolist() == [0, 0, 1]
    assert len(slots_of(text, [[], []], [[], []], torch.tensor([0, 1])).states_sc) == 0
    with pytest.raises(ValueError, match="position -1"):
        slots_of(text, [[0], []], [[True], []], torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="same slots"):
        slots_of(text, [[1], []], [[], []], torch.tensor([0, 1]))


def test_gradients_reach_every_parameter():
    net, picture = head(), pictures()
    output = net(picture.maps, GRID, slots(picture))
    sum(losses(output, truth(picture), LossWeights(iou=0.1)).values()).backward()
    assert not untaught(net)


def test_at_full_scale_only_what_gsva_does_not_use_of_sam_goes_untaught():
    net, picture = head(candidates=3), pictures()
    sum(losses(net(picture.maps, GRID, slots(picture)), truth(picture)).values()).backward()
    rest = ("decoder.iou_prediction_head.", *(f"decoder.output_hypernetworks_mlps.{n}." for n in (1, 2, 3)))
    assert untaught(net) and all(name.startswith(rest) for name in untaught(net))


def test_slots_do_not_see_one_another_and_their_order_does_not_matter():
    net, picture = head().eval(), pictures((2, 3))
    asked, order = slots(picture), torch.tensor([3, 0, 4, 2, 1])
    turned = Slots(asked.states_sc[order], asked.segment_s[order], asked.image_s[order])
    with torch.no_grad():
        encoded = net.encode(picture.maps, GRID)
        straight, other = net.decode(encoded, asked).logits_nhw, net.decode(encoded, turned).logits_nhw
    torch.testing.assert_close(other, straight[order], atol=1e-5, rtol=1e-4)


def test_several_segments_share_the_weights_and_differ_by_their_states_alone():
    net, picture = head().eval(), pictures((1,))
    same = picture.states[0].expand(3, -1)
    three = Slots(same, torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.long))
    with torch.no_grad():
        a, b, c = net(picture.maps, GRID, three).logits_nhw
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(a, c)


def released_checkpoint(net):
    """The head's weights under the released names, beside other parts of the model."""
    inverse = {ours: theirs for theirs, ours in LAYERS.items()}
    state = {}
    for name, tensor in net.state_dict().items():
        theirs, ours = next((t, o) for t, o in NAMES.items() if name.startswith(o))
        inner = name.removeprefix(ours)
        if "mlps" in name or "iou_prediction" in name:
            inner = "." + inner
            inner = inner.replace(*next((o, t) for o, t in inverse.items() if o in inner)).removeprefix(".")
        elif name.startswith("decoder.transformer.layers."):
            inner = inner.replace(".layer_norm", ".norm")
        state[theirs + inner] = tensor.reshape(1, -1) if name == "no_mask" else tensor
    state |= {u + "0.weight": torch.zeros(1) for u in UNUSED}
    others = ("model.layers.0.mlp.up_proj.weight", SAM + "image_encoder.pos_embed")
    return {**state, **dict.fromkeys(others, torch.zeros(1))}


def test_a_released_checkpoint_maps_with_nothing_missing_and_nothing_left_over():
    torch.manual_seed(0)
    config = vicuna_7b(language_width=8)
    net, other = GSVAHead(config).eval(), GSVAHead(config).eval()
    state = released_checkpoint(net)
    for name in (
        "model.text_hidden_fcs.0.2.bias", SAM + "mask_decoder.transformer.norm_final_attn.weight",
        SAM + "mask_decoder.transformer.layers.1.norm4.bias", SAM + "mask_decoder.output_upscaling.1.weight",
        SAM + "mask_decoder.output_hypernetworks_mlps.3.layers.2.weight",
        SAM + "mask_decoder.iou_prediction_head.layers.0.weight", SAM + "prompt_encoder.no_mask_embed.weight",
        SAM + "mask_decoder.transformer.layers.0.mlp.lin1.weight",
    ):  # fmt: skip
        assert name in state
    other.load_state_dict(from_released({"base_model.model." + n: t for n, t in state.items()}), strict=True)
    image = [torch.randn(1, 256, 8, 8)]
    asked = Slots(torch.randn(2, 8), torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        assert torch.equal(net(image, (8, 8), asked).logits_nhw, other(image, (8, 8), asked).logits_nhw)
    with pytest.raises(ValueError, match="without a place"):
        from_released({**state, SAM + "mask_decoder.hq_token.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="no_mask_embed"):
        from_released({n: t for n, t in state.items() if "prompt_encoder" not in n})


def test_it_starts_as_sams_own_decoder():
    """The same masks as SamModel's for the same prompts, boxes among them."""
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16, "image_size": 64,
              "global_attn_indexes": [0], "window_size": 0}  # fmt: skip
    sam = SamModel(SamConfig(vision_config=vision, prompt_encoder_config={"image_size": 64})).eval()
    gsva, boxed = GSVAHead(vicuna_7b(language_width=8)).eval(), BoxPromptHead(BoxPromptConfig(language_width=8)).eval()
    for net in (gsva, boxed):
        given = from_sam(sam.state_dict(), corners=net is boxed)
        left = net.load_state_dict(given, strict=False)
        assert not left.unexpected_keys and {n.split(".")[0] for n in left.missing_keys} <= {"prompt", "pointer"}
    image, prompts = torch.randn(1, 256, 4, 4), torch.randn(2, 1, 256)
    rows = torch.zeros(2, dtype=torch.long)
    with torch.no_grad():
        ours, quality = gsva.masks(gsva.encode([image], (4, 4)), prompts, rows)
        theirs, judged = sam.mask_decoder(
            image_embeddings=image, image_positional_embeddings=sam.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=prompts[None], multimask_output=False,
            dense_prompt_embeddings=sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(1, -1, 4, 4),
        )  # fmt: skip
        torch.testing.assert_close(ours, theirs[0, :, 0], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(quality, judged[0, :, 0], atol=1e-4, rtol=1e-3)
        box = torch.tensor([[8.0, 16.0, 40.0, 56.0]])
        # SAM counts from the centre of a pixel.
        asked = sam.get_prompt_embeddings(input_boxes=box[None] - 0.5)[0][0, 0]
        corners = boxed.place_features(box.reshape(1, 2, 2) / 64) + boxed.corners
        torch.testing.assert_close(corners[0], asked, atol=1e-4, rtol=1e-3)
    state = {n: t for n, t in sam.state_dict().items() if not n.startswith("mask_decoder")}
    with pytest.raises(ValueError, match="mask_decoder"):
        from_sam(state, corners=False)


def test_it_learns_a_handful_of_masks():
    net, picture = head(width=64), pictures((2, 1, 3))
    weights = LossWeights(dice=2.0, iou=0.1)
    step = lambda: sum(losses(net(picture.maps, GRID, slots(picture)), truth(picture), weights).values())  # noqa: E731
    taught(net, step, 150, rate=1e-3)
    net.eval()
    with torch.no_grad():
        output = net(picture.maps, GRID, slots(picture))
    assert float(iou(output.logits_nhw, truth(picture)).mean()) > 0.85


@pytest.mark.parametrize("changes", [{"width": 30}, {"strides": (4, 5)}, {"candidates": -1}, {"layers": 0}])
def test_a_wrong_configuration_names_the_field(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        GSVAConfig(**changes)
