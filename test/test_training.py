"""Training's parts on toy arrays: targets, losses, batches, resuming, calibration."""

import random

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from refseg_ros.evaluation.calibration import Band, Calibration, ErrorRates  # noqa: E402
from refseg_ros.models.compact.backbone import CHANNELS, network_input  # noqa: E402
from refseg_ros.models.compact.instances import InstanceHead  # noqa: E402
from refseg_ros.models.compact.language import LanguageHead  # noqa: E402
from refseg_ros.models.compact.tokens import APPEARANCE, GEOMETRY  # noqa: E402
from refseg_ros.training import export, instances, language, loop, phrases, tokens  # noqa: E402
from refseg_ros.training.config import TrainingConfig  # noqa: E402
from refseg_ros.training.features import CachedScenes, detail_of  # noqa: E402
from refseg_ros.training.loop import train  # noqa: E402

STRIDES = (4, 8, 16, 32)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    return TrainingConfig(tmp_path / "scenes", tmp_path / "work", minutes=0.01, batch=4, threads=1)


def _scenes(count=2, height=64, width=96):
    ids = torch.full((count, height, width), -1, dtype=torch.int8)
    ids[:, 8:24, 12:40], ids[:, 36:56, 48:80] = 0, 1
    return CachedScenes(
        image=torch.randint(0, 255, (count, 3, height, width), dtype=torch.uint8),
        detail=torch.randint(0, 255, (count, 3, 2 * height, 2 * width), dtype=torch.uint8),
        detail_depth=torch.ones(count, 2 * height, 2 * width).half(),
        maps=[torch.randn(count, c, height // s, width // s).half() for c, s in zip(CHANNELS, STRIDES, strict=True)],
        ids=ids, depth=torch.ones(count, height, width).half(),
        rays=torch.tensor([[100.0, 48.0, 32.0]]).repeat(count, 1),
    )  # fmt: skip


@pytest.mark.parametrize("wrong", [{"minutes": -1}, {"batch": -2}, {"depth_dropout": 1.5}, {"learning_rate": -1e-3}])
def test_a_wrong_setting_is_refused_by_name(config, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingConfig(config.scenes, config.work, **wrong)


def test_missing_scenes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="generate the scenes"):
        TrainingConfig(tmp_path / "nothing", tmp_path)


def test_positive_cells_lie_in_the_centre_of_their_own_object():
    ids = _scenes(1).ids[0]
    objectness, cells, owners = instances.targets(ids)
    assert objectness.shape == (8, 12) and set(owners.tolist()) == {0, 1}
    assert int(objectness.sum()) == len(cells)
    for (row, col), owner in zip(cells.tolist(), owners.tolist(), strict=True):
        assert ids[row * 8 + 4, col * 8 + 4] == owner


def test_an_empty_scene_and_a_speck_teach_nothing():
    ids = torch.full((64, 96), -1, dtype=torch.int8)
    ids[3:5, 3:5] = 0
    objectness, cells, owners = instances.targets(ids)
    assert not objectness.any() and not len(cells) and not len(owners)


def test_instance_losses_are_finite_and_reach_every_parameter(config):
    head = InstanceHead()
    terms = instances.losses(head, _scenes(), torch.tensor([0, 1]), config, torch.Generator().manual_seed(0))
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in terms.values())
    assert all(p.grad is not None for p in head.parameters())


def test_points_lie_in_the_picture_and_near_their_own_object():
    ids, owners = _scenes(1).ids[0], torch.tensor([0, 1, 1])
    points = instances.sample_points(ids, owners, torch.Generator().manual_seed(0))
    rows, cols = points.unbind(-1)
    assert points.shape == (3, instances.POINTS_NEAR + instances.POINTS_FAR, 2)
    assert rows.min() >= 0 and rows.max() < 64 and cols.min() >= 0 and cols.max() < 96
    near = ids[rows, cols][:, : instances.POINTS_NEAR] == owners[:, None]
    assert (near.float().mean(1) > 0.3).all()


def test_the_detail_of_a_cached_scene_is_that_of_the_network_input():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (128, 192, 3), np.uint8)
    depth = rng.uniform(0.5, 1.5, (128, 192)).astype(np.float16).astype(np.float32)
    _, detail, inner = network_input(rgb, depth)
    scenes = _scenes(1)
    scenes.detail = torch.from_numpy(np.round(detail[:3] * 128 + 127).astype(np.uint8))[None]
    large = cv2.resize(depth, (2 * inner[0], 2 * inner[1]), interpolation=cv2.INTER_NEAREST)
    scenes.detail_depth = torch.zeros(1, *detail.shape[1:]).half()
    scenes.detail_depth[0, : large.shape[0], : large.shape[1]] = torch.from_numpy(large).half()
    assert np.abs(detail_of(scenes, torch.tensor([0]))[0].numpy() - detail).max() < 0.01


def test_iou_of_nothing_and_of_itself():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    assert instances.iou(mask, mask[0]).tolist() == [1.0] and len(instances.iou(mask[:0], mask[0])) == 0


def _tokens(owners):
    count = len(owners)
    return tokens.TokenSet(torch.randn(count, APPEARANCE).half(), torch.rand(count, GEOMETRY), torch.tensor(owners))


def test_collate_pads_and_marks_the_padding():
    rows = [(_tokens([0, 1, -1]), "mug", frozenset({1})), (_tokens([4]), "red can", frozenset())]
    states = {"mug": torch.randn(3, 384).half(), "red can": torch.randn(4, 384).half()}
    inputs, meant, fits = language.collate(rows, states)
    assert meant.tolist() == [[0, 1, 0], [0, -1, -1]] and fits.tolist() == [1, 0]
    assert inputs[2].tolist() == [[True] * 3, [True, False, False]] and inputs[4].sum(1).tolist() == [3, 4]
    out, some = LanguageHead()(*inputs)
    assert out.shape == (2, 3) and some.shape == (2,)


def test_draw_gives_a_batch_and_never_a_target_that_was_not_found(config):
    said = phrases.Phrases([[("name", "the mug", frozenset({0})), ("absent-name", "the cat", frozenset())]], {})
    rows = language.draw([[_tokens([0]), _tokens([-1])]], phrases.grouped(said), random.Random(0), config)
    assert len(rows) == config.batch
    assert all(not targets or targets & set(tokens.owner.tolist()) for tokens, _, targets in rows)


def test_training_resumes_where_it_stopped(config):
    def once(minutes):
        module = torch.nn.Linear(2, 1)
        told = TrainingConfig(config.scenes, config.work, minutes=minutes, learning_rate=1e-2)
        train(module, "toy", told, lambda: {"loss": module(torch.ones(4, 2)).pow(2).mean()}, lambda m: {"figure": 1.0})
        return torch.load(config.work / "toy.pt", weights_only=False)

    first = once(0.005)
    second = once(0.01)
    assert second["steps"] > first["steps"] and second["spent"] >= 0.6
    assert second["curve"][: len(first["curve"])] == first["curve"] and (config.work / "toy.png").is_file()
    assert set(loop.averaged(config.work / "toy.pt")) == {"weight", "bias"}


def test_a_phrase_is_right_when_its_very_set_is_picked_or_when_it_is_rejected():
    calibration = Calibration(1.0, Band(0.7, 0.3), ErrorRates())
    rows = [
        language.Judged(0, "name", 2.0, frozenset({1}), frozenset({1})),
        language.Judged(0, "name", 2.0, frozenset({1, -1}), frozenset({1})),
        language.Judged(0, "name", 0.0, frozenset({1}), frozenset({1})),  # not sure enough
        language.Judged(1, "absent-name", -2.0, frozenset({3}), frozenset()),
        language.Judged(1, "absent-name", 0.0, frozenset(), frozenset()),
    ]
    assert export.figures(rows, calibration) == {"absent-name": 0.5, "name": 0.333}


def test_judging_names_the_owners_of_what_is_meant():
    said = phrases.Phrases([[("name", "the mug", frozenset({4}))], []], {"the mug": torch.randn(2, 384)})
    head = LanguageHead()
    torch.nn.init.constant_(head.meant.bias, 50.0)  # everything is meant
    rows = language.judge(head, [[_tokens([4]), _tokens([4, -1])], [_tokens([0]), _tokens([0])]], said, found=True)
    assert [(r.scene, r.type, r.picked) for r in rows] == [(0, "name", frozenset({4, -1}))]
