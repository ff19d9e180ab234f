"""A system from its weights file and the card beside it: nothing else says what it is made of."""

from __future__ import annotations

from pathlib import Path

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.protocol import Thresholds
from refseg_ros.models.systems.assemble import KINDS, assemble
from refseg_ros.models.systems.model import SystemModel
from refseg_ros.models.systems.parts import part_of
from refseg_ros.models.weights import load_strictly, read_card


def build(name: str, device: str, weights: Path) -> SystemModel:
    """The system `name`, ready. Raises RequestError(MODEL_WEIGHTS) naming the file and the reason."""
    card = read_card(weights)
    try:
        if card["name"] != name:
            raise ValueError(f"it belongs to {card['name']}, not to {name}")
        parts, numbers = set(card["parts"]), card["calibration"]
        thresholds = Thresholds(**numbers["thresholds"])
        names = int(card.get("names", 12))
        shift, temperature = float(numbers["shift"]), float(numbers["temperature"])
        system = assemble(name, card["scale"], card["options"], card["checkpoints"])
        needed = KINDS[name].own if card["scale"] == "full" else {part_of(tensor) for tensor in system.state_dict()}
        lacking = sorted(set(needed) - parts)
        if lacking:
            raise ValueError(f"it names no {lacking[0]}, without which that part of the model would be random")
    except (KeyError, TypeError, ValueError) as error:
        message = f"The card of {weights} cannot be used ({error}); take the card that belongs to the weights."
        raise RequestError(ErrorCode.MODEL_WEIGHTS, message) from error
    load_strictly(system, weights, card, held=lambda tensor: part_of(tensor) in parts)
    return SystemModel(name, system, thresholds, shift, temperature, device, names)
