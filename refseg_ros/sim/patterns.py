"""Pictures that mean nothing: labels for packages nobody has a name for, and surfaces that no photograph was taken of.

Training shows them so that a label is not a name: without them every red tin there is would be tomato sauce.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
LABEL, SURFACE = 128, 256  # pixels of a side
LETTERS = np.array(list("ABCDEFGHIJKLMNOPRSTUVWZ"))
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_PLAIN,
)  # fmt: skip


def label(rng: np.random.Generator) -> Picture:
    """(6 LABEL, LABEL, 3) the six sides of a package as a cube texture has them: four around, then a lid and a plain
    bottom, along the body's z axis."""
    colours = [_colour(rng) for _ in range(4)]
    sides = [_side(rng, colours) for _ in range(2)]
    plain = np.full((LABEL, LABEL, 3), _metal(rng) if rng.random() < 0.6 else colours[0], np.uint8)
    lid = plain if rng.random() < 0.6 else _side(rng, colours)
    return np.concatenate([*sides, *sides, lid, plain])


def surface(rng: np.random.Generator) -> Picture:
    """(SURFACE, SURFACE, 3) cloth, stripes, checks, clouds or specks, in two colours, near each other or not."""
    first = np.array(_colour(rng), float)
    near = rng.random() < 0.6
    second = np.clip(first + rng.uniform(-50, 50), 0, 255) if near else np.array(_colour(rng), float)
    share = {0: _clouds, 1: _cloth, 2: _stripes, 3: _checks, 4: _specks}[int(rng.integers(5))](rng)[..., None]
    mixed = first * (1 - share) + second * share + rng.normal(0, rng.uniform(0, 10), (SURFACE, SURFACE, 1))
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _side(rng: np.random.Generator, colours: list[tuple[int, ...]]) -> Picture:
    side = np.full((LABEL, LABEL, 3), colours[0], np.uint8)
    kind = rng.integers(5)
    if kind == 1:  # a band or two
        for _ in range(rng.integers(1, 3)):
            top, high = rng.integers(0, LABEL, 2)
            side[top : top + high // 2] = colours[1]
    elif kind == 2:  # stripes
        side[:, np.arange(LABEL) // rng.integers(4, 20) % 2 == 0] = colours[1]
    elif kind == 3:  # dots
        step = int(rng.integers(12, 30))
        for x in range(step // 2, LABEL, step):
            for y in range(step // 2, LABEL, step):
                cv2.circle(side, (x, y), step // 4, colours[1], -1)
    elif kind == 4:  # another colour below
        side[rng.integers(LABEL // 4, LABEL) :] = colours[1]
    for _ in range(rng.integers(0, 4)):
        _blot(rng, side, colours[int(rng.integers(1, 4))])
    for _ in range(rng.integers(0, 4)):
        _word(rng, side, colours[int(rng.integers(1, 4))])
    if rng.random() < 0.2:
        _small_print(rng, side)
    return side


def _blot(rng: np.random.Generator, side: Picture, colour: tuple[int, ...]) -> None:
    """A fruit, a cow, a badge: some ellipse or polygon."""
    centre = rng.integers(LABEL // 5, 4 * LABEL // 5, 2)
    if rng.random() < 0.6:
        axes = rng.integers(LABEL // 12, LABEL // 3, 2)
        cv2.ellipse(side, centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, colour, -1)
        if rng.random() < 0.5:
            cv2.ellipse(side, centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, _colour(rng), 2)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        reach = rng.uniform(LABEL / 12, LABEL / 3, (len(angles), 1))
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach
        cv2.fillPoly(side, [corners.astype(np.int32)], colour)


def _word(rng: np.random.Generator, side: Picture, colour: tuple[int, ...]) -> None:
    text = "".join(rng.choice(LETTERS, rng.integers(2, 9)))
    size = float(rng.uniform(0.4, 1.6))
    place = (int(rng.integers(-5, LABEL // 3)), int(rng.integers(15, LABEL)))
    font, weight = FONTS[int(rng.integers(len(FONTS)))], int(rng.integers(1, 4))
    cv2.putText(side, text, place, font, size, colour, weight, cv2.LINE_AA)


def _small_print(rng: np.random.Generator, side: Picture) -> None:
    """A white field with rows of grey, as what is in it."""
    left, top = rng.integers(0, LABEL // 2, 2)
    side[top : top + LABEL // 2, left : left + LABEL // 3] = 235
    for row in range(top + 4, min(top + LABEL // 2 - 3, LABEL), 5):
        side[row : row + 2, left + 3 : left + int(rng.integers(10, LABEL // 3 - 2))] = 90


def _clouds(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    coarse = rng.random((int(rng.integers(3, 24)),) * 2)
    grown = cv2.resize(coarse, (SURFACE, SURFACE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(grown, 0, 1), np.float64)


def _cloth(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    fine = rng.random((SURFACE // 2, SURFACE // 2)) * rng.uniform(0.3, 1)
    return np.asarray(cv2.resize(fine, (SURFACE, SURFACE), interpolation=cv2.INTER_LINEAR), np.float64)


def _stripes(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    at = np.arange(SURFACE) % int(rng.integers(8, 65))
    row = (at < at.max() * rng.uniform(0.1, 0.9)).astype(float)
    field = np.tile(row, (SURFACE, 1))
    return field if rng.random() < 0.5 else field.T


def _checks(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    cell = int(rng.integers(8, 65))
    at = np.arange(SURFACE) // cell
    return ((at[:, None] + at) % 2).astype(float)


def _specks(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return (rng.random((SURFACE, SURFACE)) < rng.uniform(0.02, 0.3)).astype(float)


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    """Any colour, pale and dark ones as often as strong ones."""
    hue, strength, light = rng.uniform(0, 180), 255 * rng.random() ** 0.7, 255 * rng.uniform(0.05, 1) ** 0.7
    rgb = cv2.cvtColor(np.array([[[hue, strength, light]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    return tuple(int(v) for v in rgb)


def _metal(rng: np.random.Generator) -> tuple[int, ...]:
    return (int(rng.integers(90, 200)),) * 3
