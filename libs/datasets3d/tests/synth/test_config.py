from functools import partial

import pytest
from datasets3d.synth import CameraConfig, LabelConfig, LidarConfig, StreetConfig, SynthConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            partial(StreetConfig, cars_per_frame=-1.0),
            r"StreetConfig\.cars_per_frame must lie in 0\.\.40, got -1.0",
        ),
        (
            partial(StreetConfig, street_weight=0.0, intersection_weight=0.0, highway_weight=0.0),
            "not all zero",
        ),
        (partial(StreetConfig, highway_weight=-1.0), "must not be negative"),
        (partial(StreetConfig, crowding=0.0), r"crowding must be positive, got 0.0"),
        (partial(StreetConfig, terrain_slope=0.5), r"terrain_slope must lie in 0\.\.0\.05, got 0\.5"),
        (partial(StreetConfig, length_m=10.0), "length_m must be at least 60, got 10.0"),
        (partial(LidarConfig, elevations_deg=()), "at least one beam"),
        (partial(LidarConfig, elevations_deg=(95.0,)), "between -90 and 90"),
        (partial(LidarConfig, azimuth_step_deg=0.0), "azimuth_step_deg must lie in"),
        (partial(LidarConfig, dropout=1.5), r"dropout must lie in 0\.\.1, got 1\.5"),
        (partial(LidarConfig, glass_dropout=-0.1), "glass_dropout must lie in 0"),
        (partial(LidarConfig, range_noise_m=-0.1), "range_noise_m must be at least 0"),
        (partial(LidarConfig, min_range_m=5.0, max_range_m=4.0), "min_range_m < max_range_m"),
        (partial(LidarConfig, height_m=0.0), "height_m must be positive"),
        (partial(LidarConfig, range_at_10_percent_m=0.0), "range_at_10_percent_m must be positive"),
        (partial(CameraConfig, width=4), r"must lie in 16\.\.8192 pixels, got 4 x 375"),
        (partial(CameraConfig, noise=2.0), "noise must lie in"),
        (partial(LabelConfig, occlusion_limits=(0.5, 0.6, 0.1)), "occlusion_limits must fall"),
        (partial(LabelConfig, min_visible=0.9), "min_visible must lie in"),
        (partial(LabelConfig, min_points=-1), "min_points must be at least 0"),
        (partial(LabelConfig, shape_points=0), "shape_points must be positive"),
        (partial(LabelConfig, max_range_m=0.0), "max_range_m must be positive"),
        (partial(LabelConfig, max_truncation=0.0), "max_truncation must lie in"),
        (partial(SynthConfig, val_share=1.0), r"val_share must lie in \[0, 1\), got 1\.0"),
    ],
)
def test_bad_values_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_default_lidar_is_an_hdl64():
    config = LidarConfig()
    assert len(config.elevations_deg) == 64
    assert config.elevations_deg[0] == 2.0
    assert config.elevations_deg[-1] == pytest.approx(-24.33)
    assert 64 * config.azimuth_count == pytest.approx(133_000, rel=0.01)


def test_hdl32_has_32_evenly_spaced_beams():
    elevations = LidarConfig.hdl32().elevations_deg
    assert len(elevations) == 32
    assert elevations[0] == pytest.approx(10.67)
    assert elevations[-1] == pytest.approx(-30.66, abs=0.02)
