"""What all stages share: a run by the clock, through Accelerate: one-cycle learning rate, moving average, curves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast
from torch import Tensor, nn

from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.kept import load, of_start, save
from refseg_ros.training.runs import ConfigError

REPORT_S = 150  # validation takes seconds, and its time is not training time


def processes() -> PartialState:
    """This run's processes, as Accelerate started them; one without it."""
    return PartialState(cpu=not torch.cuda.is_available())


def seed_of(config: TrainingConfig, checkpoint: Path) -> int:
    """For what is drawn in this process from here on: another seed after each resumption and in each process."""
    return config.seed + steps_of(checkpoint) + 1_000_003 * processes().process_index


def train(
    module: nn.Module, name: str, config: TrainingConfig, step: Callable[[nn.Module], dict[str, Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
) -> None:
    """Train for config.minutes or steps (what a checkpoint has spent counts); <work>/<name>.pt holds all, and resumes.

    step() is given the module to call, on its device, and gives the losses of one batch by name; their sum is
    minimised. The checkpoint keeps the moving average of the weights where validate()'s first figure was best.
    Without minutes or steps the module is kept as it is.
    """  # fmt: skip
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="bf16")
    checkpoint = config.work / f"{name}.pt"
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=0.02)
    module.to(accelerator.device)
    follow = torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=follow)
    spent, steps, curve = 0.0, 0, []
    best: dict[str, Any] = {"value": -math.inf, "weights": {}}
    if checkpoint.exists():
        state = load(checkpoint, accelerator.device)
        try:
            module.load_state_dict(state["module"])
            optimizer.load_state_dict(state["optimizer"])
            average.load_state_dict(state["average"])
            spent, steps, curve, best = state["spent"], state["steps"], state["curve"], state["best"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            message = f"{checkpoint} is a checkpoint of something else; choose another work, or delete it."
            raise ConfigError(message) from error
    prepared, optimizer = accelerator.prepare(module, optimizer)
    last_report = 0.0
    running: dict[str, float] = {}
    mark = time.monotonic()
    module.train()
    share, begun_from = _share(config, steps, spent), of_start(config.start)

    def keep() -> None:
        parts = {"module": module, "optimizer": optimizer, "average": average}
        held = {"spent": spent, "steps": steps, "curve": curve, "best": best, "start": begun_from}
        save(checkpoint, {name: part.state_dict() for name, part in parts.items()} | held)

    if share >= 1 and not checkpoint.exists() and accelerator.is_main_process:
        best["weights"] = _of(average)
        keep()
    while share < 1:
        rate = config.learning_rate * min(1.0, (steps + 1) / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = step(prepared)
        optimizer.zero_grad()
        accelerator.backward(torch.stack(list(losses.values())).sum())
        accelerator.clip_grad_norm_(module.parameters(), 2.0)
        optimizer.step()
        average.update_parameters(module)
        steps += 1
        for key, value in losses.items():
            running[key] = 0.98 * running.get(key, float(value.detach())) + 0.02 * float(value.detach())
        now = time.monotonic()
        spent, mark = agreed(accelerator, spent + now - mark), now
        share = _share(config, steps, spent)
        if spent - last_report > REPORT_S or share >= 1:
            last_report = spent
            if accelerator.is_main_process:
                figures = validate(average.module)
                curve.append({"step": steps, "seconds": spent, **running, **figures})
                shown = ", ".join(f"{k} {v:.3f}" for k, v in {**running, **figures}.items())
                print(f"{name}: {spent / 60:.1f} min, {share:.0%}, step {steps}: {shown}", flush=True)
                if (first := next(iter(figures.values()))) >= best["value"]:
                    best = {"value": first, "weights": _of(average)}
                keep()
                draw_curve(curve, config.work / f"{name}.png")
            accelerator.wait_for_everyone()
            module.train()
            mark = time.monotonic()
    accelerator.free_memory()


def _share(config: TrainingConfig, steps: int, spent: float) -> float:
    """How much of the stage is done, 1 for all."""
    if config.steps:
        return steps / config.steps
    return spent / (60 * config.minutes) if config.minutes else 1.0


def agreed(accelerator: Accelerator, seconds: float) -> float:
    """The first process's clock, so that all of them end at the same step."""
    if accelerator.num_processes == 1:
        return seconds
    return float(broadcast(torch.tensor(seconds, dtype=torch.float64, device=accelerator.device)))


def _of(average: nn.Module) -> dict[str, Tensor]:
    """A copy of a moving average, under the module's own names."""
    named = average.state_dict()
    return {k.removeprefix("module."): v.cpu().clone() for k, v in named.items() if k.startswith("module.")}


def draw_curve(curve: list[dict[str, float]], path: Path) -> None:
    """Losses and validation figures over the steps, one panel each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [key for key in curve[-1] if key not in ("step", "seconds")]
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names), 2.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        axis.plot([c["step"] for c in curve], [c.get(name, float("nan")) for c in curve])
        axis.set_title(name)
        axis.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def averaged(checkpoint: Path) -> dict[str, Tensor]:
    """The best moving average of a checkpoint, under the module's own names. Raises ConfigError for a damaged one."""
    return dict(_of_checkpoint(checkpoint, "best")["weights"])


def steps_of(checkpoint: Path) -> int:
    """Steps a stage has been trained for; none without a checkpoint. Raises ConfigError for a damaged one."""
    return int(_of_checkpoint(checkpoint, "steps")) if checkpoint.exists() else 0


def _of_checkpoint(checkpoint: Path, name: str) -> Any:
    state = load(checkpoint)
    if not isinstance(state, dict) or name not in state:
        raise ConfigError(f"{checkpoint} is no checkpoint of a stage; choose another work, or delete it.")
    return state[name]
