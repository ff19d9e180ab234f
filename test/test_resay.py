"""Training files get new expressions without being rendered again, old files too."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

from test_expressions import random_scene

from refseg_ros.sim.resay import recovered_pose, resay
from refseg_ros.sim.stored import DamagedScene, load_expressions, load_scene, save_scene


@pytest.fixture
def file(tmp_path):
    save_scene(tmp_path / "scene_0000007.npz", random_scene(3))
    return tmp_path / "scene_0000007.npz"


def make_old(path):
    """As files were before they held the camera's pose, sizes and paint."""
    with np.load(path) as data:
        arrays = {n: data[n] for n in data.files if n != "meta"}
        meta = json.loads(data["meta"].tobytes())
    new = ("paint", "size_m")
    objects = [{k: v for k, v in o.items() if k not in new} for o in meta["objects"]]
    old = {"objects": [o | {"colours": ["violet"]} for o in objects], "expressions": []}
    np.savez(path, **arrays, meta=np.frombuffer(json.dumps(old).encode(), np.uint8))


def test_a_file_holds_its_pose_and_what_is_said_stands_by_itself(file):
    scene = load_scene(file)
    np.testing.assert_allclose(scene.t_world_camera, random_scene(3).t_world_camera)
    assert len(scene.expressions) > 100 and not any(e["excluded"] for e in scene.expressions)


def test_old_files_get_a_pose_labels_and_words(file):
    before = load_scene(file)
    make_old(file)
    assert load_scene(file).t_world_camera is None
    assert resay(file)
    after = load_scene(file)
    np.testing.assert_allclose(after.t_world_camera, before.t_world_camera, atol=1e-6)
    np.testing.assert_array_equal(after.instance_ids, before.instance_ids)
    np.testing.assert_array_equal(after.rgb, before.rgb)
    assert [o["colours"] for o in after.objects] == [o["colours"] for o in before.objects]
    assert all(o["size_m"] for o in after.objects if o["visible_px"])
    assert len(after.expressions) > 100 and after.seed == 7


def test_the_wording_has_a_seed_of_its_own(file):
    resay(file, seed=1)
    first = load_scene(file).expressions
    resay(file, seed=2)
    assert load_scene(file).expressions != first
    resay(file, seed=1)
    assert load_scene(file).expressions == first


def test_things_in_one_line_fix_no_pose(file):
    line = [{"position_world": [0.1 * i, 0, 0], "position_camera": [0, 0.1 * i, 1]} for i in range(4)]
    assert recovered_pose(line) is None and recovered_pose(line[:2]) is None
    moved = [{"position_world": p, "position_camera": p} for p in ([0, 0, 0], [1, 0, 0], [0, 1, 0])]
    np.testing.assert_allclose(recovered_pose(moved), np.eye(4), atol=1e-9)
    moved[0] = {"position_world": [0, 0, 0], "position_camera": [0.1, 0, 0]}
    assert recovered_pose(moved) is None


def test_the_command_rewords_a_folder(file):
    command = [sys.executable, "-m", "refseg_ros.sim.resay", str(file.parent), "--workers", "1", "--seed", "9"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "1 scenes have new expressions; 0 kept theirs" in done.stdout


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_one_sentence_that_names_it(file, left):
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    for read in (load_scene, load_expressions):
        with pytest.raises(DamagedScene, match=rf"{file.name} is damaged; delete it"):
            read(file)
