"""Settings of the automotive radar; names carry the units."""

from dataclasses import dataclass, field

from datasets3d._validate import check_least, check_positive, check_within
from datasets3d.synth.config import _require


@dataclass(frozen=True, kw_only=True)
class RadarScanConfig:
    """One of the sensor's two alternating scans.

    "Sheet" marks figures that are commonly quoted from Continental's data sheet of the ARS 408-21; the sheet
    itself was not at hand. "Real file" is one nuScenes sweep of RADAR_FRONT (125 returns).
    """

    half_view_deg: float
    """Azimuths covered, to both sides. Sheet: 60 near, 9 far."""
    half_elevation_deg: float
    """Elevations covered, up and down. Sheet: 20 degrees in all near, 14 far."""
    max_range_m: float
    """Sheet: 70 to 100 m near, 250 m far; the real file has near returns up to 128 m."""
    range_cell_m: float
    """Returns of one azimuth closer than this merge. Sheet: 0.39 m near, 1.79 m far."""
    range_noise_m: float
    """Standard deviation. Sheet: accuracy 0.10 m near, 0.40 m far."""
    azimuth_cell_deg: tuple[tuple[float, float], ...]
    """Pairs of |azimuth| and resolution, rising; between them linear. Sheet: 3.2 at 0, 4.5 at 45, 12.3 at 60
    degrees near; 1.6 far."""
    azimuth_noise_deg: tuple[tuple[float, float], ...]
    """Pairs of |azimuth| and standard deviation. Sheet: accuracy 0.3 at 0, 1 at 45, 5 at 60 near; 0.1 far."""
    speed_cell_m_s: float
    """Radial speeds closer than this merge. Sheet: 0.43 km/h near, 0.37 km/h far."""
    rcs_limit_dbsm: float
    """Radar cross-section that is detected half of the time at `rcs_limit_range_m` (our fit to the weakest
    returns of the real file at each range); elsewhere it grows with 40 log10 of the range."""
    rcs_limit_range_m: float
    rays: tuple[int, int]
    """Rays in azimuth and elevation that sample the scene (our choice)."""

    def __post_init__(self) -> None:
        for name in ("half_view_deg", "half_elevation_deg"):
            value = getattr(self, name)
            _require(0 < value < 90, f"RadarScanConfig.{name} must lie in (0, 90), got {value}")
        check_positive(self, "max_range_m", "range_cell_m", "speed_cell_m_s", "rcs_limit_range_m")
        check_least(self, 0, "range_noise_m")
        for name, lowest in (("azimuth_cell_deg", 1e-6), ("azimuth_noise_deg", 0.0)):
            table = getattr(self, name)
            angles = [angle for angle, _ in table]
            _require(
                bool(table) and angles == sorted(angles) and all(v >= lowest for _, v in table),
                f"RadarScanConfig.{name} must hold pairs of rising angle and value >= {lowest}, got {table}",
            )
        _require(
            min(self.rays) >= 2,
            f"RadarScanConfig.rays must be at least 2 in both directions, got {self.rays}",
        )


def _near_scan() -> RadarScanConfig:
    return RadarScanConfig(
        half_view_deg=60.0,
        half_elevation_deg=10.0,
        max_range_m=130.0,
        range_cell_m=0.39,
        range_noise_m=0.10,
        azimuth_cell_deg=((0.0, 3.2), (45.0, 4.5), (60.0, 12.3)),
        azimuth_noise_deg=((0.0, 0.3), (45.0, 1.0), (60.0, 5.0)),
        speed_cell_m_s=0.12,
        rcs_limit_dbsm=8.0,
        rcs_limit_range_m=95.0,
        rays=(240, 12),
    )


def _far_scan() -> RadarScanConfig:
    return RadarScanConfig(
        half_view_deg=9.0,
        half_elevation_deg=7.0,
        max_range_m=250.0,
        range_cell_m=1.79,
        range_noise_m=0.40,
        azimuth_cell_deg=((0.0, 1.6),),
        azimuth_noise_deg=((0.0, 0.1),),
        speed_cell_m_s=0.10,
        rcs_limit_dbsm=1.0,
        rcs_limit_range_m=200.0,
        rays=(120, 14),
    )


@dataclass(frozen=True, kw_only=True)
class RadarConfig:
    """A Continental ARS 408-21 in cluster mode, as on the nuScenes car."""

    near: RadarScanConfig = field(default_factory=_near_scan)
    far: RadarScanConfig = field(default_factory=_far_scan)
    min_range_m: float = 0.2
    """Sheet: 0.20 m."""
    max_returns: int = 125
    """The real file holds 125 returns, other files of recorded size no more; the strongest are kept."""
    rcs_floor_dbsm: float = -5.0
    """Weaker returns are never sent (real file: -4.5 and up)."""
    speed_noise_m_s: float = 0.03
    """Standard deviation of the radial speed. Sheet: accuracy 0.1 km/h."""
    beside_stronger_share: float = 0.2
    """Share of the detected cells next to a stronger one that are sent (our fit: in the real file, 30 of 125
    returns are flagged as no local maximum, or as the child of another)."""
    mirror_loss_db: float = 18.0
    """What a return loses on its way by a smooth wall or a car's side and back (our choice)."""
    unknown_share: float = 0.055
    """Returns the sensor cannot judge: state 7, motion unknown, no ambiguity solved (real file: 7 of 125)."""
    multi_target_share: float = 0.11
    """Returns flagged as several targets in one, state 16 (real file: 13 of 125)."""
    stopped_share: float = 0.1
    """Returns of standing vehicles within 40 m that the sensor has seen drive (our choice: one sweep knows no
    past)."""

    def __post_init__(self) -> None:
        check_least(self, 1, "max_returns")
        check_least(self, 0, "min_range_m", "speed_noise_m_s", "mirror_loss_db")
        shares = ("beside_stronger_share", "unknown_share", "multi_target_share", "stopped_share")
        check_within(self, (0, 1), *shares)
