"""What the parts of the compact model are worth: each variant trained for the same steps on the same scenes, one table.

    python bench/ablations.py --config config/training/compact.yaml [--steps 4000] [--mask-steps 800] [--only NAME]

The configuration's `work` must hold stage one (`instances.pt`). Variants resume, and are kept in work/ablations. The
steps are far fewer than those of the weights that ship: rows compare with each other only. Words are judged on found
masks of the validation scenes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from refseg_ros.models.compact.backbone import Backbone
from refseg_ros.models.compact.instances import InstanceHead
from refseg_ros.models.compact.language import LAYERS, LanguageHead
from refseg_ros.training import instances
from refseg_ros.training.config import TrainingConfig, training_files
from refseg_ros.training.language import Lessons, evaluate, lessons, teach
from refseg_ros.training.loop import averaged, train
from refseg_ros.training.pictures import batches, plain
from refseg_ros.training.runs import TRAINERS, read_yaml, run_config

HARD = frozenset({"absent-attribute", "absent-relation", "absent-count", "half-absent"})
Heads = dict[str, tuple[Callable[[], LanguageHead], frozenset[str]]]
HEADS: Heads = {
    f"{LAYERS} layers, fused (ships)": (LanguageHead, frozenset()),
    "2 layers": (lambda: LanguageHead(layers=2), frozenset()),
    "1 layer": (lambda: LanguageHead(layers=1), frozenset()),
    "6 layers": (lambda: LanguageHead(layers=6), frozenset()),
    "no fusion: words meet things at the end": (lambda: LanguageHead(fused=False), frozenset()),
    "no hard negatives": (LanguageHead, HARD),
}
BACKBONES = {"frozen backbone (ships)": False, "backbone trained, too": True}


class Whole(nn.Module):
    """Backbone and head as one module, so that one optimiser may have both."""

    def __init__(self, trained: bool) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(trained), InstanceHead()

    def forward(self, image_bchw: Tensor, detail_bchw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out: tuple[Tensor, Tensor, Tensor] = self.head(self.backbone(image_bchw), detail_bchw)
        return out


def language_row(name: str, config: TrainingConfig, about: Lessons) -> dict[str, float]:
    """Train one head, and judge the best it was."""
    make, without = HEADS[name]
    torch.manual_seed(config.seed)
    head = make()
    teach(_file(name), config, head, about, without)
    head.load_state_dict(averaged(config.work / f"{_file(name)}.pt"))
    return evaluate(head, about.judged, about.asked)


def mask_row(name: str, config: TrainingConfig) -> dict[str, float]:
    """Train one head with its backbone, and judge the best it was."""
    torch.manual_seed(config.seed)
    whole, rng = Whole(BACKBONES[name]), torch.Generator().manual_seed(config.seed)
    drawn = batches(training_files(config.scenes / "train", config.most_scenes), config.batch, config.seed, 0)
    shown = [plain(p) for p in training_files(config.scenes / "val", instances.VALIDATION_SCENES)]

    def step(module: nn.Module) -> dict[str, Tensor]:
        batch = instances.without_some_depth(next(drawn), config.depth_dropout, rng)
        return instances.losses(module(batch.image, batch.detail), batch.ids, rng)

    def judged(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Whole)
        return instances.evaluate(module.head, module.backbone, shown)

    train(whole, _file(name), config, step, judged)
    whole.load_state_dict(averaged(config.work / f"{_file(name)}.pt"))
    return judged(whole)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def main(
    config: Annotated[Path, typer.Option(help="The compact model's training configuration.")],
    steps: Annotated[int, typer.Option(help="Of each language variant.")] = 4000,
    mask_steps: Annotated[int, typer.Option(help="Of each backbone variant; 0 leaves them out.")] = 800,
    only: Annotated[str, typer.Option(help="Variants whose name holds this.")] = "",
) -> None:
    """Train and judge the variants."""
    content = read_yaml(config)
    trainer = TRAINERS[content.pop("model")]
    run = run_config(content, trainer)
    torch.set_num_threads(run.threads)
    told, masks = run.stage("reading"), run.stage("instances")
    work = told.work / "ablations"
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "ablations.json"
    results: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    names = [n for n in HEADS if only in n]
    about = lessons(told, found=True) if names else None
    for name in names:
        assert about is not None
        results[name] = language_row(name, replace(told, work=work, steps=steps), about)
    for name in BACKBONES if mask_steps else ():
        if only in name:
            results[name] = mask_row(name, replace(masks, work=work, steps=mask_steps))
    kept.write_text(json.dumps(results, indent=1))
    show(results)


def show(results: dict[str, dict[str, float]]) -> None:
    """A table for each kind of variant."""
    for names in (HEADS, BACKBONES):
        rows = {n: results[n] for n in names if n in results}
        if not rows:
            continue
        table = Table("variant", *next(iter(rows.values())))
        for name, figures in rows.items():
            table.add_row(name, *(f"{v:.3f}" for v in figures.values()))
        Console().print(table)


if __name__ == "__main__":
    typer.run(main)
