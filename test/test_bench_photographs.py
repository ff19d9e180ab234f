"""`bench/photographs.py`: every noun asked of pictures in a folder, counted against what is in them."""

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

pytest.importorskip("torch")

from refseg_ros.sim.catalogue import nouns

spec = importlib.util.spec_from_file_location(
    "bench_photographs", Path(__file__).parent.parent / "bench" / "photographs.py"
)
photographs = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = photographs  # dataclasses look their module up
spec.loader.exec_module(photographs)


def test_every_noun_is_asked_and_nothing_is_found_in_noise(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    (tmp_path / "truth.json").write_text(json.dumps({"noise.png": {"there": ["lemon"], "arguable": ["bowl"]}}))
    photographs.main(tmp_path, tmp_path / "out", None)
    (row,) = json.loads((tmp_path / "out" / "photographs.json").read_text())
    assert row["file"] == "noise.png" and row["there"] == ["lemon"] and row["absent"] == len(set(nouns())) - 2
    assert row["absent_found"] <= 1 and "bowl" not in row["found"] + row["uncertain"]
    assert cv2.imread(str(tmp_path / "out" / "noise.png")).shape[1] == 160
    assert "said to be there" in capsys.readouterr().out


def test_a_folder_without_pictures_is_a_wrong_command_line(tmp_path):
    with pytest.raises(typer.BadParameter, match="holds no PNG or JPEG"):
        photographs.main(tmp_path, tmp_path / "out", None)
