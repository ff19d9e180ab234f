"""Qwen3-VL-Seg's mask decoder: size, shapes, gate, gradients, invariances, ablations, and that it learns."""

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

from refseg_ros.models.heads.qwen3vl_seg import (  # noqa: E402
    LossWeights,
    Objects,
    Qwen3VLSegConfig,
    Qwen3VLSegHead,
    box_gate,
    compact,
    losses,
    objects_of,
    qwen3_vl_4b,
)
from refseg_ros.models.heads.qwen3vl_seg.objects import jittered  # noqa: E402
from refseg_ros.models.heads.qwen3vl_seg.pixels import PixelFeatures  # noqa: E402
from refseg_ros.models.losses import iou  # noqa: E402

SMALL = {"channels": CHANNELS, "strides": STRIDES, "width": 32, "pixel_width": 16, "stem_width": 8, "heads": 2}
PARTS = ("spatial_injection", "box_queries", "pixel_fusion", "refinement")


def head(**changes):
    torch.manual_seed(3)
    return Qwen3VLSegHead(compact(LANGUAGE, **{**SMALL, **changes}))


def asked(picture):
    return objects_of(picture.boxes, picture.states, torch.arange(len(picture.boxes)))


def answer(net, picture, objects=None):
    return net(picture.maps, picture.states_vchw, picture.image_v3hw, objects or asked(picture))


def truths(picture):
    return [at_stride(m, 4) for m in picture.masks]


def test_it_has_17_million_parameters_on_qwen3_vl_4b():
    assert parameters_of(lambda: Qwen3VLSegHead(qwen3_vl_4b())) == pytest.approx(17, rel=0.05)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(part):
    net, picture = head(**{part: False}), pictures()
    assert sum(p.numel() for p in net.parameters()) < sum(p.numel() for p in head().parameters())
    output = answer(net, picture)
    sum(losses(output, truths(picture)).values()).backward()
    assert not untaught(net)
    assert len(output.passes) == (1 if part == "refinement" else 2)


def test_shapes_with_none_one_and_many_objects():
    net, picture = head().eval(), pictures((1, 0, 5))
    with torch.no_grad():
        output = answer(net, picture)
    assert len(output.passes) == 2 and output.passes[0].shape == (3, 5, 16, 16)
    assert [len(m) for m in output.masks] == [1, 0, 5]
    assert all(torch.isfinite(m).all() for m in output.masks)
    assert output.iou_ak.shape == (3, 5)


def test_answers_without_any_object_cost_nothing_and_break_nothing():
    net, picture = head(), pictures((0, 0))
    output = answer(net, picture)
    assert [len(m) for m in output.masks] == [0, 0]
    parts = losses(output, truths(picture))
    assert all(float(v.detach()) == 0 for v in parts.values())
    sum(parts.values()).backward()


def test_gradients_reach_every_parameter():
    net, picture = head(), pictures()
    sum(losses(answer(net, picture), truths(picture)).values()).backward()
    assert not untaught(net)


@pytest.mark.parametrize(("width", "published"), [(0.02, 0.10), (0.05, 0.19), (0.1, 0.38), (0.2, 0.75)])
def test_the_gate_opens_for_small_boxes(width, published):
    boxes, there = torch.tensor([[[0.5, 0.5, width, width]]]), torch.ones(1, 1, dtype=torch.bool)
    plain, ours = (box_gate(boxes, there, (201, 201), margin=0.15, alpha=20.0, by_peak=p) for p in (False, True))
    assert float(plain.max()) == pytest.approx(published, abs=0.006)
    assert float(ours.max()) == pytest.approx(1, abs=1e-3)
    assert float(ours[0, 0, 0]) < 0.01  # and stays shut far away


def test_half_precision_keeps_places_apart():
    net, half = head().eval(), head().eval().to(torch.bfloat16)
    picture = pictures((2, 1))
    boxes = torch.cat(picture.boxes)[None]
    moved = boxes + torch.tensor([0.002, 0, 0, 0])
    assert torch.equal(net.queries.box(boxes), half.queries.box(boxes))
    assert float((half.queries.box(moved) - half.queries.box(boxes)).abs().max()) > 0.5
    with torch.no_grad():
        fine = answer(net, picture).passes[-1]
        picture.maps = [m.bfloat16() for m in picture.maps]
        picture.states = [s.bfloat16() for s in picture.states]
        picture.states_vchw, picture.image_v3hw = picture.states_vchw.bfloat16(), picture.image_v3hw.bfloat16()
        rough = answer(half, picture).passes[-1]
    assert rough.dtype == torch.bfloat16
    assert float((rough.float() - fine).abs().mean()) < 0.05 * float(fine.abs().mean())


def test_one_gate_serves_all_boxes_of_an_answer():
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.3, 0.3]]])
    both, first = (
        box_gate(boxes, torch.tensor([there]), (40, 40), margin=0.15, alpha=20.0, by_peak=True)
        for there in ([True, True], [True, False])
    )
    assert float(both[0, 32, 32]) > 0.9 and float(both[0, 8, 8]) > 0.9 and float(first[0, 32, 32]) < 0.01


def test_boxes_on_the_answers_scale_are_refused():
    with pytest.raises(ValueError, match="divide 0"):
        objects_of([torch.tensor([[500.0, 500.0, 20.0, 20.0]])], [torch.zeros(1, LANGUAGE)], torch.zeros(1).long())


def test_boxes_are_jittered_in_training_only():
    torch.manual_seed(0)
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.4]]]).expand(200, 1, 4)
    x, y, w, h = jittered(boxes, 0.1).unbind(-1)
    left, top = (x - w / 2).flatten(), (y - h / 2).flatten()
    assert 0.018 < float((left - 0.4).abs().max()) <= 0.0201 and 0.036 < float((top - 0.3).abs().max()) <= 0.0401
    net, picture = head(), pictures()
    with torch.no_grad():
        a, b = (answer(net, picture).passes[-1] for _ in range(2))
        net.eval()
        c, d = (answer(net, picture).passes[-1] for _ in range(2))
    assert not torch.equal(a, b) and torch.equal(c, d)


def test_the_order_of_objects_and_answers_does_not_matter():
    net, picture = head().eval(), pictures((3, 2))
    order = [2, 0, 1]
    turned = objects_of(
        [picture.boxes[1], picture.boxes[0][order]], [picture.states[1], picture.states[0][order]], torch.tensor([1, 0])
    )
    with torch.no_grad():
        straight, other = answer(net, picture).masks, answer(net, picture, turned).masks
    torch.testing.assert_close(other[1], straight[0][order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other[0], straight[1], atol=1e-4, rtol=1e-4)


def test_an_image_is_encoded_once_and_answers_do_not_see_one_another():
    net, picture = head().eval(), pictures((2, 3))
    with torch.no_grad():
        encoded = net.encode(picture.maps, picture.states_vchw, picture.image_v3hw)
        image = torch.tensor([1, 1, 0])
        boxes = [picture.boxes[1][:1], picture.boxes[1], picture.boxes[0]]
        states = [picture.states[1][:1], picture.states[1], picture.states[0]]
        together = net.decode(encoded, objects_of(boxes, states, image)).masks
        for n in range(3):
            alone = net.decode(encoded, objects_of(boxes[n : n + 1], states[n : n + 1], image[n : n + 1])).masks
            torch.testing.assert_close(together[n], alone[0], atol=1e-4, rtol=1e-4)


def test_fused_pixels_are_taken_apart_without_a_difference():
    torch.manual_seed(1)
    up, texture, gate = torch.randn(2, 5, 8, 8), torch.randn(2, 5, 8, 8), torch.rand(3, 8, 8)
    image = torch.tensor([1, 0, 1])
    pixels, kernels = PixelFeatures(up, texture, gate, image), torch.randn(3, 2, 5)
    weights = torch.rand(3, 2, 8, 8)
    whole = up[image] + gate[:, None] * texture[image]
    torch.testing.assert_close(pixels.dot(kernels), torch.einsum("akp,aphw->akhw", kernels, whole))
    mean = torch.einsum("akhw,aphw->akp", weights, whole) / weights.sum((2, 3))[..., None]
    torch.testing.assert_close(pixels.pooled(weights), mean)


def test_it_learns_a_handful_of_masks_and_how_good_they_are():
    net, picture = head(), pictures((2, 1, 3))
    loss = lambda: sum(losses(answer(net, picture), truths(picture), LossWeights(dice=2.0)).values())  # noqa: E731
    taught(net, loss, 100)
    net.eval()
    with torch.no_grad():
        output = answer(net, picture)
    reached = iou(torch.cat(output.masks), torch.cat(truths(picture)))
    assert float(reached.mean()) > 0.85
    assert float((output.iou_ak[output.there_ak] - reached).abs().mean()) < 0.15


@pytest.mark.parametrize(
    "changes", [{"width": 30}, {"strides": (16,)}, {"box_jitter": 0.6}, {"gate_alpha": 0}, {"layers": 0}]
)
def test_a_wrong_configuration_names_the_field(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Qwen3VLSegConfig(**changes)


def test_wrong_inputs_are_named():
    picture = pictures((1,))
    with pytest.raises(ValueError, match="objects"):
        Objects(torch.zeros(1, 2, 4), torch.zeros(1, 1, LANGUAGE), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1))
    with pytest.raises(ValueError, match="true masks"):
        losses(answer(head(), picture), [torch.zeros(2, 16, 16)])
    with pytest.raises(ValueError, match="multiple"):
        head().encode(picture.maps, picture.states_vchw, torch.zeros(1, 3, 50, 64))
