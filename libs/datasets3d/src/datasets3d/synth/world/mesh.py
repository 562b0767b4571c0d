"""Triangle meshes that carry what both sensors need to know about a surface."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from datasets3d.synth.world.materials import Material

Vector = Sequence[float | int] | Float[np.ndarray, "3"]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles with material, colour, and per corner texture coordinates and shading normals."""

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    material: UInt8[np.ndarray, " m"]
    color: Float[np.ndarray, "m 3"]
    uv: Float[np.ndarray, "m 3 2"]
    normals: Float[np.ndarray, "m 3 3"]

    @property
    def extent(self) -> Float[np.ndarray, "2 3"]:
        """Lowest and highest corner of the axis-aligned bounding box."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])


def make_mesh(
    vertices: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "m 3"],
    *,
    material: Material | UInt8[np.ndarray, " m"],
    color: Vector | Float[np.ndarray, "m 3"] = (0.5, 0.5, 0.5),
    uv: Float[np.ndarray, "m 3 2"] | None = None,
) -> Mesh:
    """Build a flat-shaded mesh; one material and colour for all faces or one each."""
    count = len(faces)
    flat = face_normals(vertices, faces).astype(np.float32)
    return Mesh(
        vertices=np.asarray(vertices, dtype=np.float64),
        faces=np.asarray(faces, dtype=np.int32),
        material=np.broadcast_to(np.asarray(material, dtype=np.uint8), (count,)).copy(),
        color=np.broadcast_to(np.asarray(color, dtype=np.float32), (count, 3)).copy(),
        uv=np.zeros((count, 3, 2), dtype=np.float32) if uv is None else uv.astype(np.float32),
        normals=np.repeat(flat[:, None], 3, axis=1),
    )


def face_normals(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]
) -> Float[np.ndarray, "m 3"]:
    """Unit normals; zero for triangles without area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def concatenate(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh out of many; at least one is needed."""
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        vertices=np.concatenate([m.vertices for m in meshes]),
        faces=np.concatenate([m.faces + np.int32(o) for m, o in zip(meshes, offsets, strict=True)]),
        material=np.concatenate([m.material for m in meshes]),
        color=np.concatenate([m.color for m in meshes]),
        uv=np.concatenate([m.uv for m in meshes]),
        normals=np.concatenate([m.normals for m in meshes]),
    )


def place(mesh: Mesh, *, position: Vector, yaw_rad: float = 0.0) -> Mesh:
    """Rotate about z, then move."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return replace(
        mesh,
        vertices=mesh.vertices @ turn + np.asarray(position, dtype=np.float64),
        normals=(mesh.normals @ turn.astype(np.float32)),
    )


def stretch(mesh: Mesh, factors: Vector) -> Mesh:
    """Scale the axes; normals follow by the inverse factors."""
    factor = np.asarray(factors, dtype=np.float64)
    normals = mesh.normals / factor.astype(np.float32)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return replace(mesh, vertices=mesh.vertices * factor, normals=normals)


def repaint(mesh: Mesh, material: Material, color: Vector) -> Mesh:
    """Give all faces of one material another colour."""
    colors = mesh.color.copy()
    colors[mesh.material == material] = color
    return replace(mesh, color=colors)


def smooth(mesh: Mesh, *, crease_deg: float = 40.0) -> Mesh:
    """Average corner normals over the neighbouring faces that bend less than the crease angle.

    Vertices are joined by position. Memory: the sum of squared vertex valences.
    """
    flat = face_normals(mesh.vertices, mesh.faces)
    corners = mesh.faces.reshape(-1)
    _, vertex = np.unique(np.round(mesh.vertices[corners], 5), axis=0, return_inverse=True)
    vertex = vertex.reshape(-1)
    order = np.argsort(vertex, kind="stable")
    valence = np.bincount(vertex)
    start = np.concatenate([[0], np.cumsum(valence)[:-1]])
    of_corner = valence[vertex]
    first = np.repeat(np.arange(len(corners)), of_corner)
    inside = np.arange(len(first)) - np.repeat(np.cumsum(of_corner) - of_corner, of_corner)
    second = order[start[vertex[first]] + inside]
    own, other = flat[first // 3], flat[second // 3]
    close = np.einsum("ij,ij->i", own, other) > np.cos(np.deg2rad(crease_deg))
    total = np.zeros((len(corners), 3))
    np.add.at(total, first[close], other[close])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total = np.where(length > 1e-9, total / np.maximum(length, 1e-9), np.repeat(flat, 3, axis=0))
    return replace(mesh, normals=total.reshape(-1, 3, 3).astype(np.float32))


def box(
    size: Vector,
    centre: Vector = (0.0, 0.0, 0.0),
    *,
    material: Material,
    color: Vector = (0.5, 0.5, 0.5),
) -> Mesh:
    """An axis-aligned box; texture coordinates run in metres over each side (u horizontal, v up)."""
    half = np.asarray(size, dtype=np.float64) / 2
    sides = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    vertices, uvs = [], []
    for axis, u_axis, v_axis in sides:
        for sign in (-1.0, 1.0):
            quad = np.zeros((4, 3))
            quad[:, axis] = sign * half[axis]
            quad[:, u_axis] = np.array([-1, 1, 1, -1]) * half[u_axis]
            quad[:, v_axis] = np.array([-1, -1, 1, 1]) * half[v_axis]
            outward = np.cross(quad[1] - quad[0], quad[2] - quad[0])[axis] * sign > 0
            quad = quad if outward else quad[::-1]
            vertices.append(quad)
            uvs.append(np.stack([quad[:, u_axis] + half[u_axis], quad[:, v_axis] + half[v_axis]], axis=1))
    return quads(
        np.stack(vertices) + np.asarray(centre, dtype=np.float64),
        np.stack(uvs),
        material=material,
        color=color,
    )


def quads(
    corners: Float[np.ndarray, "q 4 3"],
    uv: Float[np.ndarray, "q 4 2"] | None = None,
    *,
    material: Material | UInt8[np.ndarray, " q"],
    color: Vector | Float[np.ndarray, "m 3"] = (0.5, 0.5, 0.5),
) -> Mesh:
    """Separate quads (corners counter-clockwise seen from outside), two triangles each."""
    count = len(corners)
    first = np.arange(count, dtype=np.int32)[:, None] * 4
    faces = np.stack([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])], axis=1).reshape(-1, 3)
    face_uv = None
    if uv is not None:
        face_uv = np.stack([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]], axis=1).reshape(-1, 3, 2)
    materials = np.repeat(np.broadcast_to(np.asarray(material, dtype=np.uint8), (count,)), 2)
    colors = np.repeat(np.broadcast_to(np.asarray(color, dtype=np.float32), (count, 3)), 2, axis=0)
    return make_mesh(corners.reshape(-1, 3), faces, material=materials, color=colors, uv=face_uv)


def loft(
    sections: Float[np.ndarray, "k p 3"],
    *,
    material: Material | UInt8[np.ndarray, "k-1 p"],
    color: Vector = (0.5, 0.5, 0.5),
    cap_material: Material | None = None,
) -> Mesh:
    """A skin over closed cross-sections, with both ends closed by fans.

    Each section is a ring, counter-clockwise seen against the direction in which the sections follow each
    other. Texture coordinates are (x, z), for side views.
    """
    count, points, _ = sections.shape
    grid = np.arange(count * points).reshape(count, points)
    right = np.roll(grid, -1, axis=1)
    quad = np.stack([grid[:-1], right[:-1], right[1:], grid[1:]], axis=-1).reshape(-1, 4)
    faces = np.stack([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    band = np.asarray(material, dtype=np.uint8)
    skin = np.repeat(np.broadcast_to(band, (count - 1, points)).reshape(-1), 2)
    vertices = np.concatenate(
        [sections.reshape(-1, 3), sections[0].mean(axis=0)[None], sections[-1].mean(axis=0)[None]]
    )
    first, last = count * points, count * points + 1
    front = np.stack([right[0], grid[0], np.full(points, first)], axis=1)
    back = np.stack([grid[-1], right[-1], np.full(points, last)], axis=1)
    cap = cap_material if cap_material is not None else Material(int(band.reshape(-1)[0]))
    all_faces = np.concatenate([faces, front, back])
    materials = np.concatenate([skin, np.full(2 * points, cap, dtype=np.uint8)])
    uv = vertices[all_faces][:, :, [0, 2]]
    return make_mesh(vertices, all_faces, material=materials, color=color, uv=uv)


def tube(
    path: Float[np.ndarray, "k 3"],
    radii: Float[np.ndarray, " k"],
    *,
    sides: int = 8,
    material: Material,
    color: Vector = (0.5, 0.5, 0.5),
) -> Mesh:
    """A round tube along a path (poles, limbs, trunks), smooth-shaded, closed at the ends."""
    path = np.asarray(path, dtype=np.float64)
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    helper = np.where(np.abs(tangent[:, 2:3]) > 0.9, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    across = np.cross(helper, tangent)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    up = np.cross(tangent, across)
    angle = np.arange(sides) * (2 * np.pi / sides)
    ring = np.cos(angle)[None, :, None] * across[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    sections = path[:, None] + ring * np.asarray(radii, dtype=np.float64)[:, None, None]
    return smooth(loft(sections, material=material, color=color), crease_deg=60.0)


def ellipsoid(
    radii: Vector,
    centre: Vector = (0.0, 0.0, 0.0),
    *,
    material: Material,
    color: Vector = (0.5, 0.5, 0.5),
    rings: int = 7,
    sides: int = 10,
) -> Mesh:
    """A smooth-shaded ellipsoid."""
    polar = np.linspace(np.pi - 0.15, 0.15, rings)
    angle = np.arange(sides) * (2 * np.pi / sides)
    unit = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(angle),
            np.sin(polar)[:, None] * np.sin(angle),
            np.broadcast_to(np.cos(polar)[:, None], (rings, sides)),
        ],
        axis=-1,
    )
    sections = unit * np.asarray(radii, dtype=np.float64) + np.asarray(centre, dtype=np.float64)
    return smooth(loft(sections, material=material, color=color), crease_deg=70.0)
