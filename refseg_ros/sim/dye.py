"""The same product with another colour on it: what training scenes show so that a name is no single picture.

The simulator's asset wheels hold one or two of each product. Taught on those alone, "ketchup" is one particular label,
and a colour that it never had is taken for a lie. A dye turns the main colour of a thing into another one, in the
rendered picture, and leaves its markings, its shading and its light.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.expressions.appearance import KEEPS_ITS_NAME, appearance
from refseg_ros.sim.holdout import held_out
from refseg_ros.sim.paint import PAINTS
from refseg_ros.sim.plainly import told
from refseg_ros.sim.scene import Scene, SceneObject

# Hues as OpenCV counts them, in [0, 180).
HUES = {"red": 0, "orange": 13, "yellow": 27, "green": 60, "blue": 113, "purple": 141}
BRIGHT = frozenset({"orange", "yellow"})  # dark ones are brown and olive
BRIGHT_FROM = 135  # median of the brightest channel
SHARE = 0.4  # of the things that can be dyed
NEAR_NOMINAL = 20  # how far the light may have moved the main hue
MAIN = 10  # half the width of the main hue; half as far again it fades out
SATURATED = 60
LEAST_SHARE, LEAST_PX = 0.35, 40


def dyed(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene, and some of its things in another colour: names stay true, and nothing that is held out comes about.

    Things of one sure hue get another hue; white ones whose name goes with any colour are tinted.
    """
    rgb = scene.rgb.copy()
    objects = [_dyed(o, rgb, scene.instance_ids == o.id, rng) for o in scene.objects]
    return replace(scene, rgb=rgb, objects=tuple(objects))


def _dyed(
    thing: SceneObject, rgb: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], rng: np.random.Generator
) -> SceneObject:
    """One thing, painted into rgb where it is dyed."""
    entry = CATALOGUE.get(thing.key)
    drawn, pick = rng.random(), rng.random()  # always both: what one thing gets is not the next one's luck
    if entry is None or thing.paint or thing.dye or not thing.colours or entry.category == "food":
        return thing
    pixels = rgb[mask]
    if drawn > SHARE or len(pixels) < LEAST_PX:
        return thing
    if thing.colours == ("white",) and entry.noun in KEEPS_ITS_NAME and not entry.two_tone:
        choices = [c for c in sorted(PAINTS) if c != "white" and not held_out(thing.key, c)]
        paint = choices[int(pick * len(choices))]
        rgb[mask] = np.clip(pixels * np.array(PAINTS[paint]), 0, 255).astype(np.uint8)
        return _as(thing, rgb[mask], paint=paint)
    found = _main_hue(pixels, thing.colours[0])
    if found is None:
        return thing
    hue, weight, brightness = found
    choices = [
        c for c in sorted(HUES)
        if c not in (*entry.colours, *entry.also) and not held_out(thing.key, c)
        and (brightness >= BRIGHT_FROM or c not in BRIGHT)
    ]  # fmt: skip
    if not choices:
        return thing
    dye = choices[int(pick * len(choices))]
    rgb[mask] = _turned(pixels, hue, HUES[dye], weight)
    return _as(thing, rgb[mask], dye=dye)


def _main_hue(pixels: npt.NDArray[np.uint8], colour: str) -> tuple[float, npt.NDArray[np.float32], float] | None:
    """The hue that most of (N, 3) RGB has, near the colour's; how much each pixel has of it 0..1; its brightness."""
    if colour not in HUES:
        return None
    hsv = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2HSV)[0].astype(np.float32)
    strong = (hsv[:, 1] > SATURATED) & (hsv[:, 2] > SATURATED / 2)
    near = strong & (np.abs(_apart(hsv[:, 0], HUES[colour])) <= NEAR_NOMINAL)
    if near.sum() < LEAST_SHARE * len(pixels):
        return None
    hue = HUES[colour] + float(np.median(_apart(hsv[near, 0], HUES[colour])))
    off = np.abs(_apart(hsv[:, 0], hue))
    weight = np.clip((1.5 * MAIN - off) / (0.5 * MAIN), 0, 1) * np.clip((hsv[:, 1] - 25) / 40, 0, 1)
    if (weight > 0.5).mean() < LEAST_SHARE:
        return None
    return hue, weight.astype(np.float32), float(np.median(hsv[weight > 0.5, 2]))


def _apart(hues: npt.NDArray[np.float32], of: float) -> npt.NDArray[np.float32]:
    """Signed distances on the circle of hues, in [-90, 90)."""
    return np.asarray((hues - of + 90) % 180 - 90, np.float32)


def _turned(
    pixels: npt.NDArray[np.uint8], hue: float, target: float, weight: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """(N, 3) RGB with the main hue moved to another one; hues beside it come half as near."""
    hsv = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2HSV)[0]
    moved = hsv.copy()
    moved[:, 0] = np.round((target + 0.5 * _apart(hsv[:, 0].astype(np.float32), hue)) % 180).astype(np.uint8) % 180
    new = cv2.cvtColor(moved[None], cv2.COLOR_HSV2RGB)[0]
    mixed = pixels + weight[:, None] * (new.astype(np.float32) - pixels)
    return np.round(mixed).astype(np.uint8)


def _as(thing: SceneObject, pixels: npt.NDArray[np.uint8], paint: str = "", dye: str = "") -> SceneObject:
    """The thing as it is called now."""
    look = appearance(thing.key, paint, dye=dye)
    return replace(
        thing, noun=look.noun, colours=look.colours, paint=paint, dye=dye,
        colour_told=told(pixels, look.colours, bool(paint)),
    )  # fmt: skip
