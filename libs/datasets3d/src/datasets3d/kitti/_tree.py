"""The official KITTI object tree: where files are, which frames a split has, what is missing."""

from dataclasses import dataclass
from pathlib import Path

from geom3d.text import read_text

from datasets3d._atomic import refuse_incomplete
from datasets3d._validate import nearest_names

LAYOUT = """the official KITTI object tree is
  <root>/ImageSets/{train,val,trainval,test}.txt   one frame id per line, e.g. 000123
  <root>/training/{calib,image_2,label_2,velodyne}/000123.{txt,png,txt,bin}   (planes/000123.txt optional)
  <root>/testing/{calib,image_2,velodyne}
velodyne_reduced/ takes the place of velodyne/ where a scan is missing there"""


@dataclass(frozen=True, slots=True)
class KittiTree:
    """Paths of one half (training or testing) of a KITTI tree."""

    root: Path
    subset: str
    """`training` or `testing`."""

    def path(self, kind: str, frame_id: str) -> Path:
        """Return where the file of this kind (`calib`, `image_2`, ...) belongs."""
        suffix = {"velodyne": "bin", "velodyne_reduced": "bin", "image_2": "png", "image_3": "png"}.get(
            kind, "txt"
        )
        return self.root / self.subset / kind / f"{frame_id}.{suffix}"

    def scan_path(self, frame_id: str) -> Path:
        """Return the full scan, or the image-cropped one of velodyne_reduced/ where only that exists."""
        full, reduced = self.path("velodyne", frame_id), self.path("velodyne_reduced", frame_id)
        return reduced if reduced.is_file() and not full.is_file() else full

    def missing(self, frame_ids: tuple[str, ...], camera: str) -> list[Path]:
        """Return the required files that are not there; labels are required under training/ only."""
        kinds = ["calib", camera] + (["label_2"] if self.subset == "training" else [])
        present = {k: self._names(k) for k in (*kinds, "velodyne", "velodyne_reduced")}
        lacking: list[Path] = []
        for frame_id in frame_ids:
            lacking += [p for k in kinds if (p := self.path(k, frame_id)).name not in present[k]]
            if f"{frame_id}.bin" not in present["velodyne"] | present["velodyne_reduced"]:
                lacking.append(self.path("velodyne", frame_id))
        return lacking

    def _names(self, kind: str) -> set[str]:
        folder = self.root / self.subset / kind
        return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def open_tree(root: Path | str, split: str) -> tuple[KittiTree, tuple[str, ...]]:
    """Return the tree and the frame ids of a split. Splits whose name starts with `test` live under testing/.

    Raises:
        FileNotFoundError: No such folder, not a KITTI tree, or no such split; the message says what was
            found.
        ValueError: The tree is unfinished, or the split file is empty or lists a frame twice.
    """
    root = Path(root)
    refuse_incomplete(root)
    if not root.is_dir():
        raise FileNotFoundError(f"datasets3d.kitti: there is no folder {root}; {LAYOUT}")
    sets = root / "ImageSets"
    subset = "testing" if split.startswith("test") else "training"
    if not sets.is_dir() or not (root / subset).is_dir():
        raise FileNotFoundError(_not_a_tree(root, subset))
    path = sets / f"{split}.txt"
    if not path.is_file():
        known = sorted(p.stem for p in sets.glob("*.txt"))
        raise FileNotFoundError(
            f"datasets3d.kitti: no split {split!r} in {sets}; {nearest_names(split, known)}"
        )
    return KittiTree(root, subset), _read_split(path)


def require_files(tree: KittiTree, frame_ids: tuple[str, ...], camera: str) -> None:
    """Raise if files of these frames are missing.

    Raises:
        FileNotFoundError: Naming the first missing file, how many there are, and the cure.
    """
    missing = tree.missing(frame_ids, camera)
    if not missing:
        return
    first = missing[0].relative_to(tree.root / tree.subset)
    raise FileNotFoundError(
        f"datasets3d.kitti: no {first} under {tree.root / tree.subset} ({len(missing)} files missing for "
        f"{len(frame_ids)} frames); unpack the missing archives or remove the frames from ImageSets; "
        f"`python -m datasets3d check {tree.root}` lists all. {LAYOUT}"
    )


def _read_split(path: Path) -> tuple[str, ...]:
    lines = [words for line in read_text(path).split("\n") if (words := line.split())]
    wrong = next((words for words in lines if len(words) > 1), None)
    if wrong is not None:
        raise ValueError(
            f"datasets3d.kitti: {path} has the line {' '.join(wrong)[:60]!r}; expected one frame id per "
            "line, e.g. 000123"
        )
    ids = tuple(words[0] for words in lines)
    if not ids:
        raise ValueError(f"datasets3d.kitti: {path} lists no frame; expected one id per line, e.g. 000123")
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise ValueError(f"datasets3d.kitti: {path} lists frame {twice} more than once; remove the duplicate")
    return ids


def _not_a_tree(root: Path, subset: str) -> str:
    found = sorted(p.name + ("/" if p.is_dir() else "") for p in root.iterdir())[:12]
    lacking = [name for name in ("ImageSets", subset) if not (root / name).is_dir()]
    nested = [p.parent.name for p in root.glob("*/ImageSets")]
    hint = f"; did you mean {root / nested[0]}?" if nested else ""
    return (
        f"datasets3d.kitti: {root} lacks {' and '.join(f'{n}/' for n in lacking)}; "
        f"found {', '.join(found) or 'an empty folder'}{hint}\n{LAYOUT}"
    )
