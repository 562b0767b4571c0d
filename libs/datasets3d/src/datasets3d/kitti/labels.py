"""KITTI's label text, one object a line, fifteen columns, in the camera's conventions."""

from dataclasses import dataclass
from pathlib import Path

from geom3d.text import read_text

from datasets3d import _atomic

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
"""The 3D-labelled classes of the object benchmark."""

FIELDS = (
    *("type", "truncated", "occluded", "alpha"),
    *("bbox_left", "bbox_top", "bbox_right", "bbox_bottom"),
    *("height", "width", "length", "x", "y", "z", "rotation_y"),
)


_TOO_LARGE = 1e9
"""No column in whatever unit comes near; float32 and int32 still hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KittiLabel:
    """One line of a label file, numbers as they stand there."""

    name: str
    truncation: float
    """0..1; -1 for DontCare."""
    occlusion: int
    """0..3; -1 for DontCare."""
    alpha: float
    """Observation angle, radians."""
    box_image: tuple[float, float, float, float]
    """u0 v0 u1 v1 in pixels of the left colour image."""
    size_hwl: tuple[float, float, float]
    """Height, width, length in metres, the file's order."""
    location: tuple[float, float, float]
    """Centre of the bottom face in metres, rectified camera frame."""
    rotation_y: float
    """About the camera's y, which points down; radians."""

    @property
    def is_dont_care(self) -> bool:
        """True for a region whose objects are not labelled."""
        return self.name == "DontCare"

    @property
    def difficulty(self) -> int:
        """0 easy, 1 moderate, 2 hard, -1 beyond: the benchmark's limits on height, occlusion, truncation."""
        height = self.box_image[3] - self.box_image[1]
        limits = ((40.0, 0, 0.15), (25.0, 1, 0.30), (25.0, 2, 0.50))
        for level, (min_height, max_occlusion, max_truncation) in enumerate(limits):
            if height >= min_height and self.occlusion <= max_occlusion and self.truncation <= max_truncation:
                return level
        return -1


def read_labels(path: Path | str) -> list[KittiLabel]:
    """Read a label file; an empty file is a frame without objects.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No text, a line without exactly 15 columns, or a column that is no number; names file,
            line and column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"datasets3d.kitti: no label file {path}; frames without objects have an empty one"
        )
    lines = read_text(path).split("\n")
    return [_parse(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]


def write_labels(path: Path | str, labels: list[KittiLabel]) -> None:
    """Write a label file atomically, two decimals as the official files have."""
    _atomic.write_text(Path(path), "".join(format_label(label) + "\n" for label in labels))


def format_label(label: KittiLabel) -> str:
    """Return one line without its end.

    Example:
        >>> line = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57"
        >>> format_label(_parse(line, "example")) == line
        True
    """
    numbers = (*label.box_image, *label.size_hwl, *label.location, label.rotation_y)
    tail = " ".join(f"{n:.2f}" for n in numbers)
    return f"{label.name} {label.truncation:.2f} {label.occlusion} {label.alpha:.2f} {tail}"


def _parse(line: str, where: str) -> KittiLabel:
    words = line.split()
    if len(words) != len(FIELDS):
        raise ValueError(
            f"datasets3d.kitti: {where}: expected 15 columns ({' '.join(FIELDS)}), got {len(words)}"
            + (
                "; the 16th is a score: this is a detection file, not a label file"
                if len(words) == 16
                else ""
            )
        )
    numbers = [_number(word, name, where) for word, name in zip(words[1:], FIELDS[1:], strict=True)]
    if not numbers[1].is_integer():
        raise ValueError(
            f"datasets3d.kitti: {where}: column occluded must be a whole number, got {words[2]!r}"
        )
    if words[0] != "DontCare" and min(numbers[7:10]) <= 0:
        raise ValueError(
            f"datasets3d.kitti: {where}: height, width and length must be positive, got "
            f"{' '.join(words[8:11])}; name regions without a 3D box DontCare"
        )
    return KittiLabel(
        name=words[0],
        truncation=numbers[0],
        occlusion=int(numbers[1]),
        alpha=numbers[2],
        box_image=(numbers[3], numbers[4], numbers[5], numbers[6]),
        size_hwl=(numbers[7], numbers[8], numbers[9]),
        location=(numbers[10], numbers[11], numbers[12]),
        rotation_y=numbers[13],
    )


def _number(word: str, column: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"datasets3d.kitti: {where}: column {column} is no number: {word!r}") from None
    if not abs(value) < _TOO_LARGE:
        raise ValueError(f"datasets3d.kitti: {where}: column {column} must be finite, got {word[:40]!r}")
    return value
