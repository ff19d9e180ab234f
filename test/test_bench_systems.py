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


REPORT = {
    "gIoU": 0.5, "cIoU": 0.4, "N_acc": 0.6, "T_acc": None, "Pr@0.7": 0.3, "Pr@0.8": 0.2, "Pr@0.9": 0.1,
    "box_accuracy": 0.7, "GREC_F1_is_1": 0.4, "intervals_95": {"gIoU": [0.4, 0.6]},
    "by_type": {"name": {"count": 7, "gIoU": 0.25}},
}  # fmt: skip


def test_the_tables_hold_every_model_once_and_variants_in_a_table_of_their_own():
    from refseg_ros.evaluation.comparison import Entry, ablation_table, kinds_table, main_table, markdown

    words = {"PQ": 0.2, "PQ_things": 0.1, "PQ_stuff": 0.9, "AP": 0.05}
    more = REPORT | {"by_type": REPORT["by_type"] | {"pair": {"count": 3, "gIoU": 0.75}}}
    entries = [
        Entry(name="gsva", report=more, parameters=7_000_000, ms={"first": 50.0, "further": 20.04}),
        Entry(name="mvp_lm", report=REPORT | {"word_lists": words}),
        Entry(name="gsva-whole", report=REPORT, about="nothing", of="gsva"),
        Entry(name="gsva-no_rejection", report=REPORT | {"N_acc": 0.0}, about="without [REJ]", of="gsva"),
    ]
    table = main_table(entries)
    assert [row[0] for row in table] == ["model", "gsva", "mvp_lm"] and {len(row) for row in table} == {len(table[0])}
    assert table[1][-3:] == ["7.00M", "50.0", "20.0"] and "0.900" in table[2] and "0.500 [0.40, 0.60]" in table[1]
    kinds = kinds_table(entries)
    assert kinds == [["kind", "count", "gsva", "mvp_lm"], ["name", "7", "0.250", "0.250"], ["pair", "3", "0.750", "-"]]
    parts = ablation_table(entries)
    assert [row[:2] for row in parts[1:]] == [["gsva", "nothing"], ["gsva", "without [REJ]"]]
    lines = markdown(table).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1


def test_the_comparison_evaluates_times_and_shows_what_is_finished(bench, tmp_path, monkeypatch):
    """With an untrained system, a small dataset and no training."""
    import cv2
    import numpy as np

    from refseg_ros.core.protocol import Thresholds
    from refseg_ros.models.base import Segmenter
    from refseg_ros.models.systems.assemble import assemble
    from refseg_ros.models.systems.model import SystemModel

    module = bench("compare_systems")
    known = module.runs()
    assert {"compact_vlm", *module.MAIN, "gsva-no_rejection", "qwen3vl_seg-one_pass"} <= set(known)
    (tmp_path / "rgb").mkdir()
    (tmp_path / "mask").mkdir()
    cv2.imwrite(str(tmp_path / "rgb/0.png"), np.full((60, 80, 3), 90, np.uint8))
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 10:30] = 255
    cv2.imwrite(str(tmp_path / "mask/0.png"), mask)
    cv2.imwrite(str(tmp_path / "ids.png"), (mask > 0).astype(np.uint16))
    line = {"image": "rgb/0.png", "depth": None, "camera": None, "instruction": "the mug", "type": "name",
            "phrases": ["the mug"], "targets": [{"phrase": 0, "mask": "mask/0.png"}]}  # fmt: skip
    (tmp_path / "index.jsonl").write_text(module.json.dumps(line))
    names = [f"thing {n}" for n in range(14)]
    segments = [{"id": 1, "name": names[0], "stuff": False}]
    rows = [{"image": "rgb/0.png", "panoptic": "ids.png", "segments": segments}]
    (tmp_path / "panoptic.jsonl").write_text("\n".join(map(module.json.dumps, rows)))
    head = {"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "queries": 5, "stuff_queries": 2}
    small = {"backbone": {"width": 32, "layers": 1, "heads": 2}, "head": head}
    torch.manual_seed(0)
    model = SystemModel("mvp_lm", assemble("mvp_lm", "compact", small), Thresholds())
    weights = tmp_path / "mvp_lm.safetensors"
    weights.touch()
    weights.with_suffix(".json").write_text('{"parameters": 5}')
    nowhere = tmp_path / "nowhere"
    monkeypatch.setattr(module.Run, "weights", property(lambda run: weights if run.name == "mvp_lm" else nowhere))
    monkeypatch.setattr(module, "_loaded", lambda run: Segmenter(model))
    monkeypatch.setattr(model, "close", lambda: None)
    module.evaluate_runs(tmp_path, only="mvp_lm,gsva", out=tmp_path / "out")
    found = module.json.loads((tmp_path / "out/mvp_lm.json").read_text())
    assert found["report"]["count"] == 1 and found["report"]["word_lists"]["count"] == 1 and "0" in found["pictures"]
    assert not (tmp_path / "out/gsva.json").exists()
    module.report(tmp_path, rounds=1, out=tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert "the mug" in page and page.count("data:image/jpeg") == 2
    assert all("mvp_lm" in (tmp_path / f"out/{name}.md").read_text() for name in ("table", "kinds"))
    sheet = cv2.imread(str(tmp_path / "out/side_by_side.jpg"))
    assert sheet.shape[1] == 300 and sheet.shape[0] > 300  # one model, its name and one request
