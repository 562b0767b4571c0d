"""Instructions that numba does not offer: an atomic counter, and register-blocked multiply-add loops.

The two loops are the whole arithmetic of the sparse convolution. Each keeps a block of results in vector
registers, which plain numba loops cannot promise, and reads feature rows straight through the list of
pairs, without a copy. They are emitted as LLVM vector code, so they become AVX2, AVX-512 or NEON on the
machine that runs them.
"""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))

COLUMNS = 16
"""Results per block row."""
ROWS = 12 if _WIDE else 6
"""Pairs per block of the convolution: ROWS x COLUMNS floats fill the vector registers of the machine."""
TAIL_ROWS = 4 if _WIDE else 2
"""Pairs per block at the end of a list."""
DEPTH_ROWS = 16 if _WIDE else 4
"""Input channels per block of the weight gradient."""


@intrinsic
def fetch_add(typingctx: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the int64 at `address` and add one to it, atomically: hands every task to exactly one thread."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        pointer = builder.inttoptr(args[0], _INT64.as_pointer())
        return builder.atomic_rmw("add", pointer, _INT64(1), "monotonic")

    return types.int64(types.int64), codegen


def _bit_count(name: str, *flags: ir.Constant) -> Callable[..., Any]:
    @intrinsic
    def count(typingctx: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(
            context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]
        ) -> ir.Value:
            kind = ir.FunctionType(_INT64, [_INT64, *[flag.type for flag in flags]])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.i64")
            return builder.call(function, [args[0], *flags])

        return types.int64(types.uint64), codegen

    return count


ones = _bit_count("ctpop")
"""Number of set bits of a uint64."""

lowest = _bit_count("cttz", ir.Constant(ir.IntType(1), 1))
"""Number of the lowest set bit of a uint64 that is not zero."""


class _Emitter:
    """Short names for the address arithmetic of one kernel. All addresses and strides are in bytes."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type) -> None:
        self.builder, self.element = builder, element
        self.size = 4 if isinstance(element, ir.FloatType) else 8
        self.vector = ir.VectorType(element, COLUMNS)
        name = f"llvm.fmuladd.v{COLUMNS}f{self.size * 8}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self.multiply_add = cgutils.get_or_insert_function(builder.module, kind, name)

    def add(self, address: Any, offset: Any) -> Any:
        return self.builder.add(address, offset)

    def load(self, kind: ir.Type, address: ir.Value, align: int) -> Any:
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=align)

    def load_vector(self, address: ir.Value) -> ir.Value:
        return self.load(self.vector, address, self.size)

    def broadcast(self, address: ir.Value) -> ir.Value:
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, self.load(self.element, address, self.size), _INT32(0))
        zeros = ir.Constant(ir.VectorType(_INT32, COLUMNS), [0] * COLUMNS)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def row(self, base: ir.Value, stride: ir.Value, numbers: ir.Value, at: ir.Value) -> ir.Value:
        """Address of the row whose number is entry `at` of the int32 list at `numbers`."""
        entry = self.add(numbers, self.builder.mul(at, _INT64(4)))
        number = self.builder.sext(self.load(_INT32, entry, 4), _INT64)
        return self.add(base, self.builder.mul(number, stride))

    def accumulate(self, address: ir.Value, total: ir.Value) -> None:
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        old = self.builder.load(pointer, align=self.size)
        self.builder.store(self.builder.fadd(old, total), pointer, align=self.size)

    def loop(
        self, count: ir.Value, width: int, body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]]
    ) -> list[ir.Value]:
        """Run `body(index, sums)` for 0 <= index < count (count > 0), with `width` vector sums from zero."""
        builder = self.builder
        before, inside = builder.block, builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(_INT64)
        sums = [builder.phi(self.vector) for _ in range(width)]
        results = body(index, list(sums))
        following = builder.add(index, _INT64(1))
        index.add_incoming(_INT64(0), before)
        index.add_incoming(following, builder.block)
        zero = ir.Constant(self.vector, [0.0] * COLUMNS)
        for total, result in zip(sums, results, strict=True):
            total.add_incoming(zero, before)
            total.add_incoming(result, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        builder.position_at_end(after)
        return results


def _element_of(array: Any) -> ir.Type:
    return ir.DoubleType() if array.dtype == types.float64 else ir.FloatType()


def _make_convolve(rows: int) -> Callable[..., None]:
    @intrinsic
    def convolve(
        typingctx: Any,
        like: Any,
        count: Any,
        source: Any,
        source_stride: Any,
        pairs_in: Any,
        weight: Any,
        depth: Any,
        target: Any,
        target_stride: Any,
        pairs_out: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        def codegen(
            context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]
        ) -> ir.Value:
            _, count, source, source_stride, pairs_in, weight, depth, target, target_stride, pairs_out = args
            emit = _Emitter(builder, _element_of(like))
            last = builder.sub(count, _INT64(1))
            present = [builder.icmp_signed("<", _INT64(r), count) for r in range(rows)]
            # Beyond the end of the list the last pair is computed again and not stored.
            at = [builder.select(present[r], _INT64(r), last) for r in range(rows)]
            inputs = [emit.row(source, source_stride, pairs_in, a) for a in at]
            outputs = [emit.row(target, target_stride, pairs_out, a) for a in at]

            def body(channel: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                slice_ = emit.load_vector(emit.add(weight, builder.mul(channel, _INT64(COLUMNS * emit.size))))
                offset = builder.mul(channel, _INT64(emit.size))
                values = [emit.broadcast(emit.add(row, offset)) for row in inputs]
                return [
                    builder.call(emit.multiply_add, [v, slice_, s]) for v, s in zip(values, sums, strict=True)
                ]

            totals = emit.loop(depth, rows, body)
            for r in range(rows):
                with builder.if_then(present[r], likely=True):
                    emit.accumulate(outputs[r], totals[r])
            return context.get_dummy_value()

        return types.void(like, *[types.int64] * 9), codegen

    return convolve


convolve_rows = _make_convolve(ROWS)
"""`f(like, count, source, source_stride, pairs_in, weight, depth, target, target_stride, pairs_out)`.

For each of `count` <= ROWS pairs: target[out, :16] += source[in, :depth] @ weight[:depth, :16]. `weight` is
contiguous [depth, 16]; `pairs_*` are int32 lists of row numbers; all are addresses and bytes. `like` is an
array of the element type."""

convolve_tail = _make_convolve(TAIL_ROWS)
"""The same for at most TAIL_ROWS pairs."""


def _make_outer(rows: int, vectors: int) -> Callable[..., None]:
    @intrinsic
    def outer(
        typingctx: Any,
        like: Any,
        count: Any,
        source: Any,
        source_stride: Any,
        pairs_in: Any,
        valid: Any,
        grad: Any,
        grad_stride: Any,
        pairs_out: Any,
        target: Any,
        target_stride: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        def codegen(
            context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]
        ) -> ir.Value:
            _, count, source, source_stride, pairs_in, valid, grad, grad_stride, pairs_out = args[:9]
            target, target_stride = args[9:]
            emit = _Emitter(builder, _element_of(like))
            last = builder.sub(valid, _INT64(1))
            channels = []
            for r in range(rows):
                inside = builder.icmp_signed("<", _INT64(r), valid)
                channels.append(builder.mul(builder.select(inside, _INT64(r), last), _INT64(emit.size)))
            columns = [_INT64(v * COLUMNS * emit.size) for v in range(vectors)]

            def body(pair: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                row = emit.row(source, source_stride, pairs_in, pair)
                upstream_row = emit.row(grad, grad_stride, pairs_out, pair)
                upstream = [emit.load_vector(emit.add(upstream_row, column)) for column in columns]
                results = []
                for r, channel in enumerate(channels):
                    value = emit.broadcast(emit.add(row, channel))
                    for v, vector in enumerate(upstream):
                        total = sums[r * vectors + v]
                        results.append(builder.call(emit.multiply_add, [value, vector, total]))
                return results

            totals = emit.loop(count, rows * vectors, body)
            for r in range(rows):
                row = emit.add(target, builder.mul(target_stride, _INT64(r)))
                for v, column in enumerate(columns):
                    emit.accumulate(emit.add(row, column), totals[r * vectors + v])
            return context.get_dummy_value()

        return types.void(like, *[types.int64] * 10), codegen

    return outer


outer = _make_outer(DEPTH_ROWS, 1)
"""`f(like, count, source, source_stride, pairs_in, valid, grad, grad_stride, pairs_out, target, stride)`.

Add `source[in, r] * grad[out, :16]` over `count` >= 1 pairs to target[r, :16], for r < DEPTH_ROWS. Rows from
`valid` on repeat the last valid one: the caller leaves room for them and drops them. Arguments as in
`convolve_rows`."""

outer_wide = _make_outer(DEPTH_ROWS // 2, 2)
"""The same for 32 columns and half the rows: as many sums, but a value read is used twice."""
