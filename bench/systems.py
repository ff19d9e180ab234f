"""What the mask heads of the four systems cost at compact scale, beside one another: `python bench/systems.py`.

Heads alone, with random weights, maps and states, on one thread: no vision, no language model. A picture is 320 x 256
as the networks see 320 x 240. All heads take turns, round after round, and the figures are medians of CPU time over
the rounds, so that other programs on the machine disturb all rows alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from refseg_ros.core.report import write_json
from refseg_ros.models.heads import gsva, mllmseg, mvp_lm, qwen3vl_seg

HEIGHT, WIDTH, CHANNELS, LANGUAGE, MANY = 256, 320, (40, 112, 320, 320), 256, 5
GRID = (HEIGHT // 16, WIDTH // 16)  # of image tokens, and of the map that GSVA reads
Decode = Callable[[Any, int], Any]


@dataclass(frozen=True, eq=False)
class Case:
    """encode(): once a frame; decode(encoded, n): masks of n phrases."""

    name: str
    head: nn.Module
    encode: Callable[[], Any]
    decode: Decode


def _maps() -> list[Tensor]:
    return [torch.randn(1, c, HEIGHT // s, WIDTH // s) for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


def _whose(phrases: int) -> Tensor:
    return torch.zeros(phrases, dtype=torch.long)


def cases() -> list[Case]:
    """One object a phrase, answered by each head."""
    torch.manual_seed(0)
    maps, states, rgb = _maps(), torch.randn(1, LANGUAGE, *GRID), torch.rand(1, 3, HEIGHT, WIDTH)
    phrases, boxes = torch.randn(MANY, LANGUAGE), 0.3 + 0.4 * torch.rand(MANY, 1, 4)
    first = qwen3vl_seg.Qwen3VLSegHead(qwen3vl_seg.compact(LANGUAGE)).eval()
    second = gsva.GSVAHead(gsva.compact(LANGUAGE)).eval()
    third = mllmseg.MLLMSegHead(mllmseg.compact(LANGUAGE)).eval()
    fourth = mvp_lm.MVPLMHead(mvp_lm.compact(LANGUAGE)).eval()

    def objects(n: int) -> qwen3vl_seg.Objects:
        return qwen3vl_seg.objects_of(list(boxes[:n]), [p[None] for p in phrases[:n]], _whose(n))

    def slots(n: int) -> gsva.Slots:
        return gsva.Slots(phrases[:n], torch.ones(n, dtype=torch.bool), _whose(n))

    def sentences(n: int) -> mvp_lm.Instruction:
        return mvp_lm.Instruction(phrases[:n, None], torch.ones(n, 1, dtype=torch.bool), phrases[:n])

    def best_mask(encoded: Any, n: int) -> list[Tensor]:
        answer = fourth.decode(encoded, sentences(n), mvp_lm.Task.SENTENCE, _whose(n)).answer
        return [answer.mask_logits(row) for row in range(n)]

    return [
        Case("Qwen3-VL-Seg", first, lambda: first.encode(maps, states, rgb), lambda e, n: first.decode(e, objects(n))),
        Case("GSVA", second, lambda: second.encode(maps, GRID), lambda e, n: second.decode(e, slots(n))),
        Case(
            "MLLMSeg",
            third,
            lambda: third.encode(maps, states),
            lambda e, n: third.decode(e, phrases[:n], _whose(n)),
        ),
        Case("MVP-LM", fourth, lambda: fourth.encode(maps), best_mask),
    ]


def _ms(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    out = run()
    return 1e3 * (time.process_time() - start), out


@torch.inference_mode()
def measured(rounds: int) -> list[dict[str, Any]]:
    """One row a head, milliseconds."""
    table = cases()
    taken: dict[str, list[tuple[float, float, float]]] = {case.name: [] for case in table}
    for turn in range(rounds + 2):
        for case in table:
            frame, encoded = _ms(case.encode)
            one, _ = _ms(lambda case=case, encoded=encoded: case.decode(encoded, 1))  # type: ignore[misc]
            many, _ = _ms(lambda case=case, encoded=encoded: case.decode(encoded, MANY))  # type: ignore[misc]
            if turn > 1:  # the first two rounds warm up
                taken[case.name].append((frame, one, (many - one) / (MANY - 1)))
    rows = []
    for case in table:
        frame, one, further = (float(v) for v in np.median(np.array(taken[case.name]), 0))
        millions = sum(p.numel() for p in case.head.parameters()) / 1e6
        row = {"head": case.name, "million_parameters": millions, "frame_ms": frame, "phrase_ms": one}
        rows.append({**row, "further_phrase_ms": further})
    return rows


def main(
    json: Annotated[Path, typer.Option(help="where the figures go")] = Path("out/bench/systems.json"),
    rounds: Annotated[int, typer.Option(min=1, help="turns of each head")] = 40,
) -> None:
    """Run it, print the table, write the figures."""
    torch.set_num_threads(1)
    rows = measured(rounds)
    table = Table(title="Heads at compact scale: milliseconds of CPU time, median; ratios to the first row")
    for name in ("head", "parameters", "a frame", "a phrase", "a further phrase", "ratio of frame + phrase"):
        table.add_column(name)
    whole = [r["frame_ms"] + r["phrase_ms"] for r in rows]
    for r, total in zip(rows, whole, strict=True):
        table.add_row(
            r["head"], f"{r['million_parameters']:.2f}M", f"{r['frame_ms']:.1f}", f"{r['phrase_ms']:.1f}",
            f"{r['further_phrase_ms']:.1f}", f"{total / whole[0]:.2f}",
        )  # fmt: skip
    Console(width=120).print(table)
    write_json(json, rows)


if __name__ == "__main__":
    typer.run(main)
