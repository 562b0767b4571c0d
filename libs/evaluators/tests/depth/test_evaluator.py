"""Figures against plain NumPy, the policies, and what must not change a digit."""

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from evaluators import depth
from evaluators.depth import DepthEvaluator
from evaluators.page import Result
from evaluators.state import Evaluator
from hypothesis import given
from hypothesis import strategies as st


def plain(g: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Return all figures of the pixels g, p as their formulas read."""
    d = np.log(g) - np.log(p)
    ratio = np.maximum(g / p, p / g)
    deltas = dict(zip(depth.METRIC_NAMES[-6:], depth.DELTAS, strict=True))
    return {
        "mae_m": np.mean(np.abs(g - p)),
        "rmse_m": np.sqrt(np.mean((g - p) ** 2)),
        "imae_per_km": 1000 * np.mean(np.abs(1 / g - 1 / p)),
        "irmse_per_km": 1000 * np.sqrt(np.mean((1 / g - 1 / p) ** 2)),
        "log_mae": np.mean(np.abs(d)),
        "log_rmse": np.sqrt(np.mean(d**2)),
        "silog": np.std(d),
        "abs_rel": np.mean(np.abs(g - p) / g),
        "sq_rel_kitti": np.mean((g - p) ** 2 / g**2),
        "sq_rel_eigen_m": np.mean((g - p) ** 2 / g),
        **{name: np.mean(ratio < limit) for name, limit in deltas.items()},
    }


@pytest.mark.parametrize("cap", [20.0, 55.5, math.inf])
def test_figures_are_their_formulas(make_maps: Callable, cap: float) -> None:
    gt, pred = make_maps(0, 5)
    result = depth.evaluate(gt, pred, caps_m=(20, 55.5, math.inf))
    pairs = [(gt[k][(gt[k] > 0) & (gt[k] <= cap)], pred[k][(gt[k] > 0) & (gt[k] <= cap)]) for k in sorted(gt)]
    images = [plain(g, p) for g, p in pairs if g.size]
    everything = plain(*map(np.concatenate, zip(*pairs, strict=True)))
    assert len(images) == 4
    for name in depth.METRIC_NAMES:
        by_image = np.mean([image[name] for image in images])
        assert result.value(name, cap_m=cap) == pytest.approx(by_image, rel=1e-12), name
        assert result.value(name, cap_m=cap, aggregate="pixel") == pytest.approx(everything[name], rel=1e-12)
    assert result.counts.n_empty == (1, 1, 1)


def test_the_range_table_is_that_of_masked_pixels(make_maps: Callable) -> None:
    gt, pred = make_maps(3, 4)
    evaluator = DepthEvaluator(range_edges_m=(15, 60), caps_m=(40,))
    for name in gt:
        evaluator.update(name, gt[name], pred[name])
    g, p = (np.concatenate([maps[k].ravel() for k in sorted(gt)]) for maps in (gt, pred))
    bins = evaluator.compute().ranges
    assert [(item.from_m, item.to_m) for item in bins] == [(0, 15), (15, 60), (60, math.inf)]
    for item in bins:
        inside = (g > item.from_m) & (g <= item.to_m)
        assert item.n_pixels == inside.sum() > 0
        error = (p - g)[inside]
        assert item.mae_m == pytest.approx(np.abs(error).mean(), rel=1e-12)
        assert item.rmse_m == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
        assert item.bias_m == pytest.approx(error.mean(), rel=1e-12)
        assert item.abs_rel == pytest.approx((np.abs(error) / g[inside]).mean(), rel=1e-12)


def test_a_constant_factor_leaves_silog_and_shows_elsewhere() -> None:
    gt = {"a": np.random.default_rng(0).uniform(2, 80, (300, 400))}
    result = depth.evaluate(gt, {"a": gt["a"] * 1.3})
    assert result.value("silog") < 1e-15
    assert result.value("log_mae") == pytest.approx(math.log(1.3), rel=1e-12)
    assert result.value("abs_rel") == pytest.approx(0.3, rel=1e-12)
    assert (result.value("delta_1_25"), result.value("delta_1_25_2")) == (0.0, 1.0)


def test_delta_limits_are_exclusive() -> None:
    gt, pred = {"a": np.array([[50.0, 40.0]])}, {"a": np.array([[40.0, 50.0]])}
    assert depth.evaluate(gt, pred).value("delta_1_25") == 0.0
    assert depth.evaluate(gt, pred, protocol="nlspn").value("delta_1_25") == 1.0, "epsilon tips the balance"


def test_a_cap_counts_itself_and_ranges_start_above_their_lower_end() -> None:
    gt = {"a": np.array([[50.0, np.nextafter(50.0, 51.0)]])}
    result = depth.evaluate(gt, {"a": np.array([[51.0, 53.0]])}, caps_m=(50, 80))
    assert result.counts.n_pixels == (1, 2)
    assert result.value("mae_m", cap_m=50) == 1.0
    assert [item.n_pixels for item in result.ranges if item.n_pixels] == [1, 1]


def test_the_split_of_images_over_processes_changes_no_digit(make_maps: Callable) -> None:
    gt, pred = make_maps(7, 9, shape=(30, 40))

    def gathered(names: list[str]) -> DepthEvaluator:
        evaluator = DepthEvaluator(caps_m=(30, 80))
        for name in names:
            evaluator.update(name, gt[name], pred[name])
        return evaluator

    whole = gathered(sorted(gt)).compute().to_json()
    rng = np.random.default_rng(0)
    for _ in range(10):
        names = rng.permutation(sorted(gt)).tolist()
        cut, cut2 = sorted(rng.integers(0, 10, 2).tolist())
        parts = [gathered(part) for part in (names[:cut], names[cut:cut2], names[cut2:])]
        joined = pickle.loads(pickle.dumps(parts[2]))
        joined.merge(parts[0])
        joined.merge_state(parts[1].state())
        assert joined.compute().to_json() == whole


@pytest.mark.slow
@given(st.permutations(range(6)), st.integers(1, 4))
def test_order_and_mirror_change_nothing(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    gt = {f"{k}": rng.choice([0.0, 10.0, 50.0], (4, 5)) * rng.uniform(1, 1.1) for k in range(6)}
    pred = {name: 30.0 + rng.uniform(-5, 5, (4, 5)) for name in gt}
    first = depth.evaluate(gt, pred)
    again = depth.evaluate({f"{k}": gt[f"{k}"] for k in order}, pred)
    assert first.to_json() == again.to_json()
    mirrored = depth.evaluate(
        {k: g[:, ::-1] for k, g in gt.items()}, {k: p[:, ::-1] for k, p in pred.items()}
    )
    for name in depth.METRIC_NAMES:
        assert mirrored.value(name) == pytest.approx(first.value(name), rel=1e-12, nan_ok=True)


def test_a_mask_is_true_depth_taken_away(make_maps: Callable) -> None:
    gt, pred = make_maps(1, 3)
    masks = {"000": np.random.default_rng(0).random((9, 14)) < 0.5}
    cut = {**gt, "000": np.where(masks["000"], gt["000"], 0.0)}
    assert depth.evaluate(gt, pred, masks=masks).to_json() == depth.evaluate(cut, pred).to_json()
    assert depth.evaluate(gt, pred).to_json() != depth.evaluate(cut, pred).to_json()


def test_inputs_stay_as_they_are_and_any_float_type_will_do(make_maps: Callable) -> None:
    gt, pred = make_maps(2, 1)
    gt["000"], pred["000"] = gt["000"].astype(np.float32), np.asfortranarray(pred["000"].astype(np.float32))
    before = gt["000"].copy(), pred["000"].copy()
    for array in (gt["000"], pred["000"]):
        array.setflags(write=False)
    first = depth.evaluate(gt, pred, fill="kitti", clamp_min_m=2.0, masks={"000": np.ones((9, 14), bool)})
    assert np.array_equal(before[0], gt["000"])
    assert np.array_equal(before[1], pred["000"])
    double = {k: v.astype(np.float64) for k, v in pred.items()}
    assert first.to_json() == depth.evaluate(gt, double, fill="kitti", clamp_min_m=2.0).to_json()


def test_predictions_of_zero_or_less() -> None:
    gt = {"a": np.array([[10.0, 20.0, 0.0]])}
    pred = {"a": np.array([[12.0, -4.0, 0.0]])}
    message = r"frame 'a': 1 of 2 pixels with true depth .*\(first: row 0, column 1, -4 m\).*clamp_min_m"
    with pytest.raises(ValueError, match=message):
        depth.evaluate(gt, pred)
    clamped = depth.evaluate(gt, pred, clamp_min_m=0.5)
    assert clamped.value("mae_m") == (2 + 19.5) / 2
    assert clamped.value("imae_per_km") == pytest.approx(1000 * (1 / 10 - 1 / 12 + 2 - 1 / 20) / 2)
    filled = depth.evaluate(gt, pred, fill="kitti")
    assert (filled.counts.n_filled, filled.counts.n_nonpositive) == (1, (0,))
    assert filled.value("mae_m") == (2 + 8) / 2
    assert "1 counted pixels had no prediction and were filled by KITTI's rule." in filled.notes()
    kept = depth.evaluate(gt, pred, protocol="sparse-beats-dense")
    assert kept.value("mae_m") == (2 + 24) / 2
    assert kept.notes() == ["1 counted pixels have a prediction of zero or less."]
    nlspn = depth.evaluate(gt, pred, protocol="nlspn")
    assert nlspn.value("imae_per_km") == pytest.approx(1000 * (1 / 10 - 1 / 12 + 1 / 20) / 2)
    assert nlspn.value("delta_1_25") == 1.0, "a negative ratio is below every limit, as in that tool"


def test_invalid_numbers_are_refused_or_left_out() -> None:
    gt, pred = np.full((2, 3), 10.0), np.full((2, 3), 11.0)
    for array, value, what in (
        (pred, np.nan, "a finite prediction, got nan"),
        (pred, np.inf, "a finite prediction, got inf"),
        (gt, np.nan, "a finite true depth, 0 for none, got nan"),
        (gt, -1.0, r"a finite true depth, 0 for none, got -1\.0"),
    ):
        broken = array.copy()
        broken[1, 2] = value
        pair = {"a": broken if array is gt else gt}, {"a": broken if array is pred else pred}
        with pytest.raises(
            ValueError, match=f"frame 'a', row 1, column 2: expected {what}; .*on_invalid='drop'"
        ):
            depth.evaluate(*pair)
        result = depth.evaluate(*pair, on_invalid="drop")
        assert (result.counts.n_dropped, result.counts.n_pixels) == (1, (5,))
        assert "1 pixels with an invalid number were left out." in result.notes()


def test_nothing_with_true_depth_is_not_evaluated_rather_than_perfect() -> None:
    result = depth.evaluate({"a": np.zeros((3, 4))}, {"a": np.ones((3, 4))})
    assert not result.evaluated(math.inf)
    assert math.isnan(result.value("mae_m"))
    assert result.notes() == ["all: no pixel has true depth; nothing was evaluated."]
    caps = result.to_json()["caps"]
    assert caps["all"]["image"]["mae_m"] is None
    empty = depth.evaluate({"a": np.zeros((0, 4))}, {"a": np.zeros((0, 4))})
    assert not empty.evaluated(math.inf)


def test_wrong_arguments() -> None:
    one = {"a": np.ones((2, 2))}
    for arguments, message in (
        (
            {"protocol": "kitty"},
            "protocol must be one of 'kitti-devkit', 'sparse-beats-dense', 'nlspn', got 'kitty'",
        ),
        ({"caps_m": (80, 50)}, "caps_m must be positive metres in ascending order"),
        ({"caps_m": ()}, "caps_m must be positive metres"),
        ({"caps_m": (math.nan,)}, "caps_m must be positive metres"),
        ({"clamp_min_m": 0.0}, "clamp_min_m must be a positive number"),
        ({"masks": {"b": np.ones((2, 2), bool)}}, "masks for frames that gt lacks: b"),
        (
            {"masks": {"a": np.ones((2, 3), bool)}},
            r"must be equal \[h, w\], got \[\[2, 2\], \[2, 2\], \[2, 3\]\]",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            depth.evaluate(one, one, **arguments)
    with pytest.raises(ValueError, match="only in gt: a; only in pred: b"):
        depth.evaluate(one, {"b": one["a"]})
    with pytest.raises(ValueError, match="no frames to evaluate"):
        depth.evaluate({}, {})
    with pytest.raises(ValueError, match=r"must be equal \[h, w\], got \[\[2, 2\], \[2, 3\]\]"):
        depth.evaluate(one, {"a": np.ones((2, 3))})
    result = depth.evaluate(one, one)
    for arguments, message in (
        (("mae",), "kitti-devkit has mae_m, .*; got 'mae'"),
        (("mae_m", {"cap_m": 80}), r"cap_m must be one of \[inf\], got 80"),
    ):
        with pytest.raises(ValueError, match=message):
            result.value(arguments[0], **(arguments[1] if len(arguments) > 1 else {}))


def test_states_that_do_not_fit_are_refused() -> None:
    evaluator = DepthEvaluator()
    assert isinstance(evaluator, Evaluator)
    evaluator.update("a", np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="frame 'a' was added before"):
        evaluator.update("a", np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a"):
        evaluator.merge(evaluator)
    with pytest.raises(ValueError, match="other settings"):
        DepthEvaluator(caps_m=(50,)).merge(evaluator)
    with pytest.raises(ValueError, match="lacking settings, stripes, sums"):
        evaluator.merge_state({"frames": np.array(["b"]), "counts": np.zeros((1, 2))})
    state = evaluator.state()
    with pytest.raises(ValueError, match=r"returned: .* has type"):
        DepthEvaluator().merge_state({**state, "counts": np.zeros((3, 2))})
    evaluator.reset()
    assert len(evaluator) == 0
    evaluator.merge_state(state)
    assert len(evaluator) == 1


def test_a_state_shares_no_memory() -> None:
    evaluator = DepthEvaluator()
    evaluator.update("a", np.full((3, 4), 10.0), np.full((3, 4), 11.0))
    before = evaluator.compute().to_json()
    state = evaluator.state()
    twin = DepthEvaluator()
    twin.merge_state(state)
    for array in state.values():
        array[...] = np.zeros((), array.dtype)
    assert evaluator.compute().to_json() == twin.compute().to_json() == before


def test_memory_does_not_grow_with_pixels() -> None:
    def size(shape: tuple[int, int]) -> int:
        evaluator = DepthEvaluator()
        evaluator.update("a", np.full(shape, 10.0), np.full(shape, 11.0))
        return len(pickle.dumps(evaluator))

    assert size((300, 400)) == size((10, 10))


def test_forms_of_a_result(make_maps: Callable) -> None:
    gt, pred = make_maps(0, 3)
    result = depth.evaluate(gt, pred, caps_m=(50, math.inf))
    assert isinstance(result, Result)
    table = result.table()
    assert f"{1000 * result.value('mae_m', cap_m=50):.4f}" in table
    assert f"{100 * result.value('silog'):.4f}" in table
    assert all(depth.METRICS[k].leaderboard in table for k in range(len(depth.METRICS)))
    titles = [section.title for section in result.sections()]
    assert titles == [
        "Errors",
        "Errors by true depth, all pixels",
        "Errors by true depth",
        "Stripes, share of depth",
    ]
    report = result.to_json()
    assert report["caps"]["50 m"]["image"]["rmse_m"] == result.value("rmse_m", cap_m=50)
    assert [row["mae_m"] is None for row in report["caps"]["all"]["per_image"]] == [False, True, False]
