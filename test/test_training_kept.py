"""What training keeps in `work`: never taken for something else, never half a file, damage said in a sentence."""

import os

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from refseg_ros.training import kept, loop, phrases, single_mask, tokens  # noqa: E402
from refseg_ros.training.config import TrainingConfig  # noqa: E402
from refseg_ros.training.kept import load, of_files, of_weights, save  # noqa: E402
from refseg_ros.training.runs import ConfigError  # noqa: E402


class Made:
    """Counts how often something is made."""

    def __init__(self, content="new"):
        self.times, self.content = 0, content

    def __call__(self, *arguments):
        self.times += 1
        return self.content


def test_what_was_made_of_the_same_is_kept_and_all_else_is_made_again(tmp_path, capsys):
    make, path = Made(), tmp_path / "work" / "c.pt"
    for _ in range(2):
        assert kept.kept(path, {"files": "a", "most": 1}, make) == "new"
    assert make.times == 1 and capsys.readouterr().out == ""
    kept.kept(path, {"files": "b", "most": 1}, make)
    assert make.times == 2 and "c.pt is damaged or was made of something else" in capsys.readouterr().out


def test_a_cache_of_before_and_a_cut_off_one_are_made_again(tmp_path):
    make, path = Made(), tmp_path / "c.pt"
    torch.save(["old"], path)  # as it was written without saying what it is made of
    assert kept.kept(path, {}, make) == "new"
    for content in (path.read_bytes()[:-30], b"", b"hello"):
        path.write_bytes(content)
        assert kept.kept(path, {}, make) == "new"
    assert make.times == 4 and kept.kept(path, {}, make) == "new" and make.times == 4


def test_an_interruption_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    save(path, "old")

    def cut(content, file):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(kept.torch, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        save(path, "new")
    assert load(path) == "old"


def test_other_files_and_other_weights_are_told_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    paths = [tmp_path / name for name in "ab"]
    first = of_files(paths)
    assert first == of_files(paths) != of_files(paths[:1]) and of_files(paths) != of_files(paths[::-1])
    os.utime(paths[0], ns=(1, 1))
    assert of_files(paths) != first
    layer = torch.nn.Linear(2, 2)
    before = of_weights(layer)
    assert of_weights(layer) == before
    torch.nn.init.zeros_(layer.bias)
    assert of_weights(layer) != before


@pytest.fixture
def scenes(tmp_path):
    """Two files that stand for scenes."""
    files = [tmp_path / f"scene_{n}.npz" for n in range(2)]
    for file in files:
        file.write_text("a")
    return files


def test_tokens_and_phrases_are_those_of_these_scenes_and_weights(scenes, tmp_path, monkeypatch):
    head, count = torch.nn.Linear(2, 2), iter(range(100))
    monkeypatch.setattr(tokens, "Backbone", lambda: None)
    monkeypatch.setattr(tokens, "load_scene", lambda file: None)
    monkeypatch.setattr(tokens, "plain", lambda file, light: None)
    monkeypatch.setattr(tokens, "picture", lambda *a, **k: None)
    monkeypatch.setattr(tokens, "predict", lambda *a, **k: [])
    monkeypatch.setattr(tokens, "_true", lambda seen: ([], []))
    monkeypatch.setattr(tokens, "tokens", lambda *a: next(count))
    monkeypatch.setattr(phrases, "chosen", lambda paths, most, slips: [[] for _ in paths])
    monkeypatch.setattr(phrases, "_read", lambda of_scene: next(count))

    def all_of_them(paths=scenes):
        return [
            tokens.true_tokens(paths, tmp_path, "train"), tokens.found_tokens(paths, head, tmp_path, "train"),
            phrases.read_phrases(paths, tmp_path, "train", slips=True),
        ]  # fmt: skip

    first = all_of_them()
    assert all_of_them() == first
    torch.nn.init.zeros_(head.bias)  # a later stage one finds other masks
    second = all_of_them()
    assert second[1] != first[1] and (second[0], second[2]) == (first[0], first[2])
    scenes[0].write_text("another scene")
    third = all_of_them()
    assert all(new != old for new, old in zip(third, second, strict=True))
    assert all(new != old for new, old in zip(all_of_them(scenes[:1]), third, strict=True))
    fewer = phrases.read_phrases(scenes, tmp_path, "train", most_of_type=2, slips=True)
    assert fewer != phrases.read_phrases(scenes, tmp_path, "train", slips=True)


def test_maps_of_the_single_mask_are_those_of_these_scenes(scenes, tmp_path, monkeypatch):
    count = iter(range(100))
    monkeypatch.setattr(single_mask, "build", lambda folder, most: next(count))
    work = tmp_path / "work"
    assert [single_mask.cached(tmp_path, work, 5) for _ in range(2)] == [0, 0]
    scenes[1].write_text("another scene")
    assert single_mask.cached(tmp_path, work, 5) == 1


@pytest.mark.parametrize("content", [b"", b"hello", "cut", ["something else"]])
def test_a_checkpoint_that_cannot_be_used_is_named_in_a_sentence(tmp_path, content):
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    told = TrainingConfig(tmp_path / "scenes", tmp_path, steps=1)

    def train():
        step = lambda m: {"loss": m(torch.ones(4, 2)).pow(2).mean()}  # noqa: E731
        loop.train(torch.nn.Linear(2, 1), "toy", told, step, lambda m: {"figure": 1.0})

    train()
    path = tmp_path / "toy.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        torch.save(content, path)
    for use in (train, lambda: loop.averaged(path), lambda: loop.steps_of(path)):
        with pytest.raises(ConfigError, match=r"toy\.pt is .*delete it"):
            use()


def test_a_checkpoint_of_another_model_is_no_traceback(tmp_path):
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    told = TrainingConfig(tmp_path / "scenes", tmp_path, steps=1)
    for size in (2, 3):
        step = lambda m, size=size: {"loss": m(torch.ones(4, size)).pow(2).mean()}  # noqa: E731
        if size == 2:
            loop.train(torch.nn.Linear(size, 1), "toy", told, step, lambda m: {"figure": 1.0})
            continue
        with pytest.raises(ConfigError, match=r"toy\.pt is a checkpoint of something else"):
            loop.train(torch.nn.Linear(size, 1), "toy", told, step, lambda m: {"figure": 1.0})
