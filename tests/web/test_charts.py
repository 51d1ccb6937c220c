"""Charts: widths add up, texts are escaped, nothing styles inline, empty data draws nothing odd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from domain.statuses import RecipientStatus
from web.charts import (
    LEAST_SHARE,
    Series,
    Tick,
    axis,
    column_chart,
    line_chart,
    segments,
    sparkline,
)
from web.wording import BAR_ORDER

NASTY = '<script>"&'


@given(st.lists(st.integers(0, 2_000_000), min_size=13, max_size=13))
def test_every_present_state_is_visible_and_the_bar_is_full(numbers: list[int]) -> None:
    counts = list(zip(BAR_ORDER, numbers, strict=True))
    parts = segments(counts)
    assert [part.state for part in parts] == [state for state, n in counts if n]
    assert all(part.width >= LEAST_SHARE for part in parts)
    if parts:
        assert sum(part.width for part in parts) == pytest.approx(100, abs=0.1)
        assert parts[0].x == 0


def test_shares_keep_their_proportion() -> None:
    parts = segments([(RecipientStatus.DELIVERED, 750), (RecipientStatus.PENDING, 250)])
    assert [part.width for part in parts] == [75, 25]


def _parsed(svg: str) -> etree._Element:
    assert "style" not in svg
    return etree.fromstring(svg)


def test_lines_stay_inside_their_frame_and_texts_are_escaped() -> None:
    chart = line_chart(
        [Series("st-sent", [1, 5, 50], area=True), Series("is-ok", [2], dashed=True)],
        10,
        [0, 5, 10],
        [Tick(0, NASTY), Tick(100, "now", minor=True)],
        NASTY,
    )
    root = _parsed(chart)
    assert root.get("aria-label") == NASTY
    assert NASTY in [element.text for element in root.iter("text")]
    path = next(p for p in root.iter("path") if p.get("class") == "line st-sent").get("d")
    assert path == "M0.0 90.00 L500.0 50.00 L1000.0 0.00"


def test_columns_stack_from_the_bottom() -> None:
    chart = column_chart(
        [[("st-bounced", 2), ("st-sent", 6)], [("st-sent", 0)]], 10, [0, 10], [], "Mails an hour"
    )
    drawn = [(r.get("y"), r.get("height")) for r in _parsed(chart).iter("rect")]
    assert drawn == [("80.00%", "20.00%"), ("20.00%", "60.00%")]


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [1.0, 2.0, 400.0]])
def test_sparklines_draw_whatever_there_is(values: list[float]) -> None:
    root = _parsed(sparkline(values, "st-accent", 0 if not any(values) else 10, NASTY))
    assert root.get("aria-label") == NASTY
    line = root[1].get("d")
    heights = [float(point.split()[1]) for point in line.removeprefix("M").split(" L")]
    assert all(0 <= height <= 30 for height in heights)


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 3), (3, 3), (4, 6), (31_573, 60_000), (14, 15), (16, 30), (1_000_001, 1_500_000)],
)
def test_axes_end_on_round_numbers(highest: float, top: float) -> None:
    assert axis(highest) == (top, [0, top / 3, 2 * top / 3, top])
