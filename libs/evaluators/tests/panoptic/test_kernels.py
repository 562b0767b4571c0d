from collections import Counter

import numpy as np
import pytest
from evaluators.panoptic._kernels import count_pairs
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize(("n", "distinct"), [(0, 1), (1, 1), (3000, 2), (3000, 40), (6000, 5000)])
def test_pairs_are_counted_in_order_of_first_appearance(dtype: type, n: int, distinct: int) -> None:
    rng = np.random.default_rng(n + distinct)
    values = rng.integers(0, np.iinfo(dtype).max, distinct, dtype=dtype, endpoint=True)
    first, second = values[rng.integers(0, distinct, n)], values[rng.integers(0, distinct, n)]
    left, right, counts = count_pairs(first, second)
    expected = Counter(zip(first.tolist(), second.tolist(), strict=True))
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == list(expected)
    assert counts.tolist() == list(expected.values())


@given(values=st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 2), max_size=20), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_any_64_bit_pair_is_exact(values: list[tuple[int, int]], seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, max(len(values), 1), 30 if values else 0)
    pairs = np.array(values, dtype=np.uint64).reshape(-1, 2)[drawn]
    left, right, counts = count_pairs(pairs[:, 0].copy(), pairs[:, 1].copy())
    assert dict(zip(zip(left.tolist(), right.tolist(), strict=True), counts.tolist(), strict=True)) == dict(
        Counter(map(tuple, pairs.tolist()))
    )


def test_pairs_that_hash_to_one_slot_stay_apart() -> None:
    # Multiples of 2**32 share the low bits that a careless hash would use.
    first = (np.arange(4000, dtype=np.uint64) << np.uint64(32)).repeat(2)
    left, right, counts = count_pairs(first, np.zeros_like(first))
    assert left.tolist() == first[::2].tolist()
    assert not right.any()
    assert counts.tolist() == [2] * 4000
