"""Training's parts on toy arrays: pictures, targets, losses, batches, resuming, calibration."""

import dataclasses
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from refseg_ros.evaluation.calibration import Band, Calibration, ErrorRates  # noqa: E402
from refseg_ros.models.compact import SHIPPED  # noqa: E402
from refseg_ros.models.compact.backbone import CHANNELS, Backbone, network_input  # noqa: E402
from refseg_ros.models.compact.instances import InstanceHead  # noqa: E402
from refseg_ros.models.compact.language import COLOURS, OWN, LanguageHead  # noqa: E402
from refseg_ros.models.compact.tokens import APPEARANCE, GEOMETRY  # noqa: E402
from refseg_ros.sim.sensor import SensorModel  # noqa: E402
from refseg_ros.sim.stored import StoredScene, encode_png, write_arrays  # noqa: E402
from refseg_ros.training import export, instances, language, loop, phrases, pictures, tokens  # noqa: E402
from refseg_ros.training.config import TrainingConfig  # noqa: E402
from refseg_ros.training.looks import UNLIKE, Looks, as_asked  # noqa: E402
from refseg_ros.training.loop import train  # noqa: E402

STRIDES = (4, 8, 16, 32)
CLEAN = SensorModel(
    read_noise=0, shot_noise=0, blur_px=0, exposure=0, white_balance=0, jpeg_quality=0, depth_noise=0, flying_share=0,
    hole_share=0, grazing_share=0,
)  # fmt: skip


@pytest.fixture
def config(tmp_path):
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    return TrainingConfig(tmp_path / "scenes", tmp_path / "work", minutes=0.01, batch=4, threads=1)


def _ids(height=64, width=96):
    ids = torch.full((height, width), -1, dtype=torch.int8)
    ids[8:24, 12:40], ids[36:56, 48:80] = 0, 1
    return ids


def _scene(seed=0):
    """A red and a blue box before a wall, 320 x 240; object 1 stands in the corner."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(100, 140, (240, 320, 3), np.uint8)
    ids = np.full((240, 320), -1, np.int16)
    ids[60:120, 80:180], ids[180:240, 250:320] = 0, 1
    rgb[ids == 0], rgb[ids == 1] = (200, 30, 30), (30, 30, 200)
    depth = np.where(ids >= 0, 0.8, 1.0).astype(np.float32)
    k = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
    return StoredScene(rgb, depth, ids, k, [], [], seed=seed)


def _store(folder, seed=0):
    """_scene() as a training file, with two phrases."""
    scene = _scene(seed)
    said = [
        {"type": "name", "phrases": ["the red box"], "targets": [[0]],
         "mentions": {"named": [0], "anchors": [], "arguable": []}},
        {"type": "absent-name", "phrases": ["the cat"], "targets": [[]]},
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(
        folder / f"scene_{seed:07d}.npz", {"seed": seed, "objects": [], "expressions": said},
        rgb=encode_png(scene.rgb), depth=encode_png(np.round(scene.depth * 1000).astype(np.uint16)),
        ids=encode_png((scene.instance_ids + 1).astype(np.uint8)), camera=scene.k,
    )  # fmt: skip


@pytest.mark.parametrize("wrong", [{"minutes": -1}, {"batch": -2}, {"depth_dropout": 1.5}, {"learning_rate": -1e-3}])
def test_a_wrong_setting_is_refused_by_name(config, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingConfig(config.scenes, config.work, **wrong)


def test_missing_scenes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="generate the scenes"):
        TrainingConfig(tmp_path / "nothing", tmp_path)


def test_positive_cells_lie_in_the_centre_of_their_own_object():
    ids = _ids()
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


def test_instance_losses_are_finite_and_reach_every_parameter():
    head, ids = InstanceHead(), _ids()
    maps = [torch.randn(2, c, 64 // s, 96 // s) for c, s in zip(CHANNELS, STRIDES, strict=True)]
    detail = torch.randn(2, 5, 128, 192)
    terms = instances.losses(head(maps, detail), torch.stack([ids, ids]), torch.Generator().manual_seed(0))
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in terms.values())
    assert all(p.grad is not None for p in head.parameters())


def test_a_small_thing_is_taught_as_often_as_a_large_one():
    ids = torch.full((256, 256), -1, dtype=torch.int8)
    ids[10:200, 10:200], ids[220:232, 220:232] = 0, 1
    _, cells, owners = instances.targets(ids)
    shares = instances.share_of_object(owners)
    assert (owners == 0).sum() > 20 and (owners == 1).sum() == 1 and len(cells) > instances.CELLS_PER_IMAGE
    assert shares[owners == 0].sum() == pytest.approx(1) and shares[owners == 1].tolist() == [1]
    rng = torch.Generator().manual_seed(0)
    chosen = [owners[instances.drawn_cells(owners, rng)] for _ in range(20)]
    assert sum(bool((c == 1).any()) for c in chosen) >= 19


def test_points_lie_in_the_picture_and_near_their_own_object():
    ids, owners = _ids(), torch.tensor([0, 1, 1])
    points = instances.sample_points(ids, owners, torch.Generator().manual_seed(0))
    rows, cols = points.unbind(-1)
    assert points.shape == (3, instances.POINTS_NEAR + instances.POINTS_FAR, 2)
    assert rows.min() >= 0 and rows.max() < 64 and cols.min() >= 0 and cols.max() < 96
    near = ids[rows, cols][:, : instances.POINTS_NEAR] == owners[:, None]
    assert (near.float().mean(1) > 0.3).all()


def test_a_picture_is_what_the_model_is_given_and_its_truth_lies_on_it():
    scene = _scene()
    seen = pictures.picture(scene, CLEAN, np.random.default_rng(0))
    image, detail, _ = network_input(scene.rgb, scene.depth)
    assert torch.equal(seen.image, torch.from_numpy(image)) and torch.equal(seen.detail, torch.from_numpy(detail))
    red = (seen.image[0] > 0.3) & (seen.image[2] < -0.3)
    assert torch.equal(red, seen.ids == 0) and torch.allclose(seen.depth[seen.ids == 0], torch.tensor(0.8))
    assert seen.rays.tolist() == [300, 160.5, 120.5]


def test_a_window_keeps_rays_and_truth_together():
    scene, rng = _scene(), np.random.default_rng(1)
    shares = []
    for _ in range(40):
        piece = pictures.window(scene, rng)
        height, width = piece.instance_ids.shape
        assert pictures.ASPECTS[0] - 0.02 < width / height < pictures.ASPECTS[1] + 0.02
        left, top = scene.k[0, 2] - piece.k[0, 2], scene.k[1, 2] - piece.k[1, 2]
        same = scene.instance_ids[int(top) : int(top) + height, int(left) : int(left) + width]
        assert np.array_equal(piece.instance_ids, same) and (piece.instance_ids >= 0).any()
        shares.append(width / 320)
    assert min(shares) < 0.6 and max(shares) > 0.9


def test_what_is_pasted_is_a_new_object_in_front_of_what_it_covers():
    scene, rng = _scene(), np.random.default_rng(0)
    more = pictures.pasted(scene, _scene(1), rng)
    new = more.instance_ids == 2
    assert new.sum() == (scene.instance_ids == 0).sum() or new.sum() == (scene.instance_ids == 1).sum()
    assert more.depth[new].max() <= scene.depth[new].max() and np.array_equal(more.rgb[~new], scene.rgb[~new])
    assert scene.instance_ids.max() == 1  # as it was


def test_mirrored_pictures_and_repainted_walls_keep_their_objects():
    scene = _scene()
    turned = pictures.mirrored(scene)
    assert np.array_equal(turned.rgb[:, ::-1], scene.rgb)
    assert np.array_equal(turned.instance_ids[:, ::-1], scene.instance_ids)
    wall = scene.instance_ids < 0
    painted = pictures.repainted(scene.rgb, wall, np.random.default_rng(0))
    assert np.array_equal(painted[~wall], scene.rgb[~wall]) and np.abs(painted[wall].astype(int) - 120).mean() > 10


def test_batches_are_stacked_varied_and_the_same_for_a_seed(tmp_path):
    _store(tmp_path, 0)
    files = [tmp_path / "scene_0000000.npz"]
    first, again = (next(pictures.batches(files, 3, 5, 0)) for _ in range(2))
    assert first.image.shape == (3, 3, *pictures.INPUT) and first.ids.shape == (3, *pictures.INPUT)
    assert torch.equal(first.detail, again.detail) and not torch.equal(first.detail[0], first.detail[1])


def test_iou_of_nothing_and_of_itself():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    assert instances.iou(mask, mask[0]).tolist() == [1.0] and len(instances.iou(mask[:0], mask[0])) == 0


def _tokens(owners):
    count = len(owners)
    return tokens.TokenSet(torch.randn(count, APPEARANCE).half(), torch.rand(count, GEOMETRY), torch.tensor(owners))


MUG = phrases.Asked("name", "the mug", frozenset({0}), named=frozenset({0}))
CAT = phrases.Asked("absent-name", "the cat", frozenset())


def test_collate_pads_and_marks_the_padding():
    left = phrases.Asked("relation", "mug", frozenset({1}), frozenset({1, 2}), frozenset({0}), frozenset({2}))
    rows = [(_tokens([0, 1, 2, -1]), left), (_tokens([4]), phrases.Asked("absent-attribute", "red can", frozenset()))]
    states = {"mug": torch.randn(3, 384).half(), "red can": torch.randn(4, 384).half()}
    inputs, truth = language.collate(rows, states)
    assert truth.meant.tolist() == [[0, 1, 0, 0], [0, -1, -1, -1]] and truth.fits.tolist() == [1, 0]
    assert truth.mentioned[0].T.tolist() == [[0, 1, -1, 0], [1, 0, 0, 0]] and (truth.mentioned[1] == -1).all()
    assert inputs[2].tolist() == [[True] * 4, [True] + [False] * 3] and inputs[4].sum(1).tolist() == [3, 4]
    out = LanguageHead()(*inputs)
    assert out.meant.shape == (2, 4) and out.fits.shape == (2,) and out.mentioned.shape == (2, 4, 2)
    terms = language.losses(out, truth)
    assert set(terms) == {"meant", "fits", "mentioned"} and all(torch.isfinite(v) for v in terms.values())


def test_where_no_mention_is_known_its_loss_is_nothing():
    inputs, truth = language.collate([(_tokens([0]), CAT)], {"the cat": torch.randn(2, 384)})
    assert language.losses(LanguageHead()(*inputs), truth)["mentioned"].item() == 0


def test_draw_gives_a_batch_and_never_a_target_that_was_not_found(config):
    by_type = phrases.grouped(phrases.Phrases([[MUG, CAT]], {}))
    looks = Looks.of([[_tokens([0])]])
    rows = language.draw([[_tokens([0])]], [_tokens([-1])], by_type, looks, random.Random(0), config)
    rows += language.draw([[_tokens([0])]], [], by_type, looks, random.Random(0), config)  # before anything is found
    assert len(rows) == 2 * config.batch
    assert all(not asked.targets or asked.targets & set(tokens.owner.tolist()) for tokens, asked in rows)


def test_a_stranger_has_no_name_and_is_no_part_of_what_could_be_argued():
    mug, cat = (phrases.Asked("name", t, frozenset({i}), frozenset({i})) for i, t in enumerate(("the mug", "the cat")))
    left = phrases.Asked("relation", "the cat left of the mug", frozenset({1}), frozenset({1}), frozenset({0}))
    nothing = phrases.Asked("absent-name", "the dog", frozenset())
    thing = phrases.Asked("name", "the thing", frozenset({0}), frozenset({0}))
    unknown = phrases.Asked("superlative", "the largest cat", frozenset({1}))
    assert as_asked(mug, None) is mug and as_asked(cat, 0) is cat and as_asked(nothing, 0) is nothing
    assert as_asked(mug, 0).targets == frozenset() and as_asked(mug, 0).text == "the mug"
    assert as_asked(thing, 0) is None and as_asked(left, 0) is None and as_asked(unknown, 0) is None


def test_looks_are_varied_but_for_what_says_who_a_thing_is(config):
    torch.manual_seed(0)
    sets = [[_tokens([0, 1, 2])] for _ in range(20)]
    looks, rng = Looks.of(sets), random.Random(0)
    assert looks.usual().shape == (60, OWN - COLOURS)
    drawn = [looks.varied(sets[0][0], rng, no_depth=0.5) for _ in range(200)]
    assert all(v.owner.tolist() == [0, 1, 2] and torch.isfinite(v.look).all() for v, _ in drawn)
    strangers = [s for _, s in drawn if s is not None]
    assert 25 < len(strangers) < 75 and set(strangers) == {0, 1, 2}
    flat = [not v.place[:, 5:].any() for v, _ in drawn]
    foreign = [(v.look[:, COLOURS:OWN] == UNLIKE).all(1) for v, _ in drawn]
    whole = [bool(f.all()) for f in foreign]
    some = [bool(f.any() and not f.all()) for f in foreign]
    assert 70 < sum(flat) < 130 and 25 < sum(whole) < 75 and 15 < sum(some) < 75
    assert not any((v.look[:, :COLOURS] == UNLIKE).any() or (v.look[:, OWN:] == UNLIKE).any() for v, _ in drawn)


def test_training_resumes_where_it_stopped_and_keeps_its_best(config):
    figures = iter((1.0, 3.0, 2.0, 2.0))

    def once(minutes):
        module = torch.nn.Linear(2, 1)
        told = TrainingConfig(config.scenes, config.work, minutes=minutes, learning_rate=1e-2)
        step = lambda m: {"loss": m(torch.ones(4, 2)).pow(2).mean()}  # noqa: E731
        train(module, "toy", told, step, lambda m: {"figure": next(figures)})
        return torch.load(config.work / "toy.pt", weights_only=False)

    first, second, third = once(0.005), once(0.01), once(0.015)
    assert third["steps"] > second["steps"] > first["steps"] == loop.steps_of(config.work / "toy.pt") - (
        third["steps"] - first["steps"]
    )
    assert second["curve"][: len(first["curve"])] == first["curve"] and (config.work / "toy.png").is_file()
    best = loop.averaged(config.work / "toy.pt")
    assert set(best) == {"weight", "bias"}
    assert torch.equal(best["weight"], second["best"]["weights"]["weight"]) and third["best"]["value"] == 3.0


def test_two_processes_end_at_the_same_step_with_the_same_weights(config, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "import json, sys, torch\n"
        "from pathlib import Path\n"
        "from accelerate import PartialState\n"
        "from refseg_ros.training.config import TrainingConfig\n"
        "from refseg_ros.training.loop import train\n"
        "rank = PartialState(cpu=True).process_index\n"
        "torch.manual_seed(0)\n"
        "module = torch.nn.Linear(2, 1)\n"
        "told = TrainingConfig(Path(sys.argv[1]), Path(sys.argv[2]), minutes=0.02, learning_rate=1e-2)\n"
        "train(module, 'toy', told, lambda m: {'loss': m(torch.full((4, 2), rank + 1.0)).pow(2).mean()},"
        " lambda m: {'figure': 1.0})\n"
        "Path(sys.argv[2], f'{rank}.json').write_text(json.dumps(module.weight.tolist()))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    subprocess.run([*command, str(config.scenes), str(config.work)], check=True, timeout=240)
    one, other = (json.loads((config.work / f"{rank}.json").read_text()) for rank in (0, 1))
    assert one == other


def test_the_stages_run_side_by_side_through_to_the_weights(config, tmp_path):
    for split in ("train", "val"):
        for seed in range(3):
            _store(config.scenes / split, seed)
    instances.run(config)
    language.read(config)
    language.run(config)
    assert {"instances", "reading", "language"} <= {p.stem for p in config.work.glob("*.pt")}
    sets = tokens.true_tokens(instances.training_files(config.scenes / "train", 9), config.work, "train")
    assert len(sets) == 3 and all(s.owner.tolist() == [0, 1] for s in sets[0])
    assert sets[0][0].look.shape == (2, APPEARANCE) and not torch.equal(sets[0][0].look, sets[0][1].look)


def test_ablations_train_and_judge_every_variant(config, monkeypatch):
    spec = importlib.util.spec_from_file_location("ablations", Path(__file__).parent.parent / "bench" / "ablations.py")
    ablations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ablations)
    for split in ("train", "val"):
        for seed in range(2):
            _store(config.scenes / split, seed)
    instances.run(config)
    yaml = config.work / "compact.yaml"
    stage = "{minutes: 1, batch: 2, learning_rate: 0.001}"
    yaml.write_text(
        f"model: compact\nscenes: {config.scenes}\nwork: {config.work}\nthreads: 1\n"
        f"stages: {{instances: {stage}, reading: {stage}, language: {stage}}}\n"
    )
    ablations.main(yaml, steps=2, mask_steps=2, only="")
    rows = json.loads((config.work / "ablations" / "ablations.json").read_text())
    assert set(rows) == {*ablations.HEADS, *ablations.BACKBONES}
    assert all(0 <= r["right"] <= 1 for n, r in rows.items() if n in ablations.HEADS)
    frozen, before = Backbone().state_dict(), Backbone(trained=True).state_dict()
    kept, learnt = (
        loop.averaged(config.work / "ablations" / f"{ablations._file(name)}.pt") for name in ablations.BACKBONES
    )
    stem = "net._conv_stem.weight"
    assert torch.equal(kept[f"backbone.{stem}"], frozen[stem])
    assert not torch.equal(learnt[f"backbone.{stem}"], before[stem])


def test_without_fusion_a_phrase_still_decides_what_is_meant():
    head = LanguageHead(layers=1, fused=False).eval()
    there = torch.ones(1, 3, dtype=torch.bool)
    things = (torch.randn(1, 3, APPEARANCE), torch.rand(1, 3, GEOMETRY), there)
    words, valid = torch.randn(2, 1, 4, 384), torch.tensor([[True, True, False, False]])
    one, other = (head(*things, w, valid)[0] for w in words)
    padded = words[0].clone()
    padded[:, 2:] = 9.0
    assert not torch.allclose(one, other) and torch.allclose(one, head(*things, padded, valid)[0], atol=1e-5)


def test_slips_are_only_in_what_is_asked_to_have_them(tmp_path):
    for seed in range(40):
        _store(tmp_path / "s", seed)
    files = sorted((tmp_path / "s").glob("*.npz"))
    (tmp_path / "w").mkdir()
    straight = phrases.read_phrases(files, tmp_path / "w", "straight")
    slipped = phrases.read_phrases(files, tmp_path / "w", "slipped", slips=True)
    assert set(straight.states) == {"the red box", "the cat"} and len(slipped.states) > 5
    wrong = sum(row.text not in straight.states for rows in slipped.of_scene for row in rows)
    assert 0.05 < wrong / 80 < 0.4


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
    asked = phrases.Asked("name", "the mug", frozenset({4}))
    said = phrases.Phrases([[asked], []], {"the mug": torch.randn(2, 384)})
    head = LanguageHead()
    torch.nn.init.constant_(head.meant.bias, 50.0)  # everything is meant
    rows = language.judge(head, [_tokens([4, -1]), _tokens([0])], said)
    assert [(r.scene, r.type, r.picked) for r in rows] == [(0, "name", frozenset({4, -1}))]


def test_a_stage_without_minutes_keeps_the_weights_it_was_given(config):
    """Training goes on from weights that are there, and what gets no minutes stays as it was."""
    for split in ("train", "val"):
        _store(config.scenes / split, 0)
    shipped = load_file(SHIPPED)
    told = dataclasses.replace(config, minutes=0, start=SHIPPED)
    instances.run(told)
    language.read(told)
    kept = loop.averaged(config.work / "instances.pt")
    assert all(torch.equal(value, shipped[f"instances.{name}"].float()) for name, value in kept.items())
    language.run(config)
    read, after = (loop.averaged(config.work / f"{name}.pt") for name in ("reading", "language"))
    assert torch.equal(read["word.1.weight"], shipped["language.word.1.weight"].float())
    assert not torch.equal(after["word.1.weight"], read["word.1.weight"])
