"""The benches of the systems run, and what they compare is the same thing."""

import importlib.util
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch):
    def load(name):
        spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look themselves up
        spec.loader.exec_module(module)
        return module

    return load


def test_every_head_has_its_row(bench):
    rows = bench("systems").measured(1)
    assert [r["head"] for r in rows] == ["Qwen3-VL-Seg", "GSVA", "MLLMSeg", "MVP-LM"]
    assert all(r["frame_ms"] > 0 and r["phrase_ms"] > 0 and 0.2 < r["million_parameters"] < 3 for r in rows)


def test_the_stages_of_a_tiny_qwen3_vl_seg_on_any_machine(bench):
    figures = bench("qwen3vl_seg_stages").measured(
        small=True, device="cpu", size=(96, 64), tokens=3, rounds=1, compiled=False, copy_mebibytes=4
    )
    assert figures["same_tokens"] and set(figures["token_ms"]) == {"growing cache", "static cache"}
    stages = (
        "vision_ms",
        "prefill_image_ms",
        "prefill_question_ms",
        "token_floor_ms",
        "mask_frame_ms",
        "mask_phrase_ms",
    )
    assert all(figures[name] > 0 for name in stages) and figures["peak_gb"] > 0


@torch.inference_mode()
def test_a_static_cache_says_what_a_growing_one_says_twice_over(bench):
    stages = bench("qwen3vl_seg_stages")
    backbone, _ = stages.build(True, "cpu", torch.float32)
    geometry = backbone.geometry((96, 64))
    pixels = torch.randn(1, 3, geometry.padded[1], geometry.padded[0])
    growing = stages.Growing(backbone, backbone.prefix(backbone.see(pixels, [geometry])), torch.arange(6)[None])
    static = stages.Static(growing, 9, compiled=False)
    said = stages.decoded(growing, 8)
    assert len(set(said)) > 2 and stages.decoded(static, 8) == said and stages.decoded(static, 8) == said


@torch.inference_mode()
def test_all_of_it_runs_in_bfloat16(bench):
    stages = bench("qwen3vl_seg_stages")
    backbone, head = stages.build(True, "cpu", torch.bfloat16)
    assert {p.dtype for p in [*backbone.parameters(), *head.parameters()]} == {torch.bfloat16}
    geometry = backbone.geometry((96, 64))
    pixels = torch.randn(1, 3, geometry.padded[1], geometry.padded[0], dtype=torch.bfloat16)
    vision = backbone.see(pixels, [geometry])
    grid = backbone.prefix(vision).image_states_bchw
    objects = stages.objects_of(
        [torch.tensor([[0.5, 0.5, 0.2, 0.2]])], [torch.randn(1, backbone.width).bfloat16()], torch.zeros(1).long()
    )
    (masks,) = head(vision.maps, grid, vision.image_bchw, objects).masks
    assert masks.shape == (1, geometry.padded[1] // 4, geometry.padded[0] // 4) and torch.isfinite(masks).all()


def test_only_the_weights_that_a_token_needs_are_counted(bench):
    stages = bench("qwen3vl_seg_stages")
    with torch.device("meta"):
        from transformers import Qwen3VLForConditionalGeneration

        model = Qwen3VLForConditionalGeneration(stages.qwen3_vl_4b())
    backbone = stages.Qwen3VLBackbone(model, stages.words())
    assert stages.read_per_token(backbone) == pytest.approx(4.02e9 * 4, rel=0.01)  # float32; the table counts once
