"""Whether a picture shows anything at all. Of one that does not, "absent" would be said without having looked."""

from __future__ import annotations

import cv2

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.types import Frame

BLOCK = 8  # pixels a side, over which noise averages out
LEAST_RANGE = 3  # grey levels between the blocks; five halvings of the light leave a scene eight and more
BLACK, WHITE = 16, 239  # means; in between, a plain wall is a picture like any other


def refuse_blind(frame: Frame) -> None:
    """Raises RequestError(IMAGE_INVALID) for a picture black or white all over: a covered lens, no light, too much."""
    mean = frame.rgb[::BLOCK, ::BLOCK].mean()
    if BLACK <= mean <= WHITE:
        return  # nearly always; the rest costs milliseconds of a large picture
    width, height = frame.size
    small = (max(1, width // BLOCK), max(1, height // BLOCK))
    blocks = cv2.resize(frame.rgb, small, interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(int)
    if (blocks.max(0) - blocks.min(0)).max() >= LEAST_RANGE:
        return
    raise RequestError(
        ErrorCode.IMAGE_INVALID,
        f"The picture is {'black' if mean < BLACK else 'white'} all over, so nothing could be looked for; "
        "check the lens, the light and the exposure.",
    )
