"""Things fall and come to rest, or the physics fails: one scene in two hundred, where things were put into each other.

MuJoCo then puts everything back to where it is kept while not in use, and goes on: a picture of an empty table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mujoco
import numpy as np

from refseg_ros.sim.pool import ObjectPool

STEPS, LEAST = 250, 60
STILL = 0.03  # m/s and rad/s
FAILED = [int(w) for w in (
    mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC
)]  # fmt: skip


def settle(pool: ObjectPool, indices: Sequence[int], early: bool) -> bool:
    """Step for a second at the most; early: less where all of them lie still.

    False where the physics failed: what is there now is no scene.
    """
    moving = np.concatenate([pool.dof[i] + np.arange(6) for i in indices]) if indices else np.arange(0)
    with _handled_here():
        for step in range(STEPS):
            mujoco.mj_step(pool.model, pool.data)
            looked_at = early and step >= LEAST and step % 10 == 0
            if looked_at and np.abs(pool.data.qvel[moving]).max(initial=0) < STILL:
                break
    return not any(pool.data.warning[w].number for w in FAILED)


@contextmanager
def _handled_here() -> Iterator[None]:
    """MuJoCo would write MUJOCO_LOG.TXT into whatever folder one is in."""
    others = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(others)
