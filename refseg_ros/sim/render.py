"""Colour, metric depth and the geom of each pixel from a MuJoCo scene, in two passes: one of colour, one of identity.

MuJoCo's own Renderer draws a third time for depth; with software OpenGL a pass is most of a scene's time.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

SEGMENT, IDCOLOR = int(mujoco.mjtRndFlag.mjRND_SEGMENT), int(mujoco.mjtRndFlag.mjRND_IDCOLOR)


class RgbdRenderer:
    """Draws a model's scene off screen. Frees its OpenGL context on close().

    Sizes in pixels; the model's offscreen buffer must be at least as large.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        self._model = model
        self._gl: mujoco.GLContext | None = mujoco.GLContext(width, height)
        self._gl.make_current()
        self._context: mujoco.MjrContext | None = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        # Far things keep their precision when the far plane is stored as 0.
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR  # type: ignore[assignment]
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._shape = (height, width)

    def update(self, data: mujoco.MjData, camera: mujoco.MjvCamera | str, options: mujoco.MjvOption) -> None:
        """Take over the state. camera: a camera of the model by its name, or a free one."""
        if isinstance(camera, str):
            fixed = mujoco.MjvCamera()
            fixed.type, fixed.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self._model.camera(camera).id
            camera = fixed
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, options, None, camera, everything, self._scene)

    def color(self) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3). Raises RuntimeError after close()."""
        out = np.empty((*self._shape, 3), np.uint8)
        self._draw(out, None)
        return out[::-1].copy()

    def depth_and_geoms(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Metres along the optical axis, float32 (H, W), and the model's geom by pixel, -1 where there is none.

        Raises RuntimeError after close().
        """
        flags = self._scene.flags.copy()
        self._scene.flags[[SEGMENT, IDCOLOR]] = 1
        coded, raw = np.empty((*self._shape, 3), np.uint8), np.empty(self._shape, np.float32)
        self._draw(coded, raw)
        self._scene.flags[:] = flags
        number = coded[::-1].astype(np.int32) @ np.array([1, 256, 65536], np.int32)
        shown = [g for g in self._scene.geoms[: self._scene.ngeom] if g.segid >= 0]
        geom_of = np.full(self._scene.ngeom + 1, -1, np.int64)
        for g in shown:
            if g.objtype == int(mujoco.mjtObj.mjOBJ_GEOM):
                geom_of[g.segid + 1] = g.objid
        return self._metres(raw[::-1]), geom_of[number]

    def _metres(self, stored: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """From what the buffer holds, which is near / z scaled so that the far plane is 0 and the near plane 1."""
        extent, planes = self._model.stat.extent, self._model.vis.map
        near, far = np.float64(np.float32(planes.znear * extent)), np.float64(np.float32(planes.zfar * extent))
        metres = near * far / (near + stored.astype(np.float64) * (far - near))
        return metres.astype(np.float32)

    def _draw(self, pixels: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32] | None) -> None:
        if self._context is None or self._gl is None:
            raise RuntimeError("the renderer is closed")
        self._gl.make_current()
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, depth, self._rect, self._context)

    def close(self) -> None:
        """Free the OpenGL context; MuJoCo complains at exit otherwise. More than once does no harm."""
        if self._context is not None and self._gl is not None:
            self._gl.make_current()  # or else what another renderer draws with would be freed
            self._context.free()
            self._gl.free()
        self._context = self._gl = None
