"""What the stripe measures see and what they must not see."""

import numpy as np
import pytest
from evaluators.depth import beam_contrast, row_ripple
from hypothesis import given
from hypothesis import strategies as st

H, W = 192, 300
V, U = np.mgrid[:H, :W].astype(np.float64)
BEAMS = np.zeros((H, W))
BEAMS[60::6, ::2] = 10.0


def ground() -> np.ndarray:
    """A road from row 70 on, 80 m above it."""
    return 1 / np.maximum((V - 70) / (300 * 1.65), 1 / 80)


def street() -> np.ndarray:
    """A road with twenty boxes on it."""
    rng = np.random.default_rng(0)
    depth = ground()
    for _ in range(20):
        v, u, h, w = rng.integers([0, 0, 10, 10], [H - 60, W - 80, 60, 80])
        depth[v : v + h, u : u + w] = rng.uniform(5, 60)
    return depth


CLEAN = {
    "wall": np.full((H, W), 20.0),
    "tilted plane": 1 / (0.02 + 1e-4 * V + 5e-5 * U),
    "ground": ground(),
    "horizontal step": np.where(V < 100, 60.0, 15.0),
    "vertical step": np.where(U < 140, 60.0, 15.0),
    "street": street(),
}


def striped(depth: np.ndarray, amplitude: float) -> np.ndarray:
    """Return the map with the beam rows nearer by the share."""
    rows = np.ones((H, 1))
    rows[60::6] = 1 / (1 + amplitude)
    return depth * rows


@pytest.mark.parametrize("name", CLEAN)
def test_clean_maps_have_no_stripes(name: str) -> None:
    assert row_ripple(CLEAN[name]) < 1e-12
    assert abs(beam_contrast(BEAMS, CLEAN[name])) < 1e-12


@pytest.mark.parametrize("name", CLEAN)
def test_both_measures_grow_with_the_amplitude(name: str) -> None:
    amplitudes = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    maps = [striped(CLEAN[name], amplitude) for amplitude in amplitudes]
    ripples = [row_ripple(depth, rows=(60, H)) for depth in maps]
    contrasts = [beam_contrast(BEAMS, depth) for depth in maps]
    assert (np.diff(ripples) > 1e-4).all()
    assert (np.diff(contrasts) > 1e-4).all()
    assert contrasts[4] == pytest.approx(0.02, rel=0.02)


def test_the_documented_values() -> None:
    v = np.arange(375.0)[:, None] + np.zeros((1, W))
    assert row_ripple(5 + 0.2 * v) == pytest.approx(0.0024, rel=0.05)
    every_second = np.full((H, W), 20.0)
    every_second[::2] /= 1.02
    assert row_ripple(every_second) == pytest.approx(0.02, rel=0.02)
    for wavelength in (4, 6, 10, 20):
        wave = 20.0 * np.exp(0.02 * np.sin(2 * np.pi * v / wavelength + 0.3))
        assert row_ripple(wave) == pytest.approx(1.1 * 0.02, rel=0.2)
    noise = 20.0 * (1 + 0.05 * np.random.default_rng(0).standard_normal((375, W)))
    assert row_ripple(noise) == pytest.approx(0.05 / 14, rel=0.2)
    assert row_ripple(np.where(np.arange(180)[:, None] < 80, 60.0, 15.0) + np.zeros((1, W))) == 0.0
    sparse_rows = np.full((H, W), 20.0)
    sparse_rows[::30] /= 1.02
    assert row_ripple(sparse_rows) < 1e-12
    beams = np.where(np.arange(H)[:, None] % 30 == 0, 10.0, 0.0) + np.zeros((1, W))
    assert beam_contrast(beams, sparse_rows) == pytest.approx(0.02, rel=0.02)


def test_noise_hides_no_stripes() -> None:
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal((H, W))
    clean, bad = CLEAN["street"] * noise, striped(CLEAN["street"] * noise, 0.03)
    assert row_ripple(bad, rows=(60, H)) > 3 * row_ripple(clean, rows=(60, H))
    assert beam_contrast(BEAMS, bad) > 10 * abs(beam_contrast(BEAMS, clean))


@pytest.mark.slow
@given(st.sampled_from(sorted(CLEAN)), st.floats(1e-3, 1e3), st.floats(0, 0.3))
def test_units_and_mirroring_do_not_matter(name: str, scale: float, amplitude: float) -> None:
    depth = striped(CLEAN[name], amplitude)
    assert row_ripple(depth * scale) == pytest.approx(row_ripple(depth), rel=1e-9, abs=1e-12)
    assert beam_contrast(BEAMS, depth * scale) == pytest.approx(
        beam_contrast(BEAMS, depth), rel=1e-9, abs=1e-12
    )
    mirrored = beam_contrast(BEAMS[:, ::-1], depth[:, ::-1])
    assert mirrored == pytest.approx(beam_contrast(BEAMS, depth), rel=1e-9, abs=1e-12)


def test_the_sign_tells_which_side_is_nearer() -> None:
    assert beam_contrast(BEAMS, striped(CLEAN["ground"], 0.05)) > 0.04
    assert beam_contrast(BEAMS, striped(CLEAN["ground"], -0.05)) < -0.04


def test_only_positions_of_true_depth_matter() -> None:
    depth = striped(CLEAN["street"], 0.05)
    other = BEAMS * np.random.default_rng(0).uniform(0.1, 9, BEAMS.shape)
    assert beam_contrast(other, depth) == beam_contrast(BEAMS, depth)


def test_what_cannot_be_told_is_not_a_number() -> None:
    assert np.isnan(row_ripple(np.zeros((H, W))))
    assert np.isnan(row_ripple(np.ones((2, W))))
    assert np.isnan(row_ripple(np.ones((H, W)), rows=(5, 5)))
    assert np.isnan(beam_contrast(np.ones((H, W)), np.ones((H, W)))), "dense true depth has no gaps"
    half = np.where(U < W * 0.4, 10.0, 0.0)
    assert np.isnan(row_ripple(half))
    assert row_ripple(np.where(U < W * 0.6, 10.0, 0.0)) == 0.0


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"rows must be \(first, end\) inside 0 to 192, got \(3, 193\)"):
        row_ripple(np.ones((H, W)), rows=(3, 193))
    with pytest.raises(ValueError, match=r"gt has shape \[192, 300\], pred \[2, 2\]"):
        beam_contrast(BEAMS, np.ones((2, 2)))
