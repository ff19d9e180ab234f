"""The bench's arithmetic and files. No time is asserted."""

import itertools
import json

import pytest
from core_fakes import FakeModel

from refseg_ros.cli.main import run as cli
from refseg_ros.core.instruction import parse
from refseg_ros.evaluation.speed import MANY, SIZES, drawn_table, frame_of, high_water_mb, measure, unheard


def test_every_row_is_measured_as_often_and_nothing_is_said_twice():
    heard = []

    class Listening(FakeModel):
        def decode(self, encoded, phrases):
            heard.append([p.text for p in phrases])
            return super().decode(encoded, phrases)

    model = Listening()
    out = measure(model, [drawn_table()], rounds=2)
    assert set(out["sizes"]) == {"640x480", "1280x720"}
    rows = set(out["sizes"]["640x480"])
    assert rows == {"encode", "first_phrase", "further_phrase", "again", "ten_phrases", "request_1", "request_10"}
    assert model.encoded == 3 * len(SIZES) * 3  # rounds and one to warm up; by itself and in two requests
    assert [len(texts) for texts in heard[:6]] == [1, 1, 1, MANY, 1, MANY]
    once = [t for k, texts in enumerate(heard) for t in texts if k % 6 != 2]
    assert len(set(once)) == len(once)
    assert set(out["ratios"]) >= {"further_phrase_to_first", "encode_1280x720_to_640x480"}


def test_the_phrases_are_single_things_and_their_list_is_read_as_ten():
    texts = list(unheard())
    assert len(set(texts)) == len(texts) >= 500
    for start in range(0, len(texts), MANY):
        joined = " and ".join(texts[start : start + MANY])
        assert [p.text for p in parse(joined)] == texts[start : start + MANY]


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_has_depth_and_a_camera_of_its_size(size):
    frame = frame_of(drawn_table(), size)
    assert frame.size == size and frame.depth.shape == size[::-1] and frame.intrinsics.width == size[0]


def test_the_command_writes_its_table(tmp_path, monkeypatch, capsys):
    models = pytest.importorskip("refseg_ros.models")
    from refseg_ros.models.base import Segmenter

    monkeypatch.setattr(models, "load", lambda *a, **k: Segmenter(FakeModel()))
    out = tmp_path / "b" / "bench.json"
    assert cli(["bench", "--json", str(out), "--rounds", "1", "--threads", "1"]) == 0
    report = json.loads(out.read_text())
    assert report["memory_mb"]["high_water"] >= report["memory_mb"]["before_loading"] > 0
    assert "further phrase" in " ".join(itertools.chain(capsys.readouterr().out.split()))
    assert cli(["bench", "--json", str(out), "--dataset", str(tmp_path)]) == 64


def test_memory_only_rises():
    before = high_water_mb()
    assert high_water_mb() >= before > 1
