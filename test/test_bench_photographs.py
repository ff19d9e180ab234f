"""`bench/photographs.py`: every noun asked of pictures in a folder, counted against what is in them."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import typer

pytest.importorskip("torch")

from refseg_ros.core.types import Instance
from refseg_ros.sim.catalogue import nouns

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("bench_photographs", ROOT / "bench" / "photographs.py")
photographs = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = photographs  # dataclasses look their module up
spec.loader.exec_module(photographs)


def test_every_noun_is_asked_and_nothing_is_found_in_noise(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    (tmp_path / "one").mkdir()
    cv2.imwrite(str(tmp_path / "one" / "noise.png"), noise)
    told = {"one/*": {"there": {"lemon": [[0, 0, 20, 20]]}, "arguable": ["bowl"]}, "*": {"there": {}, "arguable": []}}
    (tmp_path / "truth.json").write_text(json.dumps(told))
    photographs.main(tmp_path, tmp_path / "truth.json", tmp_path / "out", None)
    (row,) = json.loads((tmp_path / "out" / "photographs.json").read_text())
    assert row["file"] == "one_noise.png" and row["absent"] == len(set(nouns())) - 2
    assert (row["there"], row["boxed"], row["found"], row["in_place"]) == (1, 1, 0, 0)
    assert len(row["wrong"]) <= 1 and "bowl" not in row["wrong"]
    assert cv2.imread(str(tmp_path / "out" / "one_noise.png")).shape[1] == 160
    assert "said to be there" in capsys.readouterr().out


def test_an_answer_is_in_place_where_a_box_agrees():
    one = Instance(1, 0, 0.9, np.ones((20, 10), np.bool_), (5, 5))
    answer = SimpleNamespace(instances=(one,))
    assert photographs.in_place(answer, [(100, 100, 110, 120), (5, 5, 15, 25)])
    assert not photographs.in_place(answer, [(5, 5, 15, 12)]) and not photographs.in_place(answer, [])


@pytest.mark.parametrize("truth", sorted((ROOT / "bench" / "photographs").glob("*.json")), ids=lambda p: p.stem)
def test_the_truths_that_come_with_it_are_of_the_catalogue(truth, tmp_path):
    first = next(iter(json.loads(truth.read_text()))).replace("*", "x")
    (tmp_path / first).parent.mkdir()
    cv2.imwrite(str(tmp_path / f"{first}.png"), np.zeros((8, 8, 3), np.uint8))
    (shows,) = photographs.photographs(tmp_path, truth).values()
    assert shows.there and shows.arguable
    assert all(x0 < x1 and y0 < y1 for boxes in shows.there.values() for x0, y0, x1, y1 in boxes)


def test_a_noun_nobody_knows_is_a_wrong_command_line(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "t.json").write_text('{"*": {"there": {"spaceship": []}, "arguable": []}}')
    with pytest.raises(typer.BadParameter, match="spaceship"):
        photographs.photographs(tmp_path, tmp_path / "t.json")


def test_a_folder_without_pictures_is_a_wrong_command_line(tmp_path):
    with pytest.raises(typer.BadParameter, match="holds no PNG or JPEG"):
        photographs.photographs(tmp_path, None)
