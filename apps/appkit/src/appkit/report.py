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
  --ink: #1c2330; --soft: #667; --line: #d5d9e2; --page: #fff; --band: #f4f6fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9f0; --soft: #99a; --line: #343a48; --page: #14171e; --band: #1c212b; }
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
figcaption { color: var(--soft); font-size: 13px; }
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


def picture(image: Image.Image, *, caption: str) -> str:
    """Return a picture, kept inside the page as JPEG."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = html.escape(caption)
    source = f"data:image/jpeg;base64,{data}"
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


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
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
