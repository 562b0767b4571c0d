"""The page of a run: what its evaluation says, beside others, its curves and the app's pictures.

Tables, charts and the page itself are those of `evaluators.page`; here are pictures and the order of things.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.page import Result, Table, document, render_result, render_section
from PIL import Image

from fusion3d_appkit.curves import loss_charts
from fusion3d_appkit.files import write_text

STYLE = """
h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--faint); }
p.note { max-width: 80ch; }
img { max-width: 100%; height: auto; }
.picture figcaption { font-weight: normal; width: 0; min-width: 100%; }
"""
MODEL = "this model"
"""What comparisons call the model of the run."""

Others = Mapping[str, Mapping[str, Any]]
"""Results to stand beside those of the run: by what they are of, such as "untrained", then by result."""
Compare = Callable[[Mapping[str, Any]], Table]
"""Makes a table of results of one kind, by what they are of, `MODEL` first."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading and its content, already HTML; make the content with the functions below."""

    title: str
    body: str


def note(text: str) -> str:
    """Return a paragraph."""
    return f'<p class="note">{html.escape(text)}</p>'


def photo(image: Image.Image, *, caption: str, alt: str | None = None) -> str:
    """Return a picture with the colours of a photograph, kept inside the page as JPEG.

    Args:
        image: Any mode.
        caption: Shown below.
        alt: What there is to see, for those who do not; the caption, if left out.
    """
    return _picture(image.convert("RGB"), "jpeg", caption=caption, alt=alt, quality=85)


def drawing(image: Image.Image, *, caption: str, alt: str | None = None) -> str:
    """Return a picture of lines and few colours (256 are kept), inside the page as PNG; `alt` as above."""
    return _picture(image.convert("RGB").quantize(256), "png", caption=caption, alt=alt, optimize=True)


def _picture(image: Image.Image, kind: str, *, caption: str, alt: str | None, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{image.width}" height="{image.height}"'
    return (
        f'<figure class="picture"><img alt="{html.escape(alt or caption)}" {size} '
        f'src="data:image/{kind};base64,{data}"/><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def row(*parts: str) -> str:
    """Return the parts side by side, wrapping where the window is narrow."""
    return f"<div>{''.join(parts)}</div>"


def result_chapters(
    results: Mapping[str, Result], *, titles: Mapping[str, str], compare: Compare, others: Others
) -> list[Chapter]:
    """Return a chapter for each result: beside others if there are any, then its own notes and figures."""
    if not results:
        return [
            Chapter("Not evaluated", note("The split has no labels; see its predictions in this run folder."))
        ]
    chapters = []
    for name, result in results.items():
        beside = {other: found[name] for other, found in others.items() if name in found}
        table = render_section(compare({MODEL: result, **beside})) if beside else ""
        chapters.append(Chapter(titles[name], table + render_result(result)))
    return chapters


def loss_chapter(metrics_file: Path) -> Chapter:
    """Return the loss curves of a run."""
    charts = [render_section(chart) for chart in loss_charts(metrics_file)]
    return Chapter("Training", "".join(charts) or note("This run folder holds no training log."))


def write_results(path: Path, results: Mapping[str, Result], others: Others) -> None:
    """Write every figure of the results as JSON, by name; those of others under `others`."""
    content: dict[str, Any] = {name: result.to_json() for name, result in results.items()}
    if others:
        content["others"] = {
            other: {name: result.to_json() for name, result in found.items()}
            for other, found in others.items()
        }
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def write_report(path: Path, *, title: str, subtitle: str, chapters: Sequence[Chapter]) -> None:
    """Write one self-contained page: no outside file, no script. It is whole or not there."""
    body = [note(subtitle)]
    body += [f"<h2>{html.escape(chapter.title)}</h2>\n{chapter.body}" for chapter in chapters]
    write_text(path, document(title, "\n".join(body), style=STYLE))


def text_table(table: Table) -> str:
    """Return a table as lines of text, its title above.

    Example:
        >>> print(text_table(Table(title="AP", header=["class", "3d"], rows=[["Car", "63.70"]])))
        AP
        class     3d
        Car    63.70
    """
    rows = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) for cells in rows]
    return "\n".join([table.title, *lines])


def spread(total: int, count: int) -> list[int]:
    """Return up to `count` indices below `total`, evenly spread, the first and last among them.

    Example:
        >>> spread(10, 3), spread(2, 3)
        ([0, 4, 9], [0, 1])
    """
    count = min(count, total)
    return sorted({round(i * (total - 1) / max(count - 1, 1)) for i in range(count)})
