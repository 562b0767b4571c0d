"""One self-contained HTML page about a run: tables, charts and pictures, no outside file, no script."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2330; --soft: #556; --line: #d5d9e2; --page: #fff; --band: #f4f6fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9f0; --soft: #aab; --line: #343a48; --page: #14171e; --band: #1c212b; }
  svg { background: #fff; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: .2rem; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
p.note { color: var(--soft); max-width: 80ch; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { padding: .25rem .8rem; border: 1px solid var(--line); }
th { background: var(--band); text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: .8rem 0; }
figure { max-width: 100%; }
figcaption { color: var(--soft); font-size: 13px; width: 0; min-width: 100%; }
img { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its content, already HTML; make the content with the functions below."""

    title: str
    body: str


def note(text: str) -> str:
    """Return a paragraph."""
    return f'<p class="note">{html.escape(text)}</p>'


def table(header: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """Return a table; numbers are written with two decimals and aligned to the right."""

    def cell(value: str | float) -> str:
        if isinstance(value, str):
            return f"<td>{html.escape(value)}</td>"
        return f'<td class="number">{value:.2f}</td>'

    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def photo(image: Image.Image, *, caption: str, alt: str | None = None) -> str:
    """Return a picture with the colours of a photograph, kept inside the page as JPEG.

    Args:
        alt: What there is to see, for those who do not; the caption, if left out.
    """
    return _figure(image.convert("RGB"), "jpeg", caption=caption, alt=alt, quality=85)


def drawing(image: Image.Image, *, caption: str, alt: str | None = None) -> str:
    """Return a picture of lines and few colours (256 are kept), inside the page as PNG; `alt` as above."""
    return _figure(image.convert("RGB").quantize(256), "png", caption=caption, alt=alt, optimize=True)


def _figure(image: Image.Image, kind: str, *, caption: str, alt: str | None, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{image.width}" height="{image.height}"'
    return (
        f'<figure><img alt="{html.escape(alt or caption)}" {size} src="data:image/{kind};base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def row(*parts: str) -> str:
    """Return the parts side by side, wrapping where the window is narrow."""
    return f'<div class="row">{"".join(parts)}</div>'


def write_report(path: Path, *, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Write the page under a temporary name, then rename it."""
    content = "".join(f"<h2>{html.escape(section.title)}</h2>{section.body}" for section in sections)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1>{note(subtitle)}{content}</body></html>\n"
    )
    write_text(path, page)


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def spread(total: int, count: int) -> list[int]:
    """Return up to `count` indices below `total`, evenly spread, the first and last among them.

    Example:
        >>> spread(10, 3), spread(2, 3)
        ([0, 4, 9], [0, 1])
    """
    count = min(count, total)
    return sorted({round(i * (total - 1) / max(count - 1, 1)) for i in range(count)})
