"""Charts as inline SVG that stretch with their box and keep their text undistorted.

The outer <svg> has no viewBox: grid lines, columns and labels sit at percentages. Curves live in
one inner <svg viewBox="0 0 1000 100" preserveAspectRatio="none"> whose strokes do not scale.
Colours come from classes (st-…, is-…), so one drawing serves both themes without inline style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from domain.statuses import RecipientStatus

#: The least share of a progress bar, in percent, that a state with any rows gets.
LEAST_SHARE = 0.8


@dataclass(frozen=True)
class Segment:
    """A part of a progress bar; `x` and `width` in percent of the bar."""

    state: RecipientStatus
    number: int
    x: float
    width: float


@dataclass(frozen=True)
class Series:
    """One curve. css: state class; values: evenly spaced, may end before the axis does."""

    css: str
    values: Sequence[float]
    area: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Tick:
    """A label under the x axis at `at` percent; minor ones disappear on a phone."""

    at: float
    text: str
    minor: bool = False


def segments(counts: Sequence[tuple[RecipientStatus, int]]) -> list[Segment]:
    """Share a bar among states: each that has rows is visible, the rest is in proportion."""
    present = [(state, n) for state, n in counts if n > 0]
    left, big = 100.0, sum(n for _, n in present)
    small: set[RecipientStatus] = set()
    while more := [(s, n) for s, n in present if s not in small and left * n < LEAST_SHARE * big]:
        small.update(state for state, _ in more)
        left -= LEAST_SHARE * len(more)
        big -= sum(n for _, n in more)
    parts, x = [], 0.0
    for state, n in present:
        width = LEAST_SHARE if state in small else left * n / big
        parts.append(Segment(state, n, round(x, 2), round(width, 2)))
        x += width
    return parts


def _frame(
    top: float, y_ticks: Sequence[float], x_ticks: Sequence[Tick], summary: str
) -> list[str]:
    out = [f'<svg class="chart" role="img" aria-label="{escape(summary)}">']
    for value in y_ticks:
        y = 100 - 100 * value / top
        line = "grid" if value else "base"
        out.append(
            f'<line class="{line}" x1="0" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>'
            f'<text x="-8" y="{y:.2f}%" dy=".32em" text-anchor="end">{value:,.0f}</text>'
        )
    for tick in x_ticks:
        anchor = "start" if tick.at == 0 else "end" if tick.at == 100 else "middle"
        minor = ' class="minor"' if tick.minor else ""
        out.append(
            f'<text x="{tick.at}%" y="100%" dy="1.5em" text-anchor="{anchor}"{minor}>'
            f"{escape(tick.text)}</text>"
        )
    return out


def line_chart(
    series: Sequence[Series],
    top: float,
    y_ticks: Sequence[float],
    x_ticks: Sequence[Tick],
    summary: str,
) -> Markup:
    """Curves and areas on a common axis from 0 to `top`. `summary` is what a screen reader says."""
    out = _frame(top, y_ticks, x_ticks, summary)
    out.append('<svg viewBox="0 0 1000 100" preserveAspectRatio="none" width="100%" height="100%">')
    steps = max(1, max(len(s.values) for s in series) - 1)
    for s in series:
        points = [(1000 * i / steps, 100 - 100 * min(1.0, v / top)) for i, v in enumerate(s.values)]
        path = "M" + " L".join(f"{x:.1f} {y:.2f}" for x, y in points)
        if s.area:
            out.append(f'<path class="area {s.css}" d="{path} L{points[-1][0]:.1f} 100 L0 100Z"/>')
        out.append(f'<path class="line {s.css}{" dash" if s.dashed else ""}" d="{path}"/>')
    return Markup("".join([*out, "</svg></svg>"]))  # noqa: S704 - texts are escaped above


def column_chart(
    columns: Sequence[Sequence[tuple[str, float]]],
    top: float,
    y_ticks: Sequence[float],
    x_ticks: Sequence[Tick],
    summary: str,
) -> Markup:
    """Stacked columns; each column is a list of (state class, value) from the bottom up."""
    out = _frame(top, y_ticks, x_ticks, summary)
    width = 100 / max(1, len(columns))
    for i, column in enumerate(columns):
        y = 100.0
        for css, value in column:
            height = 100 * value / top
            y -= height
            if value:
                out.append(
                    f'<rect class="col {css}" x="{i * width + width * 0.16:.2f}%" y="{y:.2f}%"'
                    f' width="{width * 0.68:.2f}%" height="{height:.2f}%" rx="1.5"/>'
                )
    return Markup("".join([*out, "</svg>"]))  # noqa: S704 - texts are escaped above


def sparkline(values: Sequence[float], css: str, top: float, summary: str) -> Markup:
    """A curve without axes for a tile; the figure beside it carries the meaning."""
    steps = max(1, len(values) - 1)
    height = top or 1.0
    points = [
        f"{100 * i / steps:.1f} {30 - 30 * min(1.0, v / height):.1f}" for i, v in enumerate(values)
    ]
    path = "M" + " L".join(points or ["0 30"])
    return Markup(  # noqa: S704 - the summary is escaped, the rest are numbers
        '<svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(summary)}"><path class="area {css}" d="{path} L100 30 L0 30Z"/>'
        f'<path class="line {css}" d="{path}"/></svg>'
    )


def axis(highest: float) -> tuple[float, list[float]]:
    """A round top and four even grid lines, 0 among them, for values up to `highest`."""
    unit = 1
    while 15 * unit < highest:
        unit *= 10
    step = float(next(unit * factor for factor in (1, 2, 5) if 3 * unit * factor >= highest))
    return 3 * step, [0, step, 2 * step, 3 * step]
