"""Pictures of what was measured, for the documentation: SVG, legible on light pages and on dark ones.

A picture has a ground of its own, which follows the reader's system, so that its colours never depend on the
page around it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 760
_STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  .title { font-size: 16px; font-weight: 600 } .quiet { fill: #59636e; font-size: 11px }
  .theirs { fill: #afb8c1 } .ours { fill: #0969da } .line { fill: none; stroke: #0969da; stroke-width: 2 }
  .axis { stroke: #d0d7de } .value { font-variant-numeric: tabular-nums } .strong { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc } .quiet { fill: #9198a1 }
    .theirs { fill: #656c76 } .ours { fill: #4493f8 } .line { stroke: #4493f8 } .axis { stroke: #3d444d }
  }
"""


class Pair(NamedTuple):
    """Two bars.

    Attributes:
        label: of both.
        theirs: the length of the upper one.
        ours: the length of the lower one, in the same unit.
        texts: the values as they are written.
        compared: in words.
    """

    label: str
    theirs: float
    ours: float
    texts: tuple[str, str]
    compared: str


def amount(value: float, unit: str) -> str:
    """Write a value with three digits or so."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def bars(title: str, caption: str, names: tuple[str, str], pairs: Sequence[Pair]) -> str:
    """Draw pairs of bars; in each pair, the longer one fills the width, since units differ.

    Args:
        title: of the picture.
        caption: where and with what it was measured.
        names: theirs and ours.
        pairs: from top to bottom.
    """
    left, room, step, top = 250, 330, 40, 74
    parts = []
    for place, (name, kind) in enumerate(zip(names, ("theirs", "ours"), strict=True)):
        x = 20 + place * 150
        parts.append(f'<rect class="{kind}" x="{x}" y="44" width="12" height="12" rx="2"/>')
        parts.append(_text(x + 18, 54, name))
    for place, pair in enumerate(pairs):
        y, most = top + place * step, max(pair.theirs, pair.ours)
        parts.append(_text(20, y + 17, pair.label))
        for offset, (kind, value) in enumerate((("theirs", pair.theirs), ("ours", pair.ours))):
            long = max(2.0, value / most * room)
            parts.append(_bar(kind, left, y + offset * 13, long))
            where = left + long + 6
            parts.append(_text(where, y + 10 + offset * 13, pair.texts[offset], "quiet value"))
        parts.append(_text(WIDTH - 20, y + 17, pair.compared, "strong value", "end"))
    return _picture(title, caption, parts, top + len(pairs) * step)


def line(
    title: str, caption: str, points: Sequence[tuple[float, float]], across: str, up: str, *, most: float
) -> str:
    """Draw a line.

    Args:
        title: of the picture.
        caption: where and with what it was measured.
        points: across and up, both from 0.
        across: what the last point is across, as it is written there.
        up: the unit of what goes up.
        most: up, at the upper edge.
    """
    left, right, top, bottom = 70, WIDTH - 30, 60, 260
    end = points[-1][0]
    parts = []
    for value in (0, most / 2, most):
        y = bottom - value / most * (bottom - top)
        parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, f"{value:.0f} {up}", "quiet value", "end"))
    places = (
        f"{left + x / end * (right - left):.1f},{bottom - y / most * (bottom - top):.1f}" for x, y in points
    )
    parts.append(f'<polyline class="line" points="{" ".join(places)}"/>')
    parts.append(_text(left, bottom + 18, "0", "quiet value"))
    parts.append(_text(right, bottom + 18, across, "quiet value", "end"))
    return _picture(title, caption, parts, bottom + 34)


def _bar(kind: str, x: float, y: float, width: float) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width:.1f}" height="11" rx="2"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(title: str, caption: str, parts: Sequence[str], height: int) -> str:
    notes = textwrap.wrap(caption, 120)
    whole = height + 14 + 15 * len(notes)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{whole - 1}" rx="8"/>',
            _text(20, 30, title, "title"),
            *parts,
            *(_text(20, height + 12 + 15 * place, note, "quiet") for place, note in enumerate(notes)),
            "</svg>\n",
        ]
    )
