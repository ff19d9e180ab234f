"""A position smoothed without lag: a Kalman filter of constant velocity that follows at once what it did not expect.

A thing at rest is averaged over its measurements. When a measurement is far from the forecast, the filter's own
uncertainty is raised until the two agree (an adaptive fading memory), so that a jump costs no delay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Motion = tuple[Vector, Vector]

ACCELERATION = 0.02  # m/s^2, deviation of what a thing does by itself: little, so that rest is averaged
SPEED = 0.3  # m/s, deviation of a new thing's velocity
SURPRISE, EXPECTED = 9.0, 3.0  # normalised squared innovation, three axes: beyond this, and what it should be


def motion_over(seconds: float) -> Motion:
    """What so many seconds do to a state, and the covariance that they add."""
    step, gain = np.eye(6), np.concatenate([np.eye(3) * seconds**2 / 2, np.eye(3) * seconds])
    step[:3, 3:] = np.eye(3) * seconds
    return step, gain @ gain.T * ACCELERATION**2


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

    def forecast(self, motion: Motion) -> None:
        """Move on by the time that motion_over() was given."""
        step, noise = motion
        self.state = step @ self.state
        self.covariance = step @ self.covariance @ step.T + noise

    def rest(self) -> None:
        """Nothing is known of its motion any more: it is taken to stand where it is."""
        self.state[3:] = 0.0

    def measure(self, position: Vector, covariance: Vector) -> None:
        """Take in a measured position (3,) with its covariance (3, 3)."""
        innovation = position - self.position
        weight = np.linalg.inv(self.covariance[:3, :3] + covariance)
        if innovation @ weight @ innovation > SURPRISE:
            # Along the innovation only: what is said across it stays worth what it was.
            self.covariance[:3, :3] += np.outer(innovation, innovation) / EXPECTED
            weight = np.linalg.inv(self.covariance[:3, :3] + covariance)
        ours = self.covariance[:, :3]
        gain = ours @ weight
        self.state = self.state + gain @ innovation
        self.covariance = self.covariance - gain @ ours.T
