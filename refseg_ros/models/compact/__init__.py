"""The model that ships with the package: small, trained on rendered scenes, runs on two CPU cores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refseg_ros.models.compact.model import CompactModel

SHIPPED = Path(__file__).parent / "weights" / "compact.safetensors"


def build(device: str, weights: Path | None) -> CompactModel:
    """The model with its weights, checked. Raises RequestError(MODEL_WEIGHTS) naming the file and the reason."""
    from refseg_ros.core.outcome import ErrorCode, RequestError
    from refseg_ros.core.protocol import Thresholds
    from refseg_ros.models.compact.model import Calibration, CompactHeads, CompactModel
    from refseg_ros.models.weights import load_strictly, read_card

    path = weights or SHIPPED
    card = read_card(path)
    try:
        numbers = card["calibration"]
        words = frozenset(card["words"].split())
        calibration = Calibration(float(numbers["temperature"]), Thresholds(**numbers["thresholds"]), words)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        message = f"The card of {path} has no usable calibration ({error}); take the card that belongs to the weights."
        raise RequestError(ErrorCode.MODEL_WEIGHTS, message) from error
    heads = CompactHeads()
    load_strictly(heads, path, card)
    return CompactModel(heads, calibration, device)
