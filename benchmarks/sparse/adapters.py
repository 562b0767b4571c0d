"""One small interface to every library of sparse convolutions, so that the same benchmarks run on all.

Weights are given as [kz, ky, kx, cin, cout], of a cross-correlation: out[p] is the sum over k of
in[p * stride - padding + k] @ weight[k]. To add a library, write a class with the methods of `Adapter` and
name it in `adapter`.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

Triple = tuple[int, int, int]


class Adapter(Protocol):
    """What a library has to offer. Tensors are of its own type; layers map one to one."""

    name: str

    def tensor(self, features: Tensor, coords_bzyx: Tensor, shape: Triple, batch_size: int) -> Any: ...
    def features(self, tensor: Any) -> Tensor: ...
    def coords_bzyx(self, tensor: Any) -> Tensor: ...
    def replace(self, tensor: Any, features: Tensor) -> Any: ...

    def know_maps(self, tensor: Any, out: Any) -> Any:
        """Return `tensor` with the kernel maps that a layer made on the way to `out`."""
        ...

    def submanifold(self, weight: Tensor, key: str) -> nn.Module:
        """Layers with the same key share their kernel map."""
        ...

    def strided(self, weight: Tensor, key: str, stride: Triple, padding: Triple) -> nn.Module: ...

    def inverse(self, weight: Tensor, key: str) -> nn.Module:
        """Go back to the sites of the strided layer with this key."""
        ...


def adapter(name: str) -> Adapter:
    """Return an adapter by name; ImportError if its library is not there."""
    known = {"ours": Ours, "torch": TorchNative, "spconv": Spconv}
    if name not in known:
        raise ImportError(f"{name} has no sparse convolutions here; those that do: {', '.join(known)}")
    return known[name]()


def _load(layer: nn.Module, weight: Tensor) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


class Ours:
    """sparseops."""

    name = "ours"

    def __init__(self) -> None:
        import sparseops

        self.lib = sparseops

    def tensor(self, features: Tensor, coords_bzyx: Tensor, shape: Triple, batch_size: int) -> Any:
        return self.lib.SparseTensor(features, coords_bzyx, shape, batch_size)

    def features(self, tensor: Any) -> Tensor:
        return tensor.features

    def coords_bzyx(self, tensor: Any) -> Tensor:
        return tensor.coords

    def replace(self, tensor: Any, features: Tensor) -> Any:
        return tensor.replace(features)

    def know_maps(self, tensor: Any, out: Any) -> Any:
        return tensor  # both share one cache

    def submanifold(self, weight: Tensor, key: str) -> nn.Module:
        *kernel, cin, cout = weight.shape
        return _load(self.lib.nn.SubmanifoldConv3d(cin, cout, tuple(kernel), bias=False), weight)

    def strided(self, weight: Tensor, key: str, stride: Triple, padding: Triple) -> nn.Module:
        *kernel, cin, cout = weight.shape
        settings = {"stride": stride, "padding": padding, "bias": False, "key": key}
        return _load(self.lib.nn.SparseConv3d(cin, cout, tuple(kernel), **settings), weight)

    def inverse(self, weight: Tensor, key: str) -> nn.Module:
        *kernel, cin, cout = weight.shape
        return _load(self.lib.nn.InverseConv3d(cin, cout, tuple(kernel), of=key, bias=False), weight)

    @staticmethod
    def pairs(layer: nn.Module, tensor: Any, out: Any) -> int:
        """Pairs of the kernel map that took `layer` from `tensor` to `out`."""
        for key, plan in out.cache.maps.items():
            same = key.window.kernel_size == layer.kernel_size
            if same and plan.sites_out is out.sites and plan.sites_in is tensor.sites:
                return len(plan.pairs_in)
        raise LookupError(f"no map of {layer} in the cache")


class Spconv:
    """spconv 2.3.8.

    Its CPU wheel adds into rows from several OpenMP threads at once, which gives wrong sums in some runs: it
    runs on one thread, in a process that started with OMP_NUM_THREADS=1. Layers have no bias, with which it
    refuses to evaluate on a CPU.
    """

    name = "spconv"

    def __init__(self) -> None:
        import spconv.pytorch
        import spconv.pytorch.ops

        if not torch.cuda.is_available():  # its backward pass asks for a CUDA stream, even on a CPU
            spconv.pytorch.ops.get_current_stream = lambda: 0
        self.lib = spconv.pytorch

    def tensor(self, features: Tensor, coords_bzyx: Tensor, shape: Triple, batch_size: int) -> Any:
        return self.lib.SparseConvTensor(features, coords_bzyx, list(shape), batch_size)

    def features(self, tensor: Any) -> Tensor:
        return tensor.features

    def coords_bzyx(self, tensor: Any) -> Tensor:
        return tensor.indices

    def replace(self, tensor: Any, features: Tensor) -> Any:
        return tensor.replace_feature(features)

    def know_maps(self, tensor: Any, out: Any) -> Any:
        tensor.indice_dict.update(out.indice_dict)
        return tensor

    def submanifold(self, weight: Tensor, key: str) -> nn.Module:
        *kernel, cin, cout = weight.shape
        layer = self.lib.SubMConv3d(cin, cout, kernel, bias=False, indice_key=key)
        return _load(layer, weight.permute(4, 0, 1, 2, 3))

    def strided(self, weight: Tensor, key: str, stride: Triple, padding: Triple) -> nn.Module:
        *kernel, cin, cout = weight.shape
        layer = self.lib.SparseConv3d(cin, cout, kernel, stride, padding, bias=False, indice_key=key)
        return _load(layer, weight.permute(4, 0, 1, 2, 3))

    def inverse(self, weight: Tensor, key: str) -> nn.Module:
        *kernel, cin, cout = weight.shape
        layer = self.lib.SparseInverseConv3d(cin, cout, kernel, bias=False, indice_key=key)
        return _load(layer, weight.permute(4, 0, 1, 2, 3))


class TorchNative:
    """What one writes without a library: sorted keys, a binary search per offset; gather, mm, index_add."""

    name = "torch"

    def tensor(self, features: Tensor, coords_bzyx: Tensor, shape: Triple, batch_size: int) -> "_Rows":
        return _Rows(features, coords_bzyx, shape, {})

    def features(self, tensor: "_Rows") -> Tensor:
        return tensor.features

    def coords_bzyx(self, tensor: "_Rows") -> Tensor:
        return tensor.coords

    def replace(self, tensor: "_Rows", features: Tensor) -> "_Rows":
        return _Rows(features, tensor.coords, tensor.shape, tensor.maps)

    def know_maps(self, tensor: "_Rows", out: "_Rows") -> "_Rows":
        return tensor

    def submanifold(self, weight: Tensor, key: str) -> nn.Module:
        same = tuple(size // 2 for size in weight.shape[:3])
        return _Convolution(weight, key, "submanifold", (1, 1, 1), same)

    def strided(self, weight: Tensor, key: str, stride: Triple, padding: Triple) -> nn.Module:
        return _Convolution(weight, key, "strided", stride, padding)

    def inverse(self, weight: Tensor, key: str) -> nn.Module:
        return _Convolution(weight, key, "inverse", (1, 1, 1), (0, 0, 0))


class _Rows:
    def __init__(
        self, features: Tensor, coords: Tensor, shape: tuple[int, ...], maps: dict[str, Any]
    ) -> None:
        self.features, self.coords, self.shape, self.maps = features, coords, shape, maps


class _Convolution(nn.Module):
    def __init__(
        self, weight: Tensor, key: str, kind: str, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.flatten(0, 2).clone())
        self.kernel, self.key, self.kind = weight.shape[:3], key, kind
        self.stride, self.padding = torch.tensor(stride), torch.tensor(padding)

    def forward(self, tensor: _Rows) -> _Rows:
        if self.kind != "inverse" and self.key not in tensor.maps:
            tensor.maps[self.key] = ((tensor.coords, tensor.shape), *self._map(tensor))
        source, target, pairs = tensor.maps[self.key]
        if self.kind == "inverse":
            target, pairs = source, [(outputs, inputs) for inputs, outputs in pairs]
        coords, shape = target
        out = tensor.features.new_zeros(len(coords), self.weight.shape[2])
        for weight, (inputs, outputs) in zip(self.weight, pairs, strict=True):
            out.index_add_(0, outputs, tensor.features[inputs] @ weight)
        return _Rows(out, coords, shape, tensor.maps)

    def _map(self, tensor: _Rows) -> tuple[tuple[Tensor, tuple[int, ...]], list[tuple[Tensor, Tensor]]]:
        """The output sites, and rows (in, out) of the pairs at every offset."""
        inputs, keys = [], []
        shape = torch.tensor(tensor.shape)
        if self.kind == "strided":
            shape = (shape + 2 * self.padding - torch.tensor(self.kernel)) // self.stride + 1
        for offset in torch.cartesian_prod(*(torch.arange(size) for size in self.kernel)):
            scaled = tensor.coords[:, 1:].long() + self.padding - offset
            cell = scaled.div(self.stride, rounding_mode="floor")
            hit = (cell * self.stride == scaled).all(1) & (cell >= 0).all(1) & (cell < shape).all(1)
            inputs.append(hit.nonzero().squeeze(1))
            keys.append(_keys(torch.cat([tensor.coords[:, :1].long(), cell], 1)[hit], shape))
        if self.kind == "strided":
            found = torch.cat(keys).unique()
            coords = torch.stack(torch.unravel_index(found, (2**31, *shape.tolist())), 1).int()
            pairs = [(rows, torch.searchsorted(found, key)) for rows, key in zip(inputs, keys, strict=True)]
            return (coords, tuple(shape.tolist())), pairs
        present, order = _keys(tensor.coords.long(), shape).sort()
        pairs = []
        for rows, key in zip(inputs, keys, strict=True):
            at = torch.searchsorted(present, key).clamp_(max=len(present) - 1)
            hit = present[at] == key
            pairs.append((rows[hit], order[at[hit]]))
        return (tensor.coords, tensor.shape), pairs


def _keys(coords: Tensor, shape: Tensor) -> Tensor:
    b, z, y, x = coords.unbind(1)
    return ((b * shape[0] + z) * shape[1] + y) * shape[2] + x
