"""Sparse tensors: feature rows on the active sites of a grid, with the kernel maps made for them."""

from dataclasses import dataclass, field
from typing import Literal, overload

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype
from sparseops._values import true_rows
from sparseops.ops.kernel_map import KernelMap, SiteRule, Window
from sparseops.sites import Sites, coords_from_keys, sites_from_coords


@dataclass(frozen=True)
class MapKey:
    """What identifies a kernel map: the request, and the very site set it starts from."""

    kind: Literal["submanifold", "strided", "transposed"]
    window: Window
    """As asked for; a site rule centres it later."""
    sites: Sites
    site_rule: SiteRule = "spconv"
    output_padding: tuple[int, int, int] = (0, 0, 0)
    onto: Sites | None = None


@dataclass
class MapCache:
    """Kernel maps shared by a sparse tensor and everything that layers compute from it.

    It lives as long as they do, and holds maps between sites that the same layers would reach again. Maps of
    sites that every call chooses anew (`prune`, `union_add`, `onto` from elsewhere) are not put here: they
    would collect in the cache of a tensor that is kept.
    """

    maps: dict[MapKey, KernelMap] = field(default_factory=dict)
    """Every map made so far; an identical request takes it from here."""
    named: dict[str, dict[Sites, KernelMap]] = field(default_factory=dict)
    """Maps of strided layers that were given a key, by output sites, for the inverse convolutions behind."""

    def reaches(self, sites: Sites) -> bool:
        """Tell whether a map from or to these very sites is here."""
        return any(sites is found.sites_in or sites is found.sites_out for found in self.maps.values())


@dataclass(init=False, repr=False, eq=False)
class SparseTensor:
    """Feature rows on the active cells of a batch of 2D or 3D grids.

    Rows may be in any order; no two rows share a cell; batch elements may be empty. Immutable by convention:
    layers return new tensors.

    PyTorch finds the features inside, as a field of a dataclass and as the leaf of a pytree: networks may
    take and return sparse tensors under DistributedDataParallel and `fully_shard`. Copies and files hold
    features and sites; kernel maps are made anew for them.

    Args:
        features: One row per site, [n, c].
        coords: b z y x (3D) or b y x (2D), int32.
        spatial_shape: Grid size z y x or y x, as of a dense [b, c, z, y, x] tensor.
        sites: In place of coordinates, shape and batch size, together with `cache`: `dataclasses.replace`
            calls it so. See `SparseTensor.from_sites`.

    Raises:
        TypeError: `coords` is not int32, or `features` is not floating point; neither coordinates, shape and
            batch size nor sites, or both.
        ValueError: sizes that do not fit, cells outside the grid, or two rows on one cell.

    The checks sort unsorted rows and, on a GPU, wait for it; `SparseTensor.from_sites` is the path without
    checks for sites known to be right.

    Example:
        >>> coords = torch.tensor([[0, 1, 2]], dtype=torch.int32)
        >>> SparseTensor(torch.ones(1, 1), coords, (2, 3), 1).dense().tolist()
        [[[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]]
    """

    features: Float[Tensor, "n c"]
    sites: Sites
    cache: MapCache

    @overload
    def __init__(
        self,
        features: Float[Tensor, "n c"],
        coords: Int32[Tensor, "n axes"],
        spatial_shape: tuple[int, ...],
        batch_size: int,
    ) -> None: ...
    @overload
    def __init__(
        self, features: Float[Tensor, "n c"], *, sites: Sites, cache: MapCache | None = None
    ) -> None: ...
    def __init__(
        self,
        features: Float[Tensor, "n c"],
        coords: Int32[Tensor, "n axes"] | None = None,
        spatial_shape: tuple[int, ...] | None = None,
        batch_size: int | None = None,
        *,
        sites: Sites | None = None,
        cache: MapCache | None = None,
    ) -> None:
        if sites is None and coords is not None and spatial_shape is not None and batch_size is not None:
            sites = sites_from_coords(coords, spatial_shape=tuple(spatial_shape), batch_size=batch_size)
        elif sites is None or (coords, spatial_shape, batch_size) != (None, None, None):
            raise TypeError(
                "SparseTensor: pass features with coords, spatial_shape and batch_size, or with sites alone"
            )
        self._set(features, sites, MapCache() if cache is None else cache)

    @classmethod
    def from_sites(
        cls, features: Float[Tensor, "n c"], sites: Sites, *, cache: MapCache | None = None
    ) -> "SparseTensor":
        """Put features on sites that exist already, sharing their kernel maps if `cache` is given."""
        tensor = cls.__new__(cls)
        tensor._set(features, sites, MapCache() if cache is None else cache)
        return tensor

    def _set(self, features: Tensor, sites: Sites, cache: MapCache) -> None:
        check_dtype("SparseTensor", "features", features, HALF_AND_FLOATS)
        if features.ndim != 2 or features.shape[0] != sites.rows:
            raise ValueError(
                f"SparseTensor: features must have one row per site, [{len(sites)}, c], "
                f"got {list(features.shape)}"
            )
        check_device("SparseTensor", ("features", features), ("coords", sites.coords))
        self.features, self.sites, self.cache = features, sites, cache

    def __getstate__(self) -> dict[str, object]:
        return {"features": self.features, "sites": self.sites}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, cache=MapCache())

    @property
    def coords(self) -> Int32[Tensor, "n axes"]:
        """B z y x or b y x of every row."""
        return self.sites.coords

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Grid size z y x or y x."""
        return self.sites.spatial_shape

    @property
    def batch_size(self) -> int:
        """Number of grids."""
        return self.sites.batch_size

    def replace(self, features: Float[Tensor, "n c"]) -> "SparseTensor":
        """Return other features on the same sites, with the same kernel maps."""
        return SparseTensor.from_sites(features, self.sites, cache=self.cache)

    def __add__(self, other: "SparseTensor") -> "SparseTensor":
        """Add the features of a tensor on the same sites, as residual connections do.

        Raises:
            ValueError: The tensors do not share one `Sites` object.
        """
        if not isinstance(other, SparseTensor):
            return NotImplemented
        if other.sites is not self.sites:
            raise ValueError(
                "SparseTensor + SparseTensor: both must lie on the same Sites object, row for row; "
                "sparseops.union_add adds tensors of different sites"
            )
        return self.replace(self.features + other.features)

    def to(
        self, device: torch.device | str | torch.dtype | None = None, *, dtype: torch.dtype | None = None
    ) -> "SparseTensor":
        """Return the tensor on another device, its features in another type. Differentiable.

        A type may stand in the first place, as in `tensor.to(torch.float64)`. Kernel maps stay behind on the
        old device and are made anew on the other one.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        target = self.features.device if device is None else device
        features, sites = self.features.to(target, dtype), self.sites.to(target)
        return SparseTensor.from_sites(features, sites, cache=self.cache if sites is self.sites else None)

    def pin_memory(self) -> "SparseTensor":
        """Return the tensor in page-locked memory, as DataLoaders do; kernel maps are made anew for it."""
        return SparseTensor.from_sites(self.features.pin_memory(), self.sites.pin_memory())

    def batch_rows(self, element: int) -> Int64[Tensor, " m"]:
        """Return the rows of one batch element, ascending; none if it is empty. Waits for the device.

        `features[rows]` and `coords[rows, 1:]` are the element by itself, as `sparse_collate` takes it.

        Raises:
            IndexError: there is no such element.
        """
        if not 0 <= element < self.batch_size:
            raise IndexError(
                f"SparseTensor.batch_rows: element must lie in [0, {self.batch_size}), got {element}"
            )
        return true_rows(self.coords[:, 0] == element)

    def dense(self) -> Float[Tensor, "b c *grid"]:
        """Return the dense tensor, zero where there is no site. Differentiable."""
        grid = self.features.new_zeros(self.batch_size, *self.spatial_shape, self.features.shape[1])
        filled = grid.index_put(tuple(self.coords.long().unbind(1)), self.features)
        return filled.movedim(-1, 1).contiguous()

    def __repr__(self) -> str:
        rows, channels = self.features.shape
        return (
            f"SparseTensor({rows} rows x {channels} channels, spatial_shape={self.spatial_shape}, "
            f"batch_size={self.batch_size}, {self.features.dtype}, {self.features.device})"
        )


def sparse_from_dense(dense: Float[Tensor, "b c *grid"], *, sites: Sites | None = None) -> SparseTensor:
    """Keep the cells of a dense tensor where a channel is not zero, in ascending order. Differentiable.

    Args:
        sites: Take these cells instead, in their order, whatever their values. This path does not wait for
            the device.

    Raises:
        ValueError: not two or three spatial axes; `sites` of another grid, batch size or device.

    Example:
        >>> sparse_from_dense(torch.tensor([[[[0.0, 2.0]]]])).coords.tolist()
        [[0, 0, 1]]
    """
    if dense.ndim not in (4, 5):
        raise ValueError(
            "sparse_from_dense: dense must have shape [b, c, y, x] or [b, c, z, y, x], "
            f"got {list(dense.shape)}"
        )
    shape = tuple(dense.shape[2:])
    rows_last = dense.movedim(1, -1)
    if sites is None:
        coords = coords_from_keys(true_rows((rows_last != 0).any(-1).flatten()), shape)
        order = torch.arange(coords.shape[0], device=coords.device)
        sites = Sites(coords, shape, dense.shape[0], order)
    elif (sites.batch_size, *sites.spatial_shape) != (dense.shape[0], *shape):
        raise ValueError(
            f"sparse_from_dense: sites must have the batch size and grid of dense, {dense.shape[0]} and "
            f"{shape}, got {sites.batch_size} and {sites.spatial_shape}"
        )
    check_device("sparse_from_dense", ("dense", dense), ("sites", sites.coords))
    return SparseTensor.from_sites(rows_last[tuple(sites.coords.long().unbind(1))], sites)
