from dataclasses import replace

import numpy as np
import pytest
from datasets3d.depth import (
    ColourJitter,
    DepthAugmentation,
    DepthSample,
    GaussianBlur,
    IntrinsicsDisruption,
    augment,
)
from datasets3d.depth.augmentation import blurred, mirrored, zoomed
from PIL import Image

NOTHING = DepthAugmentation(disruption=None, colour=None, blur=None)


class Fixed(np.random.Generator):
    """A generator whose uniform numbers are named in advance; others are real."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.numbers = list(numbers)

    def uniform(self, *limits: float) -> float:
        low, high = limits
        number = self.numbers.pop(0)
        assert low <= number <= high
        return number


def make(height: int = 9, width: int = 16, seed: int = 0) -> DepthSample:
    rng = np.random.default_rng(seed)
    return DepthSample(
        frame_id="a",
        image=rng.integers(0, 256, (height, width, 3)).astype(np.uint8),
        radar_points=rng.normal(size=(3, 3)).astype(np.float32),
        radar_map=rng.uniform(1, 80, (height, width)).astype(np.float32),
        lidar_map=rng.uniform(1, 80, (height, width)).astype(np.float32),
        radar_classes=rng.random((height, width)) < 0.5,
        true_depth=rng.uniform(1, 80, (height, width)).astype(np.float32),
    )


MAPS = ("radar_map", "lidar_map", "radar_classes", "true_depth")


def test_published_ranges():
    config = DepthAugmentation()
    assert config.disruption == IntrinsicsDisruption(zoom=(1.0, 1.3), flip_probability=0.5)
    assert config.colour == ColourJitter(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4))
    assert config.blur == GaussianBlur(sigma_px=0.8)


def test_without_parts_nothing_changes_and_nothing_is_drawn():
    sample, rng = make(), np.random.default_rng(5)
    assert augment(sample, NOTHING, rng) is sample
    assert rng.random() == np.random.default_rng(5).random()


def test_the_same_seed_gives_the_same_sample():
    first, second, third = (augment(make(), DepthAugmentation(), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.lidar_map, second.lidar_map)
    assert not np.array_equal(first.image, third.image)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(9, 16), (16, 9), (7, 7), (1, 1), (225, 400), (33, 50)])
def test_size_and_types_stay_whatever_the_size(height, width):
    sample = make(height, width)
    for seed in range(5):
        changed = augment(sample, DepthAugmentation(), np.random.default_rng(seed))
        assert changed.image.shape == (height, width, 3)
        assert changed.lidar_map.shape == (height, width)
        for name in MAPS:
            values = np.unique(getattr(sample, name))
            assert np.isin(getattr(changed, name), values).all(), "depths are picked, never mixed"


def test_missing_maps_stay_missing():
    sample = replace(make(), lidar_map=None, radar_classes=None, true_depth=None)
    changed = augment(sample, DepthAugmentation(), np.random.default_rng(0))
    assert changed.lidar_map is changed.radar_classes is changed.true_depth is None


def test_mirroring_turns_every_picture_and_leaves_the_radar_points():
    sample = make()
    changed = mirrored(sample)
    for name in ("image", *MAPS):
        assert np.array_equal(getattr(changed, name), getattr(sample, name)[:, ::-1])
    assert changed.radar_points is sample.radar_points


@pytest.mark.parametrize(("probability", "flipped"), [(0.0, False), (1.0, True)])
def test_flip_probability(probability, flipped):
    config = replace(NOTHING, disruption=IntrinsicsDisruption(zoom=(1.0, 1.0), flip_probability=probability))
    sample = make()
    for seed in range(10):
        changed = augment(sample, config, np.random.default_rng(seed))
        expected = mirrored(sample) if flipped else sample
        assert np.array_equal(changed.image, expected.image)


def test_half_of_the_pictures_are_mirrored():
    config = replace(NOTHING, disruption=IntrinsicsDisruption(zoom=(1.0, 1.0)))
    sample, rng = make(2, 2), np.random.default_rng(0)
    count = sum(not np.array_equal(augment(sample, config, rng).image, sample.image) for _ in range(400))
    assert 160 < count < 240


def test_zoom_one_is_no_change():
    sample = make()
    changed = zoomed(sample, 1.0, np.random.default_rng(0))
    for name in ("image", *MAPS):
        assert np.array_equal(getattr(changed, name), getattr(sample, name))


def test_zoom_cuts_picture_and_maps_at_the_same_place():
    height, width = 31, 47
    ramp = np.arange(height * width).reshape(height, width)
    sample = replace(
        make(height, width),
        radar_map=ramp.astype(np.float32),
        lidar_map=ramp.astype(np.float32) + 1,
        true_depth=ramp.astype(np.float32) + 2,
        radar_classes=ramp % 3 == 0,
    )
    changed = zoomed(sample, 1.3, np.random.default_rng(4))
    assert np.array_equal(changed.lidar_map, changed.radar_map + 1)
    assert np.array_equal(changed.true_depth, changed.radar_map + 2)
    assert np.array_equal(changed.radar_classes, changed.radar_map % 3 == 0)
    # int(31 * 1.3) = 40 by int(40 * 47 / 31) = 60; the source pixel is that under the middle of the new one.
    rows = np.floor((np.arange(40) + 0.5) * 31 / 40).astype(int)
    columns = np.floor((np.arange(60) + 0.5) * 47 / 60).astype(int)
    enlarged = ramp[np.ix_(rows, columns)]
    bicubic = np.array(Image.fromarray(sample.image).resize((60, 40), Image.Resampling.BICUBIC))
    places = [
        (r, c)
        for r in range(9)
        for c in range(13)
        if np.array_equal(enlarged[r : r + 31, c : c + 47], changed.radar_map)
    ]
    assert len(places) == 1
    row, column = places[0]
    assert np.array_equal(changed.image, bicubic[row : row + 31, column : column + 47])


def test_offsets_reach_all_but_the_last():
    # 8x8 at 1.5 becomes 12x12: offsets 0..3 of 0..4, as the released code draws them.
    sample = replace(make(8, 8), radar_map=np.arange(64, dtype=np.float32).reshape(8, 8))
    rng = np.random.default_rng(0)
    corners = {zoomed(sample, 1.5, rng).radar_map[0, 0] for _ in range(300)}
    first = [int((i + 0.5) * 8 / 12) for i in range(4)]
    assert corners == {8 * r + c for r in first for c in first}


def test_depth_values_are_not_divided_by_the_zoom():
    sample = replace(make(), lidar_map=np.full((9, 16), 40, np.float32))
    assert (zoomed(sample, 1.3, np.random.default_rng(0)).lidar_map == 40).all()


def test_order_is_colour_before_zoom_before_blur():
    sample = make(30, 40)
    config = DepthAugmentation(disruption=IntrinsicsDisruption(flip_probability=0.0))
    numbers = (1.2, 0.7, 1.3, 0.9)
    changed = augment(sample, config, Fixed(*numbers))
    recoloured = augment(sample, replace(NOTHING, colour=ColourJitter()), Fixed(*numbers[1:]))
    # The mirror draw comes before the offsets.
    rng = np.random.default_rng(0)
    rng.random()
    expected = blurred(zoomed(recoloured, 1.2, rng).image, GaussianBlur())
    assert np.array_equal(changed.image, expected)


def test_blur_of_one_bright_pixel():
    image = np.zeros((5, 5, 3), np.uint8)
    image[2, 2] = 200
    side = np.exp(-0.5 / 0.64)
    line = np.array([side, 1, side]) / (1 + 2 * side)
    expected = np.rint(200 * np.outer(line, line))
    found = blurred(image, GaussianBlur(sigma_px=0.8))
    assert np.array_equal(found[1:4, 1:4, 0], expected)
    assert found[0].sum() == found[:, 0].sum() == 0


def test_blur_mirrors_at_the_border_and_keeps_flat_pictures():
    flat = np.full((4, 5, 3), 77, np.uint8)
    assert np.array_equal(blurred(flat, GaussianBlur()), flat)
    # Mirrored without repeating the edge: the pixel beside the edge counts twice.
    image = np.zeros((1, 3, 3), np.uint8)
    image[0, 1] = 100
    side = np.exp(-0.5 / 0.64)
    assert blurred(image, GaussianBlur(sigma_px=0.8))[0, 0, 0] == round(100 * 2 * side / (1 + 2 * side))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IntrinsicsDisruption(zoom=(0.9, 1.3)), r"zoom must be .* at least 1, got \(0.9, 1.3\)"),
        (lambda: IntrinsicsDisruption(zoom=(1.3, 1.1)), "zoom must be"),
        (lambda: IntrinsicsDisruption(flip_probability=1.5), "flip_probability must lie in 0..1, got 1.5"),
        (lambda: ColourJitter(contrast=(1.4, 0.6)), "ColourJitter.contrast must be"),
        (lambda: ColourJitter(saturation=(-0.1, 0.6)), "ColourJitter.saturation must be"),
        (lambda: GaussianBlur(sigma_px=0.0), "sigma_px must be positive, got 0.0"),
        (lambda: zoomed(make(), 0.9, np.random.default_rng(0)), "factor must be at least 1, got 0.9"),
    ],
)
def test_wrong_numbers_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.oracle
@pytest.mark.slow
def test_colours_and_blur_equal_torchvision():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.functional")
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 16, 3)).astype(np.uint8)).resize((320, 180))
    sample = replace(make(180, 320), image=np.array(smooth))
    factors = (0.73, 1.31, 0.64)
    changed = augment(sample, replace(NOTHING, colour=ColourJitter()), Fixed(*factors))
    expected = functional.adjust_brightness(smooth, factors[0])
    expected = functional.adjust_contrast(expected, factors[1])
    expected = functional.adjust_saturation(expected, factors[2])
    assert np.array_equal(changed.image, np.array(expected))

    resized = functional.resize(smooth, int(180 * 1.234), functional.InterpolationMode.BICUBIC)
    height, width = resized.size[::-1]
    cut = np.array(resized)
    found = zoomed(sample, 1.234, np.random.default_rng(3)).image
    assert any(
        np.array_equal(found, cut[r : r + 180, c : c + 320])
        for r in range(height - 180)
        for c in range(width - 320)
    )

    found = blurred(sample.image, GaussianBlur()).astype(int)
    expected = np.array(functional.gaussian_blur(smooth, [3, 3])).astype(int)
    # The sums are taken in another order: what lies at a half may be rounded the other way.
    exact = functional.gaussian_blur(torch.from_numpy(sample.image).permute(2, 0, 1).double(), [3, 3])
    exact = exact.permute(1, 2, 0).numpy()
    at_a_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-4
    assert np.array_equal(found[~at_a_half], expected[~at_a_half])
    assert np.abs(found - expected).max() <= 1
    assert at_a_half.mean() < 1e-3
