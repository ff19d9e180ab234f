"""Each published system on tiny random models of its own transformers classes: free-running, taught, half precision."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from helpers import tiny_transformers  # noqa: E402

from refseg_ros.core.outcome import Outcome  # noqa: E402
from refseg_ros.core.pipeline import run  # noqa: E402
from refseg_ros.core.protocol import Thresholds  # noqa: E402
from refseg_ros.core.types import Frame  # noqa: E402
from refseg_ros.models.systems.assemble import KINDS  # noqa: E402
from refseg_ros.models.systems.model import SystemModel  # noqa: E402
from refseg_ros.models.systems.parts import part_of  # noqa: E402
from refseg_ros.models.systems.system import Truth  # noqa: E402
from refseg_ros.training.systems.batches import Batch  # noqa: E402
from refseg_ros.training.systems.config import read_config  # noqa: E402
from refseg_ros.training.systems.step import Step  # noqa: E402

CONFIGS = Path(__file__).parent.parent / "config" / "training" / "systems"
BACKBONES = {"qwen3vl_seg": "qwen3_vl", "gsva": "llava_sam", "mllmseg": "internvl", "mvp_lm": "phi_swin"}
HEADS = {
    "qwen3vl_seg": {"width": 32, "layers": 1, "pixel_width": 16, "stem_width": 8},
    "gsva": {"width": 32, "feedforward": 32}, "mllmseg": {"width": 32, "feedforward": 32},
    "mvp_lm": {"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "queries": 5, "stuff_queries": 2,
               "denoising_queries": 0, "mask_points": None},
}  # fmt: skip


def assembled(name):
    torch.manual_seed(0)
    backbone = getattr(tiny_transformers, BACKBONES[name])()
    return KINDS[name].system(backbone, {"head": HEADS[name]})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_it_runs_free_through_the_pipeline(name, dtype):
    """bfloat16: the backbone's precision; the head keeps its own."""
    system = assembled(name)
    system.backbone.model.to(dtype)
    model = SystemModel(name, system, Thresholds())
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    result = run(model, Frame(rgb), "the red mug and the milk")
    assert result.outcome is not Outcome.ERROR, result.error
    assert len(result.phrases) == 2


class OnePicture:
    """A PictureSet of one random picture, seen anew each time, so that gradients reach the vision tower too."""

    names = ("mug",)

    def __init__(self, rgb):
        self.rgb = rgb

    def vision(self, backbone, indices):
        geometry = backbone.geometry((64, 48))
        pixels = torch.stack([backbone.pixels(self.rgb, geometry)] * len(indices))
        return backbone.see(pixels, [geometry] * len(indices))


@pytest.mark.parametrize("one_pass", [False, True], ids=["cache", "one-pass"])
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_it_is_taught_end_to_end(name, one_pass):
    system = assembled(name).train()
    geometry = system.backbone.geometry((64, 48))
    masks = torch.zeros(1, geometry.padded[1] // 4, geometry.padded[0] // 4)
    masks[0, 2:8, 3:9] = 1
    truth = Truth((masks,), geometry, "the red milk on the box")
    pictures = OnePicture(np.full((48, 64, 3), 90, np.uint8))
    batch = Batch(pictures, (0,), (0,), (system.converse(["the red mug"]),), (truth,))
    if one_pass:
        system.backbone.decoder.gradient_checkpointing_enable()
    losses = Step(system, text="all", one_pass=one_pass)(batch)
    assert all(torch.isfinite(v) for v in losses.values()) and len(losses) >= 3
    sum(losses.values()).backward()
    reached = {n.split(".")[0] for n, p in system.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached == {"backbone", "head"}
    layers = [p for n, p in system.backbone.decoder.named_parameters() if "layers.0" in n and p.grad is not None]
    assert layers and all(torch.isfinite(p.grad).all() for p in layers)


def _published(name):
    """The system at its published size, on the meta device; only the tokenizer is a small one."""
    import transformers as t

    from refseg_ros.models.backbones import published as p
    from refseg_ros.models.backbones.internvl import InternVLBackbone
    from refseg_ros.models.backbones.llava_sam import LlavaSamBackbone
    from refseg_ros.models.backbones.phi_swin import PhiSwinBackbone
    from refseg_ros.models.backbones.qwen3_vl import Qwen3VLBackbone

    words = tiny_transformers.tokenizer()
    with torch.device("meta"):
        if name == "qwen3vl_seg":
            backbone = Qwen3VLBackbone(t.Qwen3VLForConditionalGeneration(p.qwen3_vl_4b()), words)
        elif name == "gsva":
            sam = t.SamVisionModel(p.sam_vit_h())
            backbone = LlavaSamBackbone(t.LlavaForConditionalGeneration(p.llava_7b()), sam, words)
        elif name == "mllmseg":
            backbone = InternVLBackbone(t.InternVLForConditionalGeneration(p.internvl_8b()), words)
        else:
            backbone = PhiSwinBackbone(t.PhiForCausalLM(p.phi_1_5()), t.SwinBackbone(p.swin_b()), words)
        return KINDS[name].system(backbone, {})


@pytest.mark.parametrize(("name", "backbone_millions", "head_millions"), [
    ("qwen3vl_seg", (4400, 4480), (17 * 0.95, 17 * 1.05)), ("mllmseg", (8000, 8150), (34.4 * 0.98, 34.4 * 1.02)),
    ("gsva", (7670, 7730), (17, 25)), ("mvp_lm", (1500, 1560), (20, 45)),
])  # fmt: skip
def test_each_is_built_at_its_published_size(name, backbone_millions, head_millions):
    system = _published(name)

    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    assert backbone_millions[0] <= millions(system.backbone) <= backbone_millions[1]
    assert head_millions[0] <= millions(system.head) <= head_millions[1], millions(system.head)
    names = [n for n, _ in system.named_parameters()]
    for stage in read_config(CONFIGS / f"{name}_full.yaml").stages:
        assert set(stage.rates) <= {part_of(n) for n in names} and set(stage.frozen) <= set(names)
