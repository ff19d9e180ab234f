"""Whether a thing's colour can be told in the light that a scene has: a white cup in deep shade is no white cup."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Lowest and highest median brightness (grey levels) at which a thing without a hue is still called so.
SHADES = {"white": (115, 255), "gray": (45, 150), "black": (0, 70)}
LEAST_HUE = 0.35  # of the brightest channel, between the brightest and the darkest one
DARK = 45


def told(pixels: npt.NDArray[np.uint8], colours: tuple[str, ...], plain: bool) -> bool:
    """pixels: (N, 3) RGB of what shows. plain: it has one colour all over; else only darkness is looked at."""
    if not len(pixels) or not colours:
        return True
    middle = np.median(pixels, axis=0)
    brightest = float(middle.max())
    if colours[0] in SHADES and (plain or len(colours) == 1):
        low, high = SHADES[colours[0]]
        return low <= float(middle.mean()) <= high
    if np.percentile(pixels.max(1), 80) < DARK:
        return colours == ("brown",) and brightest > DARK / 2
    return not plain or (brightest - float(middle.min())) / max(brightest, 1.0) >= LEAST_HUE
