"""Systems from a description: the same for training, for a weights file's card and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from refseg_ros.models.backbones.base import Backbone
from refseg_ros.models.systems.checkpoints import folder_of, load_whole, not_fitting, pinned, tokenizer_of, with_room
from refseg_ros.models.systems.system import System

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """needs: names of the checkpoints of the full scale; backbone: builds it; system: puts the head on it; start: gives
    that head what checkpoints hold of it; own: parts that no checkpoint gives whole: the head, the words that answers
    are written with, MVP-LM's connector."""

    needs: tuple[str, ...]
    backbone: Callable[[Options, Options], Backbone]
    system: Callable[[Backbone, Options], System]
    start: Callable[[System, Options], None] | None = None
    own: tuple[str, ...] = ("head", "words")


def assemble(system: str, scale: str, options: Options, checkpoints: Options | None = None) -> System:
    """A System, its head untrained but for SAM's decoder at full scale. options: "backbone" (CompactVLMConfig's fields,
    or the adapter's settings), "head" (the head's fields), and the system's switches.

    Raises ValueError for an unknown system, scale or option; RequestError(MODEL_WEIGHTS) for checkpoints.
    """
    if system not in KINDS:
        raise ValueError(f"system must be one of {', '.join(KINDS)}, not {system!r}")
    if scale not in ("compact", "full"):
        raise ValueError(f"scale must be compact or full, not {scale!r}")
    rest = {k: v for k, v in options.items() if k != "backbone"}
    try:
        if scale == "compact":
            return KINDS[system].system(_compact_vlm(options.get("backbone", {})), rest)
        given = dict(checkpoints or {})
        missing = [n for n in KINDS[system].needs if n not in given]
        if missing:
            raise ValueError(f"{system} at full scale needs checkpoints.{missing[0]}: a folder, or a pinned hub name")
        kind = KINDS[system]
        built = kind.system(kind.backbone(given, options.get("backbone", {})), rest)
        if kind.start is not None:
            kind.start(built, given)
        return built
    except TypeError as error:
        raise ValueError(f"options of {system}: {error}") from error


def _compact_vlm(fields: Options) -> Backbone:
    from refseg_ros.models.backbones.compact_vlm import CompactVLM, CompactVLMConfig

    return CompactVLM(CompactVLMConfig(**fields))


def _phi_swin(given: Options, settings: Options) -> Backbone:
    from transformers import PhiForCausalLM, SwinBackbone

    from refseg_ros.models.backbones.phi_swin import SPECIALS, PhiSwinBackbone

    folder, swin_folder = folder_of(pinned(given["language"])), folder_of(pinned(given["vision"]))
    tokenizer = tokenizer_of(folder, SPECIALS)
    model = with_room(load_whole(PhiForCausalLM, folder), tokenizer)
    stages = ["stage1", "stage2", "stage3", "stage4"]
    # Its output norms are no part of published Swin checkpoints: they stay as made, frozen with the rest.
    swin = load_whole(SwinBackbone, swin_folder, may_lack="hidden_states_norms.", out_features=stages)
    return PhiSwinBackbone(model, swin, tokenizer, **settings)


def _mvp_lm(backbone: Backbone, options: Options) -> System:
    from refseg_ros.models.heads.mvp_lm import LossWeights, MVPLMConfig
    from refseg_ros.models.heads.mvp_lm.config import compact
    from refseg_ros.models.systems.mvp_lm import MvpLm

    fields, switches = _split(options, LossWeights)
    if _is_compact(backbone):
        return MvpLm(backbone, compact(backbone.width, **fields), **switches)
    dims = {"channels": backbone.channels, "language_width": backbone.width}
    return MvpLm(backbone, MVPLMConfig(**{**dims, **fields}), **switches)


def _qwen3_vl(given: Options, settings: Options) -> Backbone:
    from transformers import Qwen3VLForConditionalGeneration

    from refseg_ros.models.backbones.qwen3_vl import SPECIALS, Qwen3VLBackbone

    folder = folder_of(pinned(given["model"]))
    tokenizer = tokenizer_of(folder, SPECIALS)
    model = with_room(load_whole(Qwen3VLForConditionalGeneration, folder), tokenizer)
    return Qwen3VLBackbone(model, tokenizer, **settings)


def _internvl(given: Options, settings: Options) -> Backbone:
    from transformers import InternVLForConditionalGeneration

    from refseg_ros.models.backbones.internvl import SPECIALS, InternVLBackbone

    folder = folder_of(pinned(given["model"]))
    tokenizer = tokenizer_of(folder, SPECIALS)
    model = with_room(load_whole(InternVLForConditionalGeneration, folder), tokenizer)
    return InternVLBackbone(model, tokenizer, **settings)


def _llava_sam(given: Options, settings: Options) -> Backbone:
    from transformers import LlavaForConditionalGeneration, SamVisionModel

    from refseg_ros.models.backbones.llava_sam import SPECIALS, LlavaSamBackbone

    folder, sam_folder = folder_of(pinned(given["model"])), folder_of(pinned(given["sam"]))
    tokenizer = tokenizer_of(folder, SPECIALS)
    model = with_room(load_whole(LlavaForConditionalGeneration, folder), tokenizer)
    return LlavaSamBackbone(model, load_whole(SamVisionModel, sam_folder), tokenizer, **settings)


def _from_sam(system: System, given: Options) -> None:
    """SAM's own mask decoder and prompts into the head. Raises RequestError(MODEL_WEIGHTS) where they do not fit."""
    from transformers import SamModel

    from refseg_ros.models.heads.sam import from_sam

    folder = folder_of(pinned(given["sam"]))
    own = system.head.state_dict()
    tensors = from_sam(load_whole(SamModel, folder).state_dict(), corners="corners" in own)
    wrong = sorted(n for n, t in tensors.items() if n not in own or own[n].shape != t.shape)
    if wrong:
        raise not_fitting(folder, f"SAM's {wrong[0]} does not fit options.head; leave the decoder's dimensions out")
    system.head.load_state_dict(tensors, strict=False)


def _qwen3vl_seg(backbone: Backbone, options: Options) -> System:
    from refseg_ros.models.heads.qwen3vl_seg import LossWeights, Qwen3VLSegConfig, compact
    from refseg_ros.models.systems.qwen3vl_seg import Qwen3VLSeg

    fields, switches = _split(options, LossWeights)
    if _is_compact(backbone):
        return Qwen3VLSeg(backbone, compact(backbone.width, **fields), **switches)
    dims = {"channels": backbone.channels, "strides": (16,) * len(backbone.channels), "language_width": backbone.width}
    return Qwen3VLSeg(backbone, Qwen3VLSegConfig(**{**dims, **fields}), **switches)


def _box_decoder(backbone: Backbone, options: Options) -> System:
    from refseg_ros.models.heads.box_prompt import BoxPromptConfig, LossWeights, compact
    from refseg_ros.models.systems.box_decoder import BoxDecoder

    fields, switches = _split(options, LossWeights)
    if _is_compact(backbone):
        return BoxDecoder(backbone, compact(backbone.width, **fields), **switches)
    dims = {"channels": backbone.channels, "language_width": backbone.width}
    return BoxDecoder(backbone, BoxPromptConfig(**{**dims, **fields}), **switches)


def _lisa_like(backbone: Backbone, options: Options) -> System:
    """GSVA as LISA answers: one [SEG] a phrase, whatever is asked."""
    return _gsva(backbone, {**options, "most": 1, "may_reject": False})


def _gsva(backbone: Backbone, options: Options) -> System:
    from refseg_ros.models.heads.gsva import GSVAConfig, LossWeights, compact
    from refseg_ros.models.systems.gsva import Gsva

    fields, switches = _split(options, LossWeights)
    if _is_compact(backbone):
        return Gsva(backbone, compact(backbone.width, **fields), **switches)
    dims = {"channels": backbone.channels, "language_width": backbone.width}
    return Gsva(backbone, GSVAConfig(**{**dims, **fields}), **switches)


def _mllmseg(backbone: Backbone, options: Options) -> System:
    from refseg_ros.models.heads.mllmseg import LossWeights, MLLMSegConfig, compact
    from refseg_ros.models.systems.mllmseg import MllmSeg

    fields, switches = _split(options, LossWeights)
    if _is_compact(backbone):
        return MllmSeg(backbone, compact(backbone.width, **fields), **switches)
    dims = {"channels": backbone.channels, "language_width": backbone.width}
    return MllmSeg(backbone, MLLMSegConfig(**{**dims, **fields}), **switches)


def _split(options: Options, losses: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The head's fields, lists as tuples, and the system's switches; "weights" among them are those of its losses."""
    head = {k: tuple(v) if isinstance(v, list) else v for k, v in options.get("head", {}).items()}
    switches = {k: v for k, v in options.items() if k != "head"}
    if "weights" in switches:
        switches["weights"] = losses(**switches["weights"])
    return head, switches


def _is_compact(backbone: Backbone) -> bool:
    return type(backbone).__name__ == "CompactVLM"


KINDS = {
    "qwen3vl_seg": Kind(("model",), _qwen3_vl, _qwen3vl_seg),
    "gsva": Kind(("model", "sam"), _llava_sam, _gsva, _from_sam),
    "mllmseg": Kind(("model",), _internvl, _mllmseg),
    "mvp_lm": Kind(("language", "vision"), _phi_swin, _mvp_lm, own=("head", "words", "connector")),
    "lisa_like": Kind(("model", "sam"), _llava_sam, _lisa_like, _from_sam),
    "box_decoder": Kind(("model", "sam"), _llava_sam, _box_decoder, _from_sam),
}
