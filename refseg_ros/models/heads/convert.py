"""Other names for a checkpoint's tensors: each one has a place, is known not to be needed, or is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str], unused: Sequence[str] = ()) -> dict[str, Tensor]:
    """Tensors with the prefixes of `names` replaced by theirs; those that begin with one of `unused` are left out.

    Raises ValueError, naming the first, for tensors that are neither, for two that get one name, and for a prefix that
    no tensor has. load_state_dict() then checks shapes, and that nothing of the module is missing.
    """
    out: dict[str, Tensor] = {}
    strange, seen = [], set()
    for name, tensor in state.items():
        if name.startswith(tuple(unused)):
            continue
        prefix = next((p for p in names if name.startswith(p)), None)
        if prefix is None:
            strange.append(name)
            continue
        ours = names[prefix] + name.removeprefix(prefix)
        if ours in out:
            raise ValueError(f"two tensors of the checkpoint are {ours}; the second is {name}")
        seen.add(prefix)
        out[ours] = tensor
    absent = [p for p in names if p not in seen]
    if strange or absent:
        what = [f"{len(strange)} tensors without a place here (first: {strange[0]})"] if strange else []
        what += [f"no tensor {absent[0]}*"] if absent else []
        raise ValueError(f"the checkpoint is not one that this converter knows: {', '.join(what)}")
    return out
