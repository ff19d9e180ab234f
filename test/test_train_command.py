"""`refseg train`: a configuration is checked before anything starts, and every trainer gets what its file says."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refseg_ros.cli.main import run as cli
from refseg_ros.models.compact import SHIPPED
from refseg_ros.training import runs
from refseg_ros.training.runs import TRAINERS, ConfigError, Trainer, read_yaml, run_config

EXAMPLES = sorted((Path(__file__).parent.parent / "config" / "training").glob("*.yaml"))
GOOD = """\
model: single-mask
scenes: {folder}/scenes
work: {folder}/work
threads: 1
stages:
  masks: {{minutes: 0.01, batch: 4, learning_rate: 1.0e-3}}
"""


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "scenes" / split).mkdir(parents=True)
        (tmp_path / "scenes" / split / "scene_0000000.npz").touch()
    return tmp_path


def train(folder, text):
    (folder / "c.yaml").write_text(text)
    return cli(["train", "--config", str(folder / "c.yaml")])


def test_a_trainer_gets_what_the_file_says(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "TRAINERS", {"single-mask": Trainer(("masks",), seen.append)})
    assert train(folder, GOOD.format(folder=folder)) == 0
    (config,) = seen
    stage = config.stage("masks")
    assert (stage.batch, stage.learning_rate, stage.minutes, stage.threads) == (4, 1e-3, 0.01, 1)
    assert stage.scenes == folder / "scenes" and config.target is None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_the_examples_are_configurations(example):
    content = read_yaml(example)
    trainer = TRAINERS[content.pop("model")]
    config = run_config(content, trainer)
    assert set(config.stages) == set(trainer.stages)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: single-mask", "model: giant", "model must be one of compact, single-mask"),
        ("model: single-mask", "", "not None"),
        ("threads: 1", "threads: many", "threads must be of type int, not 'many'"),
        ("threads: 1", "threads: 0", "at least 1"),
        ("threads: 1", "colour: red", "no field 'colour'"),
        ("batch: 4", "batch: 0", "batch >= 1"),
        ("batch: 4", "batch: 4.5", "stages.masks: batch must be of type int"),
        ("batch: 4, ", "", "lacks the field 'batch'"),
        ("learning_rate: 1.0e-3", "learning_rate: 3", "learning_rate in (0, 1)"),
        ("  masks:", "  other:", "stages must name masks"),
        ("stages:", "stages: [", "is not YAML"),
        ("/scenes", "/nowhere", "generate the scenes"),
        ("threads: 1", "threads: 1\nstart: none.safetensors", "there is no weights file none.safetensors"),
        ("threads: 1", "threads: 1\nstart: {folder}/c.yaml", "single-mask is always trained from nothing"),
        ("minutes: 0.01", "minutes: 0", "name weights under start"),
    ],
)
def test_a_wrong_configuration_is_a_wrong_command_line(folder, capsys, old, new, said):
    text = GOOD.format(folder=folder)
    assert old in text
    assert train(folder, text.replace(old, new.format(folder=folder), 1)) == 64
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not (folder / "work").exists()


@pytest.fixture
def compact(folder, monkeypatch):
    """A configuration that goes on from weights, and the runs that were begun."""
    begun = []
    stages = ("instances", "reading", "language")
    monkeypatch.setattr(runs, "TRAINERS", {"compact": Trainer(stages, begun.append, starts=True)})
    stage = "{minutes: 1, batch: 4, learning_rate: 1.0e-3}"
    (folder / "compact.yaml").write_text(
        f"model: compact\nscenes: {folder}/scenes\nwork: {folder}/work\ntarget: {folder}/out/w.safetensors\n"
        f"start: {folder}/start.safetensors\nstages: {{{', '.join(f'{s}: {stage}' for s in stages)}}}\n"
    )
    shutil.copy(SHIPPED, folder / "start.safetensors")
    shutil.copy(SHIPPED.with_suffix(".json"), folder / "start.json")
    return begun


def test_a_run_that_can_be_finished_begins_and_nothing_is_made_before(folder, compact):
    assert cli(["train", "--config", str(folder / "compact.yaml")]) == 0
    assert len(compact) == 1 and not (folder / "work").exists() and not (folder / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "start.json").unlink(), "start: The card"),
        (lambda f: (f / "start.json").write_text('{"sha256": "0"}'), "is not the one its card describes"),
        (lambda f: _cut(f / "start.safetensors"), "start.safetensors cannot be read"),
        (lambda f: (f / "work").touch(), "work: {f}/work cannot be written to"),
        (lambda f: (f / "out").touch(), "target: {f}/out cannot be written to"),
        (lambda f: (f / "out" / "w.safetensors").mkdir(parents=True), "out/w.safetensors is a folder"),
        (lambda f: _half(f / "work" / "reading.pt"), "work/reading.pt is damaged"),
        (lambda f: _begun(f / "work" / "language.pt", None), "start: {f}/work/language.pt was begun from something"),
    ],
)
def test_what_would_fail_after_hours_is_said_before_the_first_stage(folder, compact, capsys, spoil, said):
    spoil(folder)
    assert cli(["train", "--config", str(folder / "compact.yaml")]) == 64
    err = capsys.readouterr().err
    assert said.format(f=folder) in err and err.count("\n") == 1 and compact == []


def test_a_run_goes_on_from_what_was_begun_with_the_same(folder, compact):
    _begun(folder / "work" / "instances.pt", folder / "start.safetensors")
    assert cli(["train", "--config", str(folder / "compact.yaml")]) == 0 and len(compact) == 1


def _begun(checkpoint, start):
    """A stage trained for one step, from these weights or from nothing."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    from refseg_ros.training import loop
    from refseg_ros.training.config import TrainingConfig

    checkpoint.parent.mkdir()
    told = TrainingConfig(checkpoint.parents[1] / "scenes", checkpoint.parent, steps=1, start=start)
    step = lambda m: {"loss": m(torch.ones(4, 2)).pow(2).mean()}  # noqa: E731
    loop.train(torch.nn.Linear(2, 1), checkpoint.stem, told, step, lambda m: {"figure": 1.0})


def _cut(weights):
    """Half a file whose hash is right all the same."""
    weights.write_bytes(weights.read_bytes()[:1000])
    weights.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}))


def _half(checkpoint):
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"half")


STAGES = """\
import os, sys, time
from pathlib import Path
from refseg_ros.training.beside import together
from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.runs import ConfigError

def waits(told):
    time.sleep(100)

def says_who_it_is(told):
    (told.work / "pid.partial").write_text(str(os.getpid()))
    (told.work / "pid.partial").rename(told.work / "pid")
    time.sleep(100)

def fails(told):
    raise ConfigError("reading.pt is damaged")

def ends(told):
    pass

if __name__ == "__main__":
    told = TrainingConfig(Path(sys.argv[1]), Path(sys.argv[2]))
    first, second = (globals()[name] for name in sys.argv[3:])
    together(2, first, told, second, told)
"""


def side_by_side(folder, first, second):
    """A process with two stages."""
    (folder / "stages.py").write_text(STAGES)
    (folder / "work").mkdir()
    command = [sys.executable, str(folder / "stages.py"), str(folder / "scenes"), str(folder / "work"), first, second]
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def within(seconds, done):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
    return done()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_run_that_is_ended_leaves_no_stage_running(folder, how, code):
    process = side_by_side(folder, "waits", "says_who_it_is")
    assert within(90, (folder / "work" / "pid").exists), process.poll()
    second = int((folder / "work" / "pid").read_text())
    assert is_running(second)
    process.send_signal(how)
    assert process.wait(60) == code
    assert within(60, lambda: not is_running(second))
    assert "Traceback" not in process.communicate()[1]


def test_a_stage_that_fails_beside_the_other_says_why_in_a_sentence(folder):
    process = side_by_side(folder, "ends", "fails")
    err = process.communicate(timeout=120)[1]
    assert err.startswith("refseg: reading.pt is damaged\n") and process.returncode == 1
    assert "ConfigError: the stage in __main__ failed (exit code 1) and said why above" in err


def test_missing_files_and_scenes_are_named(folder, capsys):
    assert cli(["train", "--config", str(folder / "none.yaml")]) == 64
    (folder / "scenes" / "val" / "scene_0000000.npz").unlink()
    assert train(folder, GOOD.format(folder=folder)) == 64
    err = capsys.readouterr().err
    assert "none.yaml cannot be read" in err and "val holds 0 scene_*.npz, and 1 are needed" in err


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="fields with values"):
        read_yaml(tmp_path / "c.yaml")
