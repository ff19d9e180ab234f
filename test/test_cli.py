"""The command line: its exit codes, its files, its one sentence on stderr."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from core_fakes import FakeModel, candidate

from refseg_ros import models
from refseg_ros.cli import segmenting
from refseg_ros.cli.main import run
from refseg_ros.cli.segment import EXPORT_NAMES
from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.protocol import PhraseDecoding


@pytest.fixture
def fake(monkeypatch):
    model = FakeModel({"the mug": PhraseDecoding(0.9, (candidate(),))})

    def load(name, device="cpu", weights=None):
        if name == "nothing":
            raise RequestError(ErrorCode.MODEL_UNKNOWN, "There is no model 'nothing'; there are: fake.")
        if name == "broken":
            raise RequestError(ErrorCode.MODEL_WEIGHTS, "The weights at x are missing; run make assets.")
        if name == "bug":
            raise ZeroDivisionError("oops")
        return SimpleNamespace(model=model)

    monkeypatch.setattr(models, "load", load)
    return model


@pytest.fixture
def scene(tmp_path):
    cv2.imwrite(str(tmp_path / "rgb.png"), np.full((48, 64, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((48, 64), 1000, np.uint16))
    (tmp_path / "camera.json").write_text('{"width": 64, "height": 48, "k": [60,0,32,0,60,24,0,0,1]}')
    return tmp_path


def segment(scene, *more, image="rgb.png", instruction="the mug", out="out"):
    base = ["segment", "--image", str(scene / image), "--instruction", instruction, "--out", str(scene / out)]
    return run([*base, *more])


def result(scene):
    return json.loads((scene / "out" / "result.json").read_text())


def test_one_frame(scene, fake, capsys):
    assert segment(scene) == 0
    r = result(scene)
    assert r["outcome"] == "FOUND" and r["model"] == "fake" and r["instances"][0]["object"] is None
    assert sorted(p.name for p in (scene / "out").iterdir()) == ["mask_1.png", "overlay.png", "result.json"]
    assert capsys.readouterr().err == "" and fake.closed == 1


def test_with_depth_and_then_without_leaves_no_stale_file(scene, fake):
    assert segment(scene, "--depth", str(scene / "depth.png"), "--camera", str(scene / "camera.json")) == 0
    assert result(scene)["instances"][0]["object"]["valid"]
    assert (scene / "out" / "object_1.ply").is_file()
    (scene / "out" / "notes.txt").write_text("mine")
    assert segment(scene, instruction="the bowl") == 0
    assert result(scene)["outcome"] == "ABSENT"
    assert sorted(p.name for p in (scene / "out").iterdir()) == ["notes.txt", "overlay.png", "result.json"]


def test_a_planners_input_is_written_beside_the_result_and_not_left_behind(scene, fake):
    in_3d = ("--depth", str(scene / "depth.png"), "--camera", str(scene / "camera.json"))
    exports = [x for name in EXPORT_NAMES for x in ("--export", name)]
    assert segment(scene, *in_3d, *exports) == 0
    made = {"contact_graspnet.npz", "graspgen_1.json", "anygrasp.npz"}
    assert made < {p.name for p in (scene / "out").iterdir()}
    assert segment(scene, *in_3d) == 0
    assert not made & {p.name for p in (scene / "out").iterdir()}


def test_what_a_planner_cannot_use_is_said(scene, fake, capsys, monkeypatch):
    """The result is there, the export is not, and the exit code and a sentence say so."""

    def refuse(frame, segmentation, folder):
        raise ValueError("rectify the images")

    monkeypatch.setattr(segmenting, "EXPORTS", {"anygrasp": refuse})
    in_3d = ("--depth", str(scene / "depth.png"), "--camera", str(scene / "camera.json"))
    assert segment(scene, *in_3d, "--export", "anygrasp") == 2
    assert "anygrasp could not be written: rectify the images." in capsys.readouterr().err
    assert result(scene)["outcome"] == "FOUND"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"instruction": ""}, "INSTRUCTION_EMPTY"),
        ({"instruction": "the mug [SEG]"}, "INSTRUCTION_SPECIAL_TOKENS"),
        ({"image": "none.png"}, "IMAGE_UNREADABLE"),
        ({"image": "camera.json"}, "IMAGE_UNREADABLE"),
        ({"model": "broken"}, "MODEL_WEIGHTS"),
        ({"model": "bug"}, "INTERNAL"),
        ({"depth": "rgb.png"}, "IMAGE_ENCODING"),
        ({"depth": "depth.png", "camera": "rgb.png"}, "CAMERA_INVALID"),
    ],
)
def test_errors_are_written_and_exit_with_two(scene, fake, capsys, more, code):
    extra = ["--model", more["model"]] if "model" in more else []
    if "depth" in more:
        extra += ["--depth", str(scene / more["depth"]), "--camera", str(scene / more.get("camera", "camera.json"))]
    keep = {k: v for k, v in more.items() if k in ("image", "instruction")}
    assert segment(scene, *extra, **keep) == 2
    r = result(scene)
    assert r["outcome"] == "ERROR" and r["error"]["code"] == code and r["instances"] == []
    err = capsys.readouterr().err
    assert code in err and err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["segment"],
        ["segment", "--out", "OUT"],
        ["segment", "--out", "OUT", "--image", "x.png"],
        ["segment", "--out", "OUT", "--image", "x.png", "--instruction", "mug", "--model", "nothing"],
        ["segment", "--out", "OUT", "--image", "x.png", "--instruction", "mug", "--device", "toaster"],
        ["segment", "--out", "OUT", "--image", "x.png", "--instruction", "mug", "--depth", "d.png"],
        ["segment", "--out", "OUT", "--image", "x.png", "--instruction", "mug", "--export", "anygrasp"],
        ["segment", "--out", "OUT", "--image", "x.png", "--instruction", "mug", "--depth", "d", "--camera", "c",
         "--export", "nothing"],
        ["segment", "--out", "OUT", "--image", "x.png", "--frames", "f.jsonl"],
        ["segment", "--out", "OUT", "--frames", "no-such-file.jsonl"],
        ["segment", "--out", "OUT", "--frames", "f.jsonl", "--instruction", "mug"],
        ["segment", "--nonsense"],
        ["scenes", "--out", "OUT", "--count", "0"],
        ["scenes", "--out", "OUT", "--count", "10001"],
        ["scenes", "--out", "OUT", "--count", "1", "--split", "other"],
    ],
)
def test_wrong_command_lines_exit_with_64(tmp_path, fake, capsys, arguments):
    assert run([str(tmp_path / "out") if a == "OUT" else a for a in arguments]) == 64
    err = capsys.readouterr().err
    assert err.startswith("refseg: ") and err.count("\n") == 1


def test_an_output_folder_that_cannot_be_made_is_a_wrong_command_line(scene, fake, capsys):
    assert segment(scene, out="rgb.png") == 64
    assert "rgb.png" in capsys.readouterr().err


@pytest.mark.parametrize("taken", ["result.json", "overlay.png", "mask_1.png"])
def test_a_result_that_cannot_be_written_is_one_sentence(scene, fake, capsys, taken):
    (scene / "out" / taken).mkdir(parents=True)
    assert segment(scene) == 64
    err = capsys.readouterr().err
    assert f"out/{taken}: Is a directory; check --out and the disk" in err and err.count("\n") == 1
    assert not list((scene / "out").glob(".*")), "a part of a file is left behind"
    assert fake.closed == 1


def test_a_line_that_cannot_be_written_is_one_sentence(scene, fake, capsys):
    (scene / "frames.jsonl").write_text(json.dumps({"image": "rgb.png", "instruction": "the mug"}))
    (scene / "out" / "results.jsonl").mkdir(parents=True)
    assert run(["segment", "--frames", str(scene / "frames.jsonl"), "--out", str(scene / "out")]) == 64
    err = capsys.readouterr().err
    assert "results.jsonl: Is a directory; check --out and the disk" in err and err.count("\n") == 1


def test_a_full_disk_is_one_sentence_and_leaves_no_part(scene, fake, capsys, monkeypatch):
    def full(path, data):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert segment(scene) == 64
    err = capsys.readouterr().err
    assert "mask_1.png: No space left on device; check --out and the disk" in err and err.count("\n") == 1
    assert not list((scene / "out").iterdir())


def test_scenes_that_cannot_be_written_are_one_sentence(tmp_path, monkeypatch, capsys):
    def write_dataset(out, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(out / "rgb"))

    monkeypatch.setitem(sys.modules, "refseg_ros.sim.dataset", SimpleNamespace(write_dataset=write_dataset))
    assert run(["scenes", "--out", str(tmp_path), "--count", "1"]) == 64
    assert "rgb: Permission denied; check --out and the disk" in capsys.readouterr().err


def test_many_frames_in_order_encoded_once_an_image(scene, fake, capsys):
    lines = [
        {"image": "rgb.png", "instruction": "the mug", "depth": "depth.png", "camera": "camera.json"},
        {"image": "rgb.png", "instruction": "the bowl", "depth": "depth.png", "camera": "camera.json"},
        "not json",
        {"image": "rgb.png"},
        {"image": "none.png", "instruction": "the mug"},
        {"image": "rgb.png", "instruction": "the mug", "depth": None,
         "camera": {"width": 64, "height": 48, "k": [60, 0, 32, 0, 60, 24, 0, 0, 1]}},
    ]  # fmt: skip
    text = "\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines)
    (scene / "frames.jsonl").write_text(text + "\n\n")
    assert run(["segment", "--frames", str(scene / "frames.jsonl"), "--out", str(scene / "out")]) == 2
    results = [json.loads(t) for t in (scene / "out" / "results.jsonl").read_text().splitlines()]
    assert [r["outcome"] for r in results] == ["FOUND", "ABSENT", "ERROR", "ERROR", "ERROR", "FOUND"]
    assert results[0]["instances"][0]["mask"] == "0000/mask_1.png"
    assert (scene / "out" / "0000" / "mask_1.png").is_file() and (scene / "out" / "0000" / "object_1.ply").is_file()
    assert fake.encoded == 2
    assert "3 of 6 lines" in capsys.readouterr().err


def test_what_was_answered_before_an_interrupt_is_written(scene, fake, monkeypatch):
    from refseg_ros.cli import segmenting

    answer, asked = segmenting.Runner._answer_line, []

    def interrupted(self, line, base):
        asked.append(line)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answer(self, line, base)

    monkeypatch.setattr(segmenting.Runner, "_answer_line", interrupted)
    line = json.dumps({"image": "rgb.png", "instruction": "the mug"})
    (scene / "frames.jsonl").write_text(f"{line}\n{line}\n{line}\n")
    assert run(["segment", "--frames", str(scene / "frames.jsonl"), "--out", str(scene / "out")]) == 130
    (result,) = (scene / "out" / "results.jsonl").read_text().splitlines()
    assert json.loads(result)["outcome"] == "FOUND"


def test_models_lists_what_is_installed(capsys):
    assert run(["models"]) == 0
    assert "compact" in capsys.readouterr().out
    assert run(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["licence"]


def test_scenes_calls_the_generator(tmp_path, monkeypatch, capsys):
    called = {}

    def write_dataset(out, count, seed=0, split="train", workers=2):
        called.update(count=count, seed=seed, split=split, workers=workers)
        return 7

    monkeypatch.setitem(sys.modules, "refseg_ros.sim.dataset", SimpleNamespace(write_dataset=write_dataset))
    assert run(["scenes", "--out", str(tmp_path / "d"), "--count", "2", "--seed", "5", "--split", "val"]) == 0
    assert called == {"count": 2, "seed": 5, "split": "val", "workers": 2}
    assert "7 instructions" in capsys.readouterr().err


def test_it_starts_without_torch_numpy_or_cv2():
    code = (
        "import sys; from refseg_ros.cli.main import run; assert run(['--help']) == 0;"
        "assert not {'torch', 'cv2', 'rclpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
