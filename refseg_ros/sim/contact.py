"""The contact sheet: every object of the catalogue from two sides with its label, to be checked by eye.

    python -m refseg_ros.sim.contact OUT.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.sim import assets
from refseg_ros.sim.catalogue import CATALOGUE, CatalogueEntry
from refseg_ros.sim.pool import ObjectPool
from refseg_ros.sim.scene import TABLE_HEIGHT

CELL, PER_ROW, FONT = 190, 5, cv2.FONT_HERSHEY_SIMPLEX
HALF_TURN = 2**-0.5


def label(key: str, entry: CatalogueEntry, size: npt.NDArray[np.float64]) -> list[str]:
    """What the table claims of an object, and its measured size in millimetres, as short lines."""
    millimetres = " x ".join(str(round(1000 * s)) for s in size)
    return [key, f"{' '.join(entry.colours)} {entry.noun} ({entry.category})", f"{millimetres} {entry.holds}"]


def sheet(pool: ObjectPool) -> npt.NDArray[np.uint8]:
    """RGB picture of all objects of the pool, PER_ROW in a row, each seen from the front and from behind and above."""
    model, data = pool.model, pool.data
    model.vis.headlight.ambient[:], model.vis.headlight.diffuse[:] = 0.4, 0.5
    model.light_diffuse[:] = 0.2
    cells = []
    for index, key in enumerate(pool.keys):
        entry = CATALOGUE[key]
        pool.activate([index])
        mujoco.mj_resetData(model, data)
        quaternion = [HALF_TURN, HALF_TURN, 0, 0] if entry.upright_y else [1.0, 0, 0, 0]
        low, high = pool.extent(index, quaternion)
        at = pool.qpos[index]
        data.qpos[at : at + 7] = [*(-(low + high) / 2 * [1, 1, 0])[:2], TABLE_HEIGHT - low[2], *quaternion]
        mujoco.mj_forward(model, data)
        views = []
        for azimuth, elevation in ((90, -25), (250, -60)):
            camera = mujoco.MjvCamera()
            camera.lookat[:] = [0, 0, TABLE_HEIGHT + (high - low)[2] / 2]
            camera.distance = 1.6 * float(np.linalg.norm(high - low))
            camera.azimuth, camera.elevation = azimuth, elevation
            pool.renderer.update(data, camera, pool.options)
            views.append(cv2.resize(pool.renderer.color(), (CELL, CELL), interpolation=cv2.INTER_AREA))
        cell = np.full((CELL + 46, 2 * CELL + 6, 3), 255, np.uint8)
        cell[:CELL, : 2 * CELL] = np.hstack(views)
        for line, text in enumerate(label(key, entry, high - low)):
            cv2.putText(cell, text, (2, CELL + 13 + 14 * line), FONT, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % PER_ROW)
    return np.vstack([np.hstack(cells[i : i + PER_ROW]) for i in range(0, len(cells), PER_ROW)])


if __name__ == "__main__":
    pool = ObjectPool(sorted(assets.sources()), assets.prepare(), 480, 480)
    pool.model.geom_matid[[pool.model.geom(n).id for n in ("table", "floor")]] = -1
    pool.model.geom_rgba[[pool.model.geom(n).id for n in ("table", "floor")]] = [0.6, 0.6, 0.62, 1]
    cv2.imwrite(str(Path(sys.argv[1])), cv2.cvtColor(sheet(pool), cv2.COLOR_RGB2BGR))
    pool.close()
