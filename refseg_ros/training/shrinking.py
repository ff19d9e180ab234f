"""Maps of segment numbers made smaller."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def shrunk(ids_hw: npt.NDArray[np.integer], size: tuple[int, int]) -> npt.NDArray[np.int16]:
    """Each cell's number is the one that covers most of it. size: (width, height).

    Picking one pixel of a cell shifts everything: by 1.5 pixels of the picture at a quarter of its size.
    """
    numbers = np.unique(ids_hw)
    best, share = np.full((size[1], size[0]), numbers[0], np.int16), np.zeros((size[1], size[0]), np.float32)
    for number in numbers:
        covered = cv2.resize((ids_hw == number).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        best[covered > share] = number
        share = np.maximum(share, covered)
    return best
