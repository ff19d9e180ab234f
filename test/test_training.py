"""Training's parts on toy arrays: targets, losses, batches, resuming, calibration."""

import random

import pytest

torch = pytest.importorskip("torch")

from refseg_ros.models.compact.backbone import CHANNELS  # noqa: E402
from refseg_ros.models.compact.instances import InstanceHead  # noqa: E402
from refseg_ros.models.compact.language import LanguageHead  # noqa: E402
from refseg_ros.models.compact.tokens import APPEARANCE, GEOMETRY  # noqa: E402
from refseg_ros.training import export, instances, language  # noqa: E402
from refseg_ros.training.config import TrainingConfig  # noqa: E402
from refseg_ros.training.features import CachedScenes  # noqa: E402
from refseg_ros.training.loop import train  # noqa: E402

STRIDES = (4, 8, 16, 32)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    return TrainingConfig(tmp_path / "scenes", tmp_path / "work", minutes=0.01, batch=4, threads=1)


def _scenes(count=2, height=64, width=96):
    ids = torch.full((count, height // 2, width // 2), -1, dtype=torch.int8)
    ids[:, 4:12, 6:20], ids[:, 18:28, 24:40] = 0, 1
    return CachedScenes(
        image=torch.randint(0, 255, (count, 3, height, width), dtype=torch.uint8),
        geometry=torch.zeros(count, 2, height, width).half(),
        maps=[torch.randn(count, c, height // s, width // s).half() for c, s in zip(CHANNELS, STRIDES, strict=True)],
        ids=ids, depth=torch.ones(count, height // 2, width // 2).half(),
        rays=torch.tensor([[50.0, 24.0, 16.0]]).repeat(count, 1), objects=[[]] * count, expressions=[[]] * count,
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
        assert ids[row * 4 + 2, col * 4 + 2] == owner


def test_an_empty_scene_and_a_speck_teach_nothing():
    ids = torch.full((32, 48), -1, dtype=torch.int8)
    ids[3, 3] = 0
    objectness, cells, owners = instances.targets(ids)
    assert not objectness.any() and not len(cells) and not len(owners)


def test_instance_losses_are_finite_and_reach_every_parameter(config):
    head = InstanceHead()
    terms = instances.losses(head, _scenes(), torch.tensor([0, 1]), config, torch.Generator().manual_seed(0))
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in terms.values())
    assert all(p.grad is not None for p in head.parameters())


def test_iou_of_nothing_and_of_itself():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    assert instances.iou(mask, mask[0]).tolist() == [1.0] and len(instances.iou(mask[:0], mask[0])) == 0


def _tokens(owners):
    count = len(owners)
    return language.TokenSet(torch.randn(count, APPEARANCE).half(), torch.rand(count, GEOMETRY), torch.tensor(owners))


def test_collate_pads_and_marks_the_padding():
    rows = [(_tokens([0, 1, -1]), "mug", frozenset({1})), (_tokens([4]), "red can", frozenset())]
    states = {"mug": torch.randn(3, 384).half(), "red can": torch.randn(4, 384).half()}
    inputs, meant, fits = language.collate(rows, states)
    assert meant.tolist() == [[0, 1, 0], [0, -1, -1]] and fits.tolist() == [1, 0]
    assert inputs[2].tolist() == [[True] * 3, [True, False, False]] and inputs[4].sum(1).tolist() == [3, 4]
    out, some = LanguageHead()(*inputs)
    assert out.shape == (2, 3) and some.shape == (2,)


def test_draw_gives_a_batch_and_never_a_target_that_was_not_found(config):
    phrases = language.Phrases([[("name", "the mug", frozenset({0})), ("absent-name", "the cat", frozenset())]], {})
    rows = language.draw([[_tokens([0]), _tokens([-1])]], language.grouped(phrases), random.Random(0), config)
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
    assert set(language.averaged(config.work / "toy.pt")) == {"weight", "bias"}


def test_temperature_softens_what_is_too_sure():
    truth = torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0, 1, 1])
    sure = torch.tensor([9.0, -9, 9, -9, 9, -9, 9, 9, -9, 9])
    assert export.temperature_of(sure, truth) > 2


def test_thresholds_are_ordered_and_inside_their_range():
    for seed in range(5):
        belief = torch.rand(200, generator=torch.Generator().manual_seed(seed))
        accept, reject = export.thresholds_of(belief, (belief > 0.5).float())
        assert 0 <= reject < accept <= 0.9


def test_calibration_error_of_a_perfect_and_of_an_inverted_belief():
    truth = torch.tensor([0.0, 1.0])
    assert export.calibration_error(truth, truth) == pytest.approx(0)
    assert export.calibration_error(1 - truth, truth) == pytest.approx(1)
