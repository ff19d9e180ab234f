"""A decoder that was trained without a glance at the picture goes on with one: what its new parts start from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from refseg_ros.models.backbones.compact_vlm import FOLD, GLANCE, CompactVLM


def grown(backbone: CompactVLM, own: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the glance and of the layers after it, for a run that starts from one that had neither; empty
    where that has them, or where no glance is wanted.

    own: of the system that starts; trained: of the run it starts from. The glance compares as the pointer of the first
    stage did (`heads/box_prompt`), from the states that were the last; everything else begins as it was created.
    """
    at = backbone.config.layers
    decoder, glance = "backbone._decoder.", f"backbone._decoder.layers.{at}.glance."
    pointer = {n.removeprefix("head.pointer."): t for n, t in trained.items() if n.startswith("head.pointer.")}
    if not backbone.config.layers_after or not pointer or f"{glance}norm.weight" in trained:
        return {}
    new = {n: t for n, t in own.items() if n.startswith(decoder + "layers.") and int(n.split(".")[3]) >= at}
    new[f"{glance}norm.weight"] = trained[f"{decoder}norm.weight"]
    for name in ("query.weight", "query.bias", "log_scale", "bias"):
        new[glance + name] = pointer[name]
    for name in ("key.weight", "key.bias"):  # the pointer's channels stand before its places
        new[glance + name] = pointer[name].unflatten(0, (GLANCE, FOLD**2)).transpose(0, 1).flatten(0, 1)
    return new
