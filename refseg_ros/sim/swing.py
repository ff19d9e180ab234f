"""Tracking against the simulator's truth: a camera that swings around a table, its noise on, and things missed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.core.tracking import Tracker
from refseg_ros.core.tracks import EventKind
from refseg_ros.core.types import Frame, Instance, PhraseVerdict, Segmentation, crop_mask, intrinsics_from_k
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.scene import TABLE_HEIGHT, Scene
from refseg_ros.sim.sensor import SensorModel

PIVOT = np.array([0.0, 0.0, TABLE_HEIGHT])
LEAST_PX = 150


@dataclass
class Swing:
    """things: seen at all; switches: times that one got another id; moved: events of a motion that was none;
    camera_error_m: the largest; by image: instances, and (wall, processor) milliseconds of track_ms and lift_ms."""

    things: int = 0
    switches: int = 0
    moved: int = 0
    camera_error_m: float = 0.0
    instances: list[int] = field(default_factory=list)
    track_ms: list[tuple[float, float]] = field(default_factory=list)
    lift_ms: list[tuple[float, float]] = field(default_factory=list)


def swing(
    seed: int, frames: int, missed: float = 0.1, size: tuple[int, int] = (640, 480), period_s: float = 0.2
) -> Swing:
    """Follow everything in one scene over `frames` images. missed: share of the things left out of each image."""
    out, sensor, lifter, tracker = Swing(), SensorModel(), Lifter(), Tracker()
    rng = np.random.default_rng(seed)
    ids: dict[int, int] = {}
    with SceneEngine(width=size[0], height=size[1]) as engine:
        first = engine.scene(seed, count=(10, 12)).t_world_camera
        for n in range(frames):
            turn = Rotation.from_euler("z", 0.35 * np.sin(n / 10)).as_matrix()
            pose = first.copy()
            pose[:3, :3], pose[:3, 3] = turn @ first[:3, :3], PIVOT + turn @ (first[:3, 3] - PIVOT)
            scene = engine.look(pose)
            camera = intrinsics_from_k(scene.k, *size)
            stamp = int((1 + n * period_s) * 1e9)
            frame = Frame(sensor.color(scene.rgb, rng), sensor.depth(scene.depth, rng), camera, stamp_ns=stamp)
            shown = [o.id for o in scene.objects if o.visible_px > LEAST_PX and rng.random() >= missed]
            instances = _instances(scene, shown)
            began = _clocks()
            objects = lifter.lift(frame, instances)
            out.lift_ms.append(_since(began))
            verdict = PhraseVerdict("everything", Verdict.FOUND, 0.9, tuple(i.id for i in instances))
            answer = Segmentation("everything", Outcome.FOUND, size, "truth", (verdict,), instances, objects)
            began = _clocks()
            tracked = tracker.update(answer, frame, stamp * 1e-9)
            out.track_ms.append(_since(began))
            out.instances.append(len(instances))
            for instance, number in zip(tracked.segmentation.instances, shown, strict=True):
                out.switches += ids.setdefault(number, instance.id) != instance.id
                ids[number] = instance.id
            out.moved += sum(e.kind is EventKind.MOVED for e in tracked.events)
            true = (np.linalg.inv(first) @ pose)[:3, 3]
            out.camera_error_m = max(out.camera_error_m, float(np.linalg.norm(tracker.camera.translation - true)))
    out.things = len(ids)
    return out


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return 1e3 * (now[0] - began[0]), 1e3 * (now[1] - began[1])


def _instances(scene: Scene, shown: list[int]) -> tuple[Instance, ...]:
    crops = [crop_mask(scene.instance_ids == number) for number in shown]
    return tuple(Instance(n, 0, 0.9, mask, offset) for n, (mask, offset) in enumerate(crops, 1))
