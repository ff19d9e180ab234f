"""A position smoothed without lag: a Kalman filter of constant velocity that follows at once what it did not expect.

A thing at rest is averaged over its measurements. When a measurement is far from the forecast, the filter's own
uncertainty is raised until the two agree (an adaptive fading memory), so that a jump costs no delay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

ACCELERATION = 0.02  # m/s^2, deviation of what a thing does by itself: little, so that rest is averaged
SPEED = 0.3  # m/s, deviation of a new thing's velocity
SURPRISE, EXPECTED = 9.0, 3.0  # normalised squared innovation, three axes: beyond this, and what it should be


class PositionFilter:
    """position (3,) metres and velocity (3,) m/s, with their covariance (6, 6)."""

    def __init__(self, position: Vector, covariance: Vector) -> None:
        self.state = np.concatenate([position, np.zeros(3)])
        self.covariance = np.zeros((6, 6))
        self.covariance[:3, :3] = covariance
        self.covariance[3:, 3:] = np.eye(3) * SPEED**2

    @property
    def position(self) -> Vector:
        return self.state[:3]

    @property
    def velocity(self) -> Vector:
        return self.state[3:]

    @property
    def std(self) -> float:
        """Deviation of the position, one axis, metres."""
        return float(np.sqrt(np.trace(self.covariance[:3, :3]) / 3))

    def forecast(self, seconds: float) -> None:
        """Move on by so many seconds."""
        step = np.eye(6)
        step[:3, 3:] = np.eye(3) * seconds
        gain = np.concatenate([np.eye(3) * seconds**2 / 2, np.eye(3) * seconds])
        self.state = step @ self.state
        self.covariance = step @ self.covariance @ step.T + gain @ gain.T * ACCELERATION**2

    def rest(self) -> None:
        """Nothing is known of its motion any more: it is taken to stand where it is."""
        self.state[3:] = 0.0

    def measure(self, position: Vector, covariance: Vector) -> None:
        """Take in a measured position (3,) with its covariance (3, 3)."""
        innovation = position - self.position
        spread = self.covariance[:3, :3] + covariance
        surprise = float(innovation @ np.linalg.solve(spread, innovation))
        if surprise > SURPRISE:
            # Along the innovation only: what is said across it stays worth what it was.
            self.covariance[:3, :3] += np.outer(innovation, innovation) / EXPECTED
            spread = self.covariance[:3, :3] + covariance
        gain = np.linalg.solve(spread, self.covariance[:3]).T
        self.state = self.state + gain @ innovation
        joseph = np.eye(6)
        joseph[:, :3] -= gain
        self.covariance = joseph @ self.covariance @ joseph.T + gain @ covariance @ gain.T
