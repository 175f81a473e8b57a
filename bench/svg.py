"""Write bar and line charts as SVG text: no library, no font file, no script; readable as text and by a screen reader.

It knows nothing of what is drawn. Before it: `bench.plots`. Colours have enough contrast on white for small text.
"""

import dataclasses
import html
import math
from collections.abc import Sequence

WIDTH = 860
LEFT = 190
RIGHT = 120
TOP = 64
ROW = 26
BAR = 16
BOTTOM = 26
PANEL = 130
PANEL_GAP = 44
LINE_LEFT = 70
LINE_RIGHT = 20
TICKS = 4
INK = "#0f172a"
QUIET = "#475569"
GRID = "#e2e8f0"
OTHERS = "#94a3b8"
OURS = "#0f766e"
SHADE = "#f1f5f9"
NOTE_CHARS = 130


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar with a whisker from ``low`` to ``high``."""

    label: str
    value: float
    low: float
    high: float
    is_ours: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One line over the common x; None breaks it."""

    title: str
    ys: Sequence[float | None]


def bars(*, title: str, note: str, rows: Sequence[Bar]) -> str:
    """Draw horizontal bars from zero, the first on top, each with its value."""
    most = max((max(row.high, row.value) for row in rows), default=0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = []
    for tick in _ticks(most):
        x = LEFT + tick * scale
        bottom = TOP + ROW * len(rows)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 16, _shown(tick), anchor="middle", size=11))
    for number, row in enumerate(rows):
        y = TOP + ROW * number
        middle = y + BAR / 2
        parts.append(_text(LEFT - 10, middle + 4, row.label, anchor="end", is_bold=row.is_ours, colour=INK))
        fill = OURS if row.is_ours else OTHERS
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{row.value * scale:.1f}" height="{BAR}" rx="2" fill="{fill}"/>')
        if row.high > row.low:
            low, high = LEFT + row.low * scale, LEFT + row.high * scale
            parts.append(
                f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {y + 4}v8M{high:.1f} {y + 4}v8" stroke="{INK}"/>'
            )
        end = LEFT + max(row.high, row.value) * scale + 8
        parts.append(_text(end, middle + 4, _shown(row.value), is_bold=row.is_ours, colour=INK))
    told = "; ".join(f"{row.label} {_shown(row.value)}" for row in rows)
    return _picture(TOP + ROW * len(rows) + BOTTOM, title, note, told, parts)


def lines(
    *,
    title: str,
    note: str,
    x_title: str,
    xs: Sequence[float],
    shaded: tuple[float, float] | None,
    panels: Sequence[Panel],
) -> str:
    """Draw panels under each other over one x; ``shaded`` is a stretch of x with a grey ground."""
    span = max(xs[-1] - min(0.0, xs[0]), 1e-9)
    x_scale = (WIDTH - LINE_LEFT - LINE_RIGHT) / span
    parts: list[str] = []
    for number, panel in enumerate(panels):
        top = TOP + 18 + number * (PANEL + PANEL_GAP)
        if shaded is not None:
            low, high = (LINE_LEFT + edge * x_scale for edge in shaded)
            size = f'width="{high - low:.1f}" height="{PANEL}"'
            parts.append(f'<rect x="{low:.1f}" y="{top}" {size} fill="{SHADE}"/>')
        parts += _panel(panel, xs, top, x_scale)
    bottom = TOP + 18 + len(panels) * (PANEL + PANEL_GAP) - PANEL_GAP
    parts += [
        _text(LINE_LEFT + tick * x_scale, bottom + 16, _shown(tick), anchor="middle", size=11) for tick in _ticks(span)
    ]
    parts.append(_text(WIDTH - LINE_RIGHT, bottom + 30, x_title, anchor="end", size=11))
    told = "; ".join(f"{panel.title}: {_ends(panel)}" for panel in panels)
    return _picture(bottom + 40, title, note, told, parts)


def _panel(panel: Panel, xs: Sequence[float], top: float, x_scale: float) -> list[str]:
    known = [y for y in panel.ys if y is not None]
    most = max(known, default=0.0) or 1.0
    ticks = _ticks(most)
    most = max(most, ticks[-1])
    y_scale = PANEL / most
    parts = [_text(LINE_LEFT, top - 6, panel.title, colour=INK)]
    for tick in ticks:
        y = top + PANEL - tick * y_scale
        parts.append(f'<line x1="{LINE_LEFT}" y1="{y:.1f}" x2="{WIDTH - LINE_RIGHT}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(_text(LINE_LEFT - 6, y + 4, _shown(tick), anchor="end", size=11))
    path, pen = [], "M"
    for x, y in zip(xs, panel.ys, strict=True):
        if y is None:
            pen = "M"
            continue
        path.append(f"{pen}{LINE_LEFT + x * x_scale:.1f} {top + PANEL - y * y_scale:.1f}")
        pen = "L"
    parts.append(f'<path d="{"".join(path)}" fill="none" stroke="{OURS}" stroke-width="1.5"/>')
    return parts


def _picture(height: float, title: str, note: str, told: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img"'
        ' aria-labelledby="title description" font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif">'
    )
    known = [
        head,
        f'  <title id="title">{html.escape(title)}</title>',
        f'  <desc id="description">{html.escape(told)}</desc>',
        f'  <rect width="{WIDTH}" height="{height:g}" rx="10" fill="#ffffff"/>',
        f"  {_text(16, 26, title, size=16, is_bold=True, colour=INK)}",
        f"  {_text(16, 45, _cut(note), size=11)}",
    ]
    return "\n".join([*known, *(f"  {part}" for part in parts), "</svg>", ""])


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 13,
    is_bold: bool = False,
    colour: str = QUIET,
) -> str:
    weight = ' font-weight="600"' if is_bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}"{weight}>{html.escape(text)}</text>'


def _ticks(most: float) -> list[float]:
    """Give zero and round numbers up to a value, about four."""
    if most <= 0:
        return [0.0]
    raw = most / TICKS
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    return [step * number for number in range(int(most / step + 1e-9) + 1)]


def _shown(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def _ends(panel: Panel) -> str:
    known = [y for y in panel.ys if y is not None]
    return f"from {_shown(known[0])} to {_shown(known[-1])}, most {_shown(max(known))}" if known else "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= NOTE_CHARS else text[: NOTE_CHARS - 1] + "…"
