"""MLLMSeg's decoder: size, shapes, fusion, released faults and names, gradients, invariances, and that it learns."""

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

from refseg_ros.models.heads.mllmseg import (  # noqa: E402
    MLLMSegConfig,
    MLLMSegHead,
    compact,
    from_released,
    internvl_1b,
    internvl_8b,
    losses,
)
from refseg_ros.models.heads.mllmseg.dysample import DySample  # noqa: E402
from refseg_ros.models.heads.mllmseg.released import CONSTANT, NAMES, PREFIX  # noqa: E402
from refseg_ros.models.losses import iou  # noqa: E402

SMALL = {"channels": CHANNELS, "strides": STRIDES, "stride": 16, "cell": 4, "width": 32, "heads": 2, "feedforward": 32}


def head(**changes):
    torch.manual_seed(3)
    return MLLMSegHead(compact(LANGUAGE, **{**SMALL, **changes}))


def answer(net, picture):
    image = torch.tensor([n for n, states in enumerate(picture.states) for _ in states], dtype=torch.long)
    return net(picture.maps, picture.states_vchw, torch.cat(picture.states), image)


def truth(picture):
    return at_stride(torch.cat(picture.masks), 4)


@pytest.mark.parametrize(("preset", "millions"), [(internvl_8b, 34.4), (internvl_1b, 27.8)])
def test_it_has_the_published_parameters(preset, millions):
    assert parameters_of(lambda: MLLMSegHead(preset())) == pytest.approx(millions, rel=0.02)


def test_the_published_sizes_give_a_mask_of_448_pixels():
    with torch.device("meta"):
        net = MLLMSegHead(internvl_1b())
        maps, states = [torch.zeros(1, 1024, 32, 32)], torch.zeros(1, 896, 16, 16)
        encoded = net.encode(maps, states)
        assert net.decode(encoded, torch.zeros(2, 896), torch.zeros(2, dtype=torch.long)).shape == (2, 448, 448)


@pytest.mark.parametrize("counts", [(1, 0, 5), (1,), (0, 0)])
def test_shapes_with_none_one_and_many_phrases(counts):
    net, picture = head(), pictures(counts)
    logits = answer(net, picture)
    assert logits.shape == (sum(counts), 16, 16) and torch.isfinite(logits).all()
    parts = losses(logits, truth(picture))
    assert all(torch.isfinite(v) for v in parts.values())
    assert sum(counts) or not any(float(v) for v in parts.values())


@pytest.mark.parametrize("changes", [{}, {"vision_detail": False}, {"language_semantics": False}, {"dropout": 0.1}])
def test_gradients_reach_every_parameter(changes):
    net, picture = head(**changes), pictures()
    sum(losses(answer(net, picture), truth(picture)).values()).backward()
    assert not untaught(net)


@pytest.mark.parametrize("switched", ["vision_detail", "language_semantics"])
def test_without_one_of_its_inputs_the_fusion_does_not_read_it(switched):
    net, picture = head(**{switched: False}).eval(), pictures()
    with torch.no_grad():
        before = answer(net, picture)
        if switched == "vision_detail":
            picture.maps = [m + 1 for m in picture.maps]
        else:
            picture.states_vchw = picture.states_vchw + 1
        assert torch.equal(before, answer(net, picture))
        assert not torch.allclose(answer(head().eval(), picture), before)
    with pytest.raises(ValueError, match="language_semantics"):
        compact(LANGUAGE, vision_detail=False, language_semantics=False)


def test_the_two_steps_give_the_whole_layers_numbers():
    """What is worked out once a frame and once a phrase equals one decoder layer with the [SEG] state as its memory."""
    net, picture = head().eval(), pictures((2,))
    states, grid = picture.states_vchw.flatten(2).transpose(1, 2), (4, 4)
    with torch.no_grad():
        fused = net.fusion(picture.maps, states, (2, 2)).expand(2, -1, -1)
        tokens = net.decoder(fused, net.text(picture.states[0])[:, None])
        cells = net.unfold(tokens.transpose(1, 2).unflatten(2, grid))
        rows = cells.unflatten(1, (4, 4)).permute(0, 3, 1, 4, 2).reshape(2, 1, 16, 16)
        torch.testing.assert_close(answer(net, picture), net.smooth(rows)[:, 0], atol=1e-5, rtol=1e-4)


def test_phrases_do_not_see_one_another_and_their_order_does_not_matter():
    net, picture = head().eval(), pictures((2, 3))
    states, image = torch.cat(picture.states), torch.tensor([0, 0, 1, 1, 1])
    order = torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        encoded = net.encode(picture.maps, picture.states_vchw)
        straight, turned = net.decode(encoded, states, image), net.decode(encoded, states[order], image[order])
        alone = net.decode(encoded, states[3:4], image[3:4])
    torch.testing.assert_close(turned, straight[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone[0], straight[3], atol=1e-5, rtol=1e-4)


def test_dysample_begins_as_bilinear_upsampling_and_moves_with_its_offsets():
    torch.manual_seed(0)
    upsample, x = DySample(8, 4), torch.randn(2, 8, 5, 7)
    with torch.no_grad():
        upsample.offset.weight.zero_()
        regular = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(upsample(x), regular, atol=1e-5, rtol=1e-4)
        upsample.offset.bias.view(2, 4, 4)[0] = 4.0  # a whole cell to the right at a quarter a unit
        moved = upsample(x)
    torch.testing.assert_close(moved[..., :-2], regular[..., 2:], atol=1e-4, rtol=1e-3)


def test_as_released_reads_the_language_models_map_one_position_early():
    released, ours, picture = head(as_released=True).eval(), head().eval(), pictures((1,))
    before = torch.randn(1, LANGUAGE)
    rows = picture.states_vchw.flatten(2)
    shifted = torch.cat([before[..., None], rows[..., :-1]], 2).reshape(picture.states_vchw.shape)
    image = torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        early = released(picture.maps, picture.states_vchw, picture.states[0], image, before)
        assert torch.equal(early, ours(picture.maps, shifted, picture.states[0], image))
        assert not torch.allclose(early, ours(picture.maps, picture.states_vchw, picture.states[0], image))
    with pytest.raises(ValueError, match="preceding_vc"):
        released(picture.maps, picture.states_vchw, picture.states[0], image)


def test_as_released_the_focal_loss_cannot_reach_zero():
    truth_nhw = torch.zeros(1, 8, 8)
    truth_nhw[:, :4] = 1
    sure = torch.where(truth_nhw > 0, 0.0, -20.0)  # half sure of the mask, sure of the rest
    assert float(losses(sure, truth_nhw)["focal"]) < float(losses(-sure - 20, truth_nhw)["focal"])
    ours, theirs = (float(losses(sure, truth_nhw, as_released=r)["focal"]) for r in (False, True))
    assert ours == pytest.approx(0.5 * 0.25 * 0.25 * 0.693147, rel=1e-3)  # ln 2
    assert theirs == pytest.approx(0.5 * 0.25 * 0.25 * 0.474077, rel=1e-3)  # ln(1 + exp(-1/2))


def released_checkpoint(net):
    """The head's weights under the released names, beside other parts of the model."""
    state = {}
    for name, tensor in net.state_dict().items():
        theirs, ours = next((t, o) for t, o in NAMES.items() if name.startswith(o))
        state[PREFIX + theirs + name.removeprefix(ours)] = tensor
    return {**state, PREFIX + CONSTANT[0]: torch.zeros(1, 32, 1, 1), "language_model.output.weight": torch.zeros(1)}


def test_a_released_checkpoint_maps_with_nothing_missing_and_nothing_left_over():
    with torch.device("meta"):
        net = MLLMSegHead(internvl_8b())
    state = released_checkpoint(net)
    assert PREFIX + "ca_layer_v2l.decoder.layers.0.self_attn.in_proj_weight" in state
    assert PREFIX + "conv1.1.running_mean" in state and len(state) == 59
    net.load_state_dict(from_released(state), strict=True, assign=True)
    with pytest.raises(ValueError, match="without a place"):
        from_released({**state, PREFIX + "text_up.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="conv2"):
        from_released({n: t for n, t in state.items() if "conv2" not in n})
    with pytest.raises(ValueError, match="first: language_model"):
        from_released({"language_model.output.weight": torch.zeros(1)})


def test_it_learns_a_handful_of_masks():
    net, picture = head(width=64, feedforward=64), pictures((2, 1, 3))
    taught(net, lambda: sum(losses(answer(net, picture), truth(picture)).values()), 300, rate=6e-3)
    net.eval()
    with torch.no_grad():
        assert float(iou(answer(net, picture), truth(picture)).mean()) > 0.85


@pytest.mark.parametrize("changes", [{"width": 30}, {"strides": (4, 5)}, {"dropout": 1.0}, {"cell": 0}])
def test_a_wrong_configuration_names_the_field(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        MLLMSegConfig(**changes)


def test_a_prior_starts_masks_at_their_usual_size_so_that_a_short_training_is_not_spent_on_one_bias():
    picture = pictures()
    plain, started = head(prior=None), head(prior=0.05)
    with torch.no_grad():
        share = answer(started.eval(), picture).sigmoid().mean()
    assert 0.005 < share < 0.2

    def loss_of(net):
        return lambda: sum(losses(answer(net, picture), truth(picture)).values())

    assert taught(started, loss_of(started), 40, 1e-3) < taught(plain, loss_of(plain), 40, 1e-3)
