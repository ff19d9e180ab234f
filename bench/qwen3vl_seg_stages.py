"""Where the time of Qwen3-VL-Seg goes, stage by stage, with random weights: `python bench/qwen3vl_seg_stages.py`.

Qwen3-VL-4B's dimensions in bfloat16 on a CUDA device; `--tiny` is a model of the same classes for any machine. Nothing
is downloaded. Stages: vision, prefill (the image, then the question after it), one decoded token, mask decoder. A token
is decoded in up to three ways: with a cache that grows, as the product does; with a static cache; and that compiled
(`--compile`; on CUDA as a CUDA graph). All three give the same tokens, or this stops.

The floor of a token is the time in which the device reads the language model's weights once, at the bandwidth measured
here by copying a large tensor. The answer is as long as one box with its mask (about 41 tokens), and free: no grammar
is applied, since random weights have nothing to say.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from refseg_ros.core.report import write_json
from refseg_ros.models.answers import boxes
from refseg_ros.models.backbones.base import Prefix, Reading
from refseg_ros.models.backbones.published import qwen3_vl_4b
from refseg_ros.models.backbones.qwen3_vl import TAPS, Qwen3VLBackbone
from refseg_ros.models.heads.qwen3vl_seg import Qwen3VLSegConfig, Qwen3VLSegHead, objects_of

QUESTION, OBJECTS = 24, 5
CHAT = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")


def words() -> Any:
    """A tokenizer of single bytes: random weights need no better one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")
    made.add_special_tokens({"additional_special_tokens": [*CHAT, *boxes.SPECIALS]})
    return made


def tiny() -> Any:
    """A Qwen3-VL of 0.3M parameters."""
    from transformers import Qwen3VLConfig

    return Qwen3VLConfig(
        vision_config={
            "depth": 4, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64,
            "deepstack_visual_indexes": [0, 2], "num_position_embeddings": 64, "initializer_range": 0.3,
        },
        text_config={
            "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512, "initializer_range": 0.3,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
        },
        tie_word_embeddings=True,
    )  # fmt: skip


def build(small: bool, device: str, dtype: torch.dtype) -> tuple[Qwen3VLBackbone, Qwen3VLSegHead]:
    """Backbone and head with random weights, made where they stay."""
    from transformers import Qwen3VLForConditionalGeneration

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Qwen3VLForConditionalGeneration(tiny() if small else qwen3_vl_4b()).eval()
            backbone = Qwen3VLBackbone(model, words(), taps=range(4) if small else TAPS)
            size = {"width": 32, "heads": 4, "pixel_width": 16, "stem_width": 8} if small else {}
            head = Qwen3VLSegHead(
                Qwen3VLSegConfig(channels=backbone.channels, language_width=backbone.width, **size)
            ).eval()
    finally:
        torch.set_default_dtype(before)
    return backbone, head


class Clock:
    """Milliseconds of what a device does."""

    def __init__(self, device: str, rounds: int) -> None:
        self.cuda, self.rounds = device.startswith("cuda"), rounds

    def __call__(self, run: Callable[[], Any]) -> float:
        """The median over the rounds, after one that warms up."""
        run()
        return float(np.median([self.once(run) for _ in range(self.rounds)]))

    def once(self, run: Callable[[], Any]) -> float:
        self._wait()
        start = time.perf_counter()
        run()
        self._wait()
        return 1e3 * (time.perf_counter() - start)

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def bandwidth(clock: Clock, device: str, mebibytes: int) -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.empty(mebibytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / (clock(lambda: target.copy_(source)) / 1e3)


def peak_bytes(device: str) -> int:
    """Of device memory, or of the process where there is no device."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_per_token(backbone: Qwen3VLBackbone) -> int:
    """Bytes of weights that a token needs: the decoder but for its table of embeddings, and the head."""
    table = backbone.decoder.get_input_embeddings().weight  # type: ignore[operator]
    weights = [p for p in backbone.decoder.parameters() if p is not table]
    return sum(p.numel() * p.element_size() for p in [*weights, *backbone.head.parameters()])


class Growing:
    """Decoding as the product does it: a cache that grows by a token."""

    def __init__(self, backbone: Qwen3VLBackbone, prefix: Prefix, question: Tensor) -> None:
        self.backbone, self.prefix, self.question = backbone, prefix, question

    def start(self) -> Tensor:
        """Reads the question; the first token (1, 1)."""
        rows = torch.zeros(1, dtype=torch.long, device=self.question.device)
        self.reading: Reading = self.backbone.begin(self.prefix, rows)
        return self._next(self.question)

    def step(self, ids: Tensor) -> Tensor:
        return self._next(ids)

    def _next(self, ids: Tensor) -> Tensor:
        states = self.backbone.extend(self.reading, ids, torch.ones_like(ids, dtype=torch.bool))
        return self.backbone.head(states[:, -1:]).argmax(-1)


class Static:
    """Decoding into a cache of fixed size, which a compiler and a CUDA graph can take whole."""

    def __init__(self, growing: Growing, room: int, compiled: bool) -> None:
        self.growing, self.room = growing, room
        self._run = torch.compile(self._token, mode="reduce-overhead") if compiled else self._token
        self.cache: Any = None

    def start(self) -> Tensor:
        """The question is read as ever; then its cache is copied, into the same memory every time."""
        from transformers import StaticCache

        ids, reading = self.growing.start(), self.growing.reading
        if self.cache is None:
            config = self.growing.backbone.decoder.config
            self.cache = StaticCache(config=config, max_cache_len=reading.valid_nk.shape[1] + self.room)
        else:
            self.cache.reset()
        for index, layer in enumerate(reading.cache.layers):
            self.cache.update(layer.keys, layer.values, index)
        self.position = reading.next_n.view(1, 1, 1).repeat(3, 1, 1)
        return ids

    def step(self, ids: Tensor) -> Tensor:
        out = self._run(ids, self.position).clone()  # a CUDA graph writes over its outputs
        self.position = self.position + 1
        return out

    def _token(self, ids: Tensor, position: Tensor) -> Tensor:
        backbone = self.growing.backbone
        states = backbone.decoder(
            inputs_embeds=backbone.embed(ids), position_ids=position, past_key_values=self.cache, use_cache=True
        ).last_hidden_state
        return backbone.head(states).argmax(-1)


def decoded(way: Growing | Static, tokens: int) -> list[int]:
    """Greedy token ids."""
    ids, out = way.start(), []
    for _ in range(tokens):
        out.append(int(ids))
        ids = way.step(ids)
    return out


def per_token(way: Growing | Static, clock: Clock, tokens: int) -> float:
    """Milliseconds a token, the question not counted: the median over rounds."""

    def answer() -> None:
        current = ids
        for _ in range(tokens):
            current = way.step(current)

    times = []
    for turn in range(clock.rounds + 1):
        ids = way.start()
        taken = clock.once(answer) / tokens
        if turn:  # the first warms up
            times.append(taken)
    return float(np.median(times))


@torch.inference_mode()
def measured(
    *, small: bool, device: str, size: tuple[int, int], tokens: int, rounds: int, compiled: bool, copy_mebibytes: int
) -> dict[str, Any]:
    """All figures by name. Raises RuntimeError where two ways of decoding disagree (in float32 only: in bfloat16
    different kernels may round to another token, which is reported)."""
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    clock = Clock(device, rounds)
    backbone, head = build(small, device, dtype)
    speed = bandwidth(clock, device, copy_mebibytes)
    if clock.cuda:
        torch.cuda.reset_peak_memory_stats()
    geometry = backbone.geometry(size)
    pixels = torch.rand(1, 3, geometry.padded[1], geometry.padded[0], device=device, dtype=dtype) * 2 - 1
    vision = backbone.see(pixels, [geometry])
    prefix = backbone.prefix(vision)
    question = torch.randint(200, (1, QUESTION), device=device)
    growing = Growing(backbone, prefix, question)
    ways: dict[str, Growing | Static] = {"growing cache": growing, "static cache": Static(growing, tokens + 1, False)}
    if compiled:
        ways["compiled"] = Static(growing, tokens + 1, True)
    said = {name: decoded(way, tokens) for name, way in ways.items()}
    agree = all(ids == said["growing cache"] for ids in said.values())
    if not agree and dtype == torch.float32:
        raise RuntimeError("the ways of decoding do not give the same tokens")
    grid, encoded = prefix.image_states_bchw, head.encode(vision.maps, prefix.image_states_bchw, vision.image_bchw)
    states = torch.randn(OBJECTS, backbone.width, device=device, dtype=dtype)
    where = 0.3 + 0.4 * torch.rand(OBJECTS, 4, device=device)
    first = torch.zeros(1, dtype=torch.long, device=device)
    one, many = (objects_of([where[:n]], [states[:n]], first) for n in (1, OBJECTS))
    floor = 1e3 * read_per_token(backbone) / speed
    token = {name: per_token(way, clock, tokens) for name, way in ways.items()}
    return {
        "size": list(size),
        "device": torch.cuda.get_device_name() if clock.cuda else "cpu",
        "parameters": {"backbone": _count(backbone.model), "head": _count(head)},
        "image_tokens": int(grid.shape[2] * grid.shape[3]),
        "bandwidth_gb_s": speed / 1e9,
        "same_tokens": agree,
        "vision_ms": clock(lambda: backbone.see(pixels, [geometry])),
        "prefill_image_ms": clock(lambda: backbone.prefix(vision)),
        "prefill_question_ms": clock(growing.start),
        "token_ms": token,
        "token_floor_ms": floor,
        "token_over_floor": {name: ms / floor for name, ms in token.items()},
        "mask_frame_ms": clock(lambda: head.encode(vision.maps, grid, vision.image_bchw)),
        "mask_phrase_ms": clock(lambda: head.decode(encoded, one)),
        f"mask_{OBJECTS}_objects_ms": clock(lambda: head.decode(encoded, many)),
        "peak_gb": peak_bytes(device) / 1e9,
    }


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def main(
    json: Annotated[Path, typer.Option(help="where the figures go")] = Path("out/bench/qwen3vl_seg_stages.json"),
    tiny: Annotated[bool, typer.Option("--tiny", help="a model of 0.3M parameters, for any machine")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="also with torch.compile")] = False,
    size: Annotated[tuple[int, int], typer.Option(help="of the image")] = (640, 480),
    tokens: Annotated[int, typer.Option(min=1, help="of the answer")] = 41,
    rounds: Annotated[int, typer.Option(min=1, help="for each median")] = 10,
) -> None:
    """Run it, print the table, write the figures."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not tiny:
        raise typer.BadParameter("Qwen3-VL-4B's dimensions need a CUDA device here; use --tiny")
    figures = measured(
        small=tiny, device=device, size=size, tokens=tokens, rounds=rounds, compiled=compiled,
        copy_mebibytes=64 if device == "cpu" else 4096,
    )  # fmt: skip
    table = Table(title=f"Qwen3-VL-Seg with random weights on {figures['device']}, {size[0]} x {size[1]}")
    table.add_column("figure")
    table.add_column("value")
    for name, value in figures.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for inner, number in parts:
            table.add_row(f"{name} {inner}".strip(), f"{number:.3f}" if isinstance(number, float) else str(number))
    Console(width=120).print(table)
    write_json(json, figures)


if __name__ == "__main__":
    typer.run(main)
