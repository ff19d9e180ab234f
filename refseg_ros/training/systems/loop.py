"""The loop: stages through Accelerate, on one core or many GPUs, for hours, with checkpoints that resume."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from refseg_ros.models.backbones.base import Backbone
from refseg_ros.models.systems.box_decoder import BoxDecoder
from refseg_ros.models.systems.parts import part_of
from refseg_ros.models.systems.system import System
from refseg_ros.training.loop import agreed, draw_curve, processes
from refseg_ros.training.runs import ConfigError
from refseg_ros.training.systems.aligning import WordAlignment
from refseg_ros.training.systems.batches import Batches
from refseg_ros.training.systems.claiming import claim
from refseg_ros.training.systems.config import StageConfig, SystemTrainingConfig
from refseg_ros.training.systems.drawing import MaskDrawing
from refseg_ros.training.systems.lora import inject, merge
from refseg_ros.training.systems.step import Step


def run(config: SystemTrainingConfig, system: System, train: Batches, validation: Batches) -> list[dict[str, Any]]:
    """Every stage that is not finished yet. Returns the curve: one row a report, as curve.json holds it.

    In config.work: state/ (the newest checkpoint, whole or not at all), curve.json and .png, <stage>.done.
    """
    config.work.mkdir(parents=True, exist_ok=True)
    curve_file = config.work / "curve.json"
    curve: list[dict[str, Any]] = json.loads(curve_file.read_text()) if curve_file.is_file() else []
    for number, stage in enumerate(config.stages):
        run_stage(config, number, stage, system, train, validation, curve)
    return curve


def run_stage(
    config: SystemTrainingConfig,
    number: int,
    stage: StageConfig,
    system: System,
    train: Batches,
    validation: Batches,
    curve: list[dict[str, Any]],
) -> None:
    """One stage from where its checkpoint stands; nothing when it is finished."""
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import DistributedType, set_seed

    done, state = config.work / f"{stage.name}.done", config.work / f"state_{stage.name}"
    tuner = inject(system.backbone.decoder, stage.lora) if stage.lora else None
    if done.is_file():
        _load_finished(system, done)
        if processes().is_main_process:
            claim(config)
        merge(tuner)
        return
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision=config.precision,
        gradient_accumulation_steps=stage.accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )  # fmt: skip
    if accelerator.distributed_type not in (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU):
        raise ConfigError(
            f"each process holds the whole model here, not a share of it as {accelerator.distributed_type.value} does; "
            "choose plain multi-GPU training in accelerate config"
        )
    set_seed(config.seed + number)
    module = _lesson(system, stage)
    _checkpointing(system.backbone, stage.gradient_checkpointing)
    groups = trained_groups(system, stage)
    optimizer = torch.optim.AdamW(groups, betas=stage.betas, weight_decay=stage.weight_decay)
    progress = Progress(stage.name)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: scale_at(step, stage, progress.cpu_seconds))
    # The schedule is not prepared: Accelerate would step it once for each process.
    step_module, optimizer = accelerator.prepare(module, optimizer)
    accelerator.register_for_checkpointing(progress, schedule)
    if newest(state).is_dir():
        try:
            accelerator.load_state(str(newest(state)))
        except (RuntimeError, ValueError, KeyError) as error:
            raise _foreign(newest(state), error) from error
    if accelerator.is_main_process:
        claim(config)  # now that what lay there has been found to fit
    batches = train.drawn(stage, config.seed + 1000 * number, progress.steps, accelerator.process_index)
    mark = last = time.monotonic()
    used = time.process_time()
    step_module.train()
    while progress.left(stage):
        with accelerator.accumulate(step_module):
            losses = step_module(next(batches))
            total = torch.stack([v for v in losses.values()]).sum()
            if not torch.isfinite(total):
                raise ConfigError(
                    f"stage {stage.name}, step {progress.steps}: the loss is {float(total)}; give it lower rates or a "
                    "longer warm_up, and run it again: it goes on from its last report"
                )
            accelerator.backward(total)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_([p for g in groups for p in g["params"]], stage.clip)
            optimizer.step()
            optimizer.zero_grad()
        progress.add(losses | {"total": total})
        if not accelerator.sync_gradients:
            continue
        now, using = time.monotonic(), time.process_time()
        progress.steps += 1
        progress.seconds, mark = progress.seconds + now - mark, now
        progress.cpu_seconds, used = progress.cpu_seconds + agreed(accelerator, using - used), using
        schedule.step()
        # A report is a meeting of all processes: one clock says when.
        if agreed(accelerator, now - last) > config.report or not progress.left(stage):
            figures = validated(step_module, validation, stage, config)
            save_state(accelerator, state)
            if accelerator.is_main_process:
                curve.append(progress.row() | figures)
                print(shown(curve[-1], stage), flush=True)
                write_whole(config.work / "curve.json", json.dumps(curve))
                drawn = [{k: v for k, v in row.items() if k not in ("stage", "cpu_seconds")} for row in curve]
                draw_curve(drawn, config.work / "curve.png")
            step_module.train()
            last, mark, used = time.monotonic(), time.monotonic(), time.process_time()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _save_finished(system, done)
    accelerator.free_memory()
    merge(tuner)


def _checkpointing(backbone: Backbone, wanted: bool) -> None:
    """On or off: a stage before may have left it on, and a decoder that recomputes keeps no cache of the picture."""
    decoder: Any = backbone.decoder
    if wanted:
        decoder.gradient_checkpointing_enable()
    elif getattr(decoder, "is_gradient_checkpointing", False):
        decoder.gradient_checkpointing_disable()


def _lesson(system: System, stage: StageConfig) -> nn.Module:
    """What gives a batch's losses."""
    if stage.teach == "words":
        return WordAlignment(system)
    if stage.teach == "masks":
        if not isinstance(system, BoxDecoder):
            raise ConfigError(f"stage {stage.name}: teach: masks is for box_decoder, which draws what is in a box")
        return MaskDrawing(system)
    return Step(system, stage.text, stage.text_weight, stage.gradient_checkpointing, stage.head_losses, stage.looking)


def trained_groups(system: System, stage: StageConfig) -> list[dict[str, Any]]:
    """Parameter groups, one a part with its rate; everything else is frozen. LoRA's own count as language.

    What is trained is held in float32, whatever precision its checkpoint has: small steps would be lost in less.
    """
    chosen: dict[str, list[nn.Parameter]] = {}
    for name, parameter in system.named_parameters():
        adapter = "lora_" in name
        part = "language" if adapter else part_of(name)
        frozen = name in stage.frozen or (stage.lora is not None and part == "language" and not adapter)
        parameter.requires_grad_(part in stage.rates and not frozen)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            chosen.setdefault(part, []).append(parameter)
    missing = [p for p in stage.rates if p not in chosen]
    if missing:
        raise ConfigError(f"stage {stage.name}: rates name {missing[0]}, of which this system has no parameters")
    unknown = sorted(set(stage.frozen) - {name for name, _ in system.named_parameters()})
    if unknown:
        raise ConfigError(f"stage {stage.name}: frozen names {unknown[0]}, a parameter that this system does not have")
    return [{"params": parameters, "lr": stage.rates[part]} for part, parameters in chosen.items()]


def scale_at(step: int, stage: StageConfig, cpu_seconds: float = 0.0) -> float:
    """The learning rate's share at an optimizer step, by steps or by minutes, whichever are nearer their end."""
    if step < stage.warm_up:
        return (step + 1) / stage.warm_up
    along = min(1.0, (step - stage.warm_up) / max(1, stage.steps - stage.warm_up))
    if stage.minutes:
        along = max(along, min(1.0, cpu_seconds / 60 / stage.minutes))
    if stage.schedule == "cosine":
        return 0.5 * (1 + float(torch.cos(torch.tensor(along * torch.pi))))
    return 1.0 - along if stage.schedule == "linear" else 1.0


class Progress:
    """Steps, wall clock, processor time and running means of the losses; saved with the checkpoint."""

    def __init__(self, stage: str) -> None:
        self.stage, self.steps, self.seconds, self.cpu_seconds = stage, 0, 0.0, 0.0
        self.means: dict[str, float] = {}

    def left(self, stage: StageConfig) -> bool:
        """Whether steps and minutes are left."""
        return self.steps < stage.steps and (not stage.minutes or self.cpu_seconds < 60 * stage.minutes)

    def add(self, losses: dict[str, Tensor]) -> None:
        """One batch's losses."""
        for name, value in losses.items():
            new = float(value.detach())
            self.means[name] = 0.98 * self.means.get(name, new) + 0.02 * new

    def row(self) -> dict[str, Any]:
        """As the curve holds it."""
        spent = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {"stage": self.stage, "step": self.steps, **spent, **self.means}

    def state_dict(self) -> dict[str, Any]:
        spent = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {"steps": self.steps, **spent, "means": self.means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.means = state["steps"], dict(state["means"])
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]


@torch.no_grad()
def validated(
    module: nn.Module, validation: Batches, stage: StageConfig, config: SystemTrainingConfig
) -> dict[str, float]:
    """Mean losses on the same conversations about the first validation pictures, each time."""
    module.eval()
    sums: dict[str, float] = {}
    count = 0
    for batch in validation.fixed(stage, config.validation_pictures):
        losses = module(batch)
        count += 1
        for name, value in (losses | {"total": torch.stack(list(losses.values())).sum()}).items():
            sums[name] = sums.get(name, 0.0) + float(value)
    return {f"val_{name}": value / max(count, 1) for name, value in sums.items()}


def shown(row: dict[str, Any], stage: StageConfig) -> str:
    """A line of the curve for people."""
    figures = ", ".join(f"{k} {v:.3f}" for k, v in row.items() if k not in ("stage", "step", "seconds", "cpu_seconds"))
    spent = f"{row['cpu_seconds'] / 60:.1f} min of the processor" + f" of {stage.minutes:g}" * bool(stage.minutes)
    return f"{stage.name}: step {row['step']} of {stage.steps}, {spent}: {figures}"


def save_state(accelerator: Any, state: Path) -> None:
    """The checkpoint beside the old one, then in its place: a crash leaves one that is whole."""
    partial = state.with_name(state.name + ".partial")
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _replace(partial, state)


def newest(state: Path) -> Path:
    """The checkpoint: the one before it where a crash came between taking that away and putting this in place."""
    old = state.with_name(state.name + ".old")
    return old if old.is_dir() and not state.is_dir() else state


def _replace(partial: Path, state: Path) -> None:
    old = state.with_name(state.name + ".old")
    if state.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        state.rename(old)
    partial.rename(state)
    shutil.rmtree(old, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """A file, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


def _save_finished(system: System, done: Path) -> None:
    partial = done.with_suffix(".partial")
    torch.save({name: p for name, p in system.state_dict().items() if _kept(system, name)}, partial)
    partial.rename(done)


def _load_finished(system: System, done: Path) -> None:
    tensors = torch.load(done, map_location="cpu", weights_only=True)
    for name, parameter in system.named_parameters():  # what was trained in float32 is not rounded to a checkpoint's
        if name in tensors:
            parameter.data = parameter.data.to(tensors[name].dtype)
    try:
        wrong = system.load_state_dict(tensors, strict=False).unexpected_keys
    except RuntimeError as error:
        raise _foreign(done, error) from error
    if wrong:
        raise _foreign(done, f"it has {wrong[0]}")


def _foreign(path: Path, why: object) -> ConfigError:
    told = " ".join(str(why).split())[:300]
    return ConfigError(f"work: {path} belongs to another configuration ({told}); choose another work folder")


def _kept(system: System, name: str) -> bool:
    """All but frozen parameters, which come from where they came from before."""
    try:
        return system.get_parameter(name).requires_grad
    except AttributeError:
        return part_of(name) != "vision"


