"""Other colours for objects: white things are tinted (their texture shows through), others painted over."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.expressions.appearance import KEEPS_ITS_NAME

# Plain colours that nobody argues about, as light's share of red, green and blue.
PAINTS = {
    "red": (0.80, 0.05, 0.05), "green": (0.07, 0.55, 0.12), "blue": (0.06, 0.14, 0.80), "yellow": (0.95, 0.82, 0.06),
    "white": (0.93, 0.93, 0.92), "black": (0.035, 0.035, 0.04), "brown": (0.36, 0.19, 0.08),
    "orange": (1.00, 0.45, 0.03), "purple": (0.42, 0.10, 0.60), "pink": (1.00, 0.50, 0.70), "gray": (0.42, 0.42, 0.43),
}  # fmt: skip
WHITE = frozenset({"porcelain_mug", "glazed_rim_porcelain_ramekin", "white_bowl", "rs_milk"})
GROCERY_SHARE = 0.3  # of the chance that others have: without their label they lose their name


def drawn_paint(key: str, share: float, rng: np.random.Generator) -> str:
    """A colour for an object, or "" to leave it as it is."""
    entry = CATALOGUE[key]
    named = entry.noun in KEEPS_ITS_NAME
    if entry.category == "food" or rng.random() > share * (1 if named else GROCERY_SHARE):
        return ""
    choices = sorted(PAINTS.keys() - set(entry.colours))
    return str(rng.choice(choices))


def apply_paint(
    model: mujoco.MjModel, geoms: npt.NDArray[np.int64], key: str, paint: str, rng: np.random.Generator
) -> None:
    """Colour the geoms of one object, each time a little differently."""
    colour = np.clip(np.array(PAINTS[paint]) * rng.uniform(0.88, 1.0) + rng.uniform(-0.02, 0.02, 3), 0.01, 1)
    for geom in geoms:
        material = model.geom_matid[geom]
        if key in WHITE and material >= 0:
            model.mat_rgba[material, :3] = colour
        else:
            model.geom_matid[geom] = -1
            model.geom_rgba[geom] = [*colour, 1]
