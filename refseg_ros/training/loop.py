"""What both stages share: a run by the clock, one-cycle learning rate, moving average, checkpoints, curves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from refseg_ros.training.config import TrainingConfig

REPORT_S = 150  # validation takes seconds, and its time is not training time


def train(
    module: nn.Module, name: str, config: TrainingConfig, step: Callable[[], dict[str, Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
) -> nn.Module:
    """Train for config.minutes (checkpointed time counts) and return the moving average of the weights.

    step() gives the losses of one batch by name; their sum is minimised. The checkpoint <work>/<name>.pt resumes.
    """  # fmt: skip
    checkpoint = config.work / f"{name}.pt"
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=0.02)
    follow = torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=follow)
    spent, steps, curve = 0.0, 0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        spent, steps, curve = state["spent"], state["steps"], state["curve"]
    total, last_report = config.minutes * 60, 0.0
    running: dict[str, float] = {}
    mark = time.monotonic()
    module.train()
    while spent < total:
        share = spent / total
        rate = config.learning_rate * min(1.0, (steps + 1) / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = step()
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(module.parameters(), 2.0)
        optimizer.step()
        average.update_parameters(module)
        steps += 1
        for key, value in losses.items():
            running[key] = 0.98 * running.get(key, float(value.detach())) + 0.02 * float(value.detach())
        now = time.monotonic()
        spent, mark = spent + now - mark, now
        if spent - last_report > REPORT_S or spent >= total:
            last_report = spent
            figures = validate(average.module)
            curve.append({"step": steps, "seconds": spent, **running, **figures})
            shown = ", ".join(f"{k} {v:.3f}" for k, v in {**running, **figures}.items())
            print(f"{name}: {spent / 60:.1f} of {config.minutes:g} min, step {steps}: {shown}", flush=True)
            partial = checkpoint.with_suffix(".partial")
            torch.save(
                {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state_dict(),
                 "spent": spent, "steps": steps, "curve": curve}, partial,
            )  # fmt: skip
            partial.rename(checkpoint)
            draw_curve(curve, config.work / f"{name}.png")
            module.train()
            mark = time.monotonic()
    return average.module


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
    """The moving average of a checkpoint, under the module's own names."""
    state = torch.load(checkpoint, weights_only=False)["average"]
    return {k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")}
