"""The arithmetic of slots, throttling, ceilings and finish times."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import pacing
from domain.pacing import AccountLimits, Outlook, Pace
from domain.windows import SendWindow

RATES = st.floats(0.05, 2000)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday


def most_in_any(slots: list[float], seconds: float) -> int:
    """The most slots in a closed window of this length, wherever it lies."""
    most = start = 0
    for end, slot in enumerate(slots):
        while slots[start] < slot - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


def drawn(rate: float, looks: list[float]) -> list[float]:
    """All slots handed out to somebody who asks after each of these pauses."""
    slots: list[float] = []
    next_slot = now = 1000.0
    for pause in looks:
        now += pause
        draw = pacing.draw(next_slot, now, rate, pacing.most_slots(rate))
        if draw is not None:
            slots += draw.slots()
            next_slot = draw.next_slot
    return slots


@given(RATES, st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_second_holds_more_slots_than_the_rate_plus_one(rate: float, looks: list[float]) -> None:
    slots = drawn(rate, looks)
    assert slots == sorted(slots)
    assert most_in_any(slots, 1.0) <= rate + 1
    assert most_in_any(slots, 10.0) <= 1.02 * 10 * rate + 2


@given(RATES, st.floats(0.001, 0.04))
def test_a_worker_that_looks_often_gets_98_percent_of_the_rate(rate: float, look: float) -> None:
    slots = drawn(rate, [look] * 3000)
    seconds = slots[-1] - slots[0]
    assert len(slots) - 1 >= 0.98 * rate * seconds - 1e-6


@given(st.floats(0, 1e10), RATES, st.integers(1, 200))
def test_slots_are_never_nearer_than_the_lead_nor_in_the_past(
    next_slot: float, rate: float, wanted: int
) -> None:
    draw = pacing.draw(next_slot, 1e9, rate, wanted)
    if draw is not None:
        assert draw.first >= 1e9 + pacing.LEAD_SECONDS
        assert draw.first <= 1e9 + pacing.HORIZON_SECONDS
        assert len(draw.slots()) == wanted
        assert draw.next_slot > draw.slots()[-1]


def test_missed_slots_are_dropped_and_not_saved_up() -> None:
    draw = pacing.draw(100.0, 200.0, 10.0, 1)
    assert draw is not None
    assert draw.first == 200.0 + pacing.LEAD_SECONDS


@pytest.mark.parametrize("jump", [3600.0, 60.0, 10.0])
def test_a_clock_that_was_set_back_does_not_stop_sending(jump: float) -> None:
    draw = pacing.draw(1000.0 + jump, 1000.0, 10.0, 1)
    assert draw is not None
    assert draw.first == 1000.0 + pacing.LEAD_SECONDS


@given(RATES)
def test_honest_slots_ahead_are_not_taken_for_a_moved_clock(rate: float) -> None:
    first = pacing.draw(0.0, 1000.0, rate, pacing.most_slots(rate))
    assert first is not None
    assert first.next_slot < 1000.0 + pacing.sane_lead(rate)


def test_one_throttled_call_in_a_hundred_is_borne() -> None:
    pace = pacing.after_calls(Pace(100, 100), 100, 1, 50.0)
    assert pace.rate == 100
    assert pacing.after_calls(pace, 1, 1, 50.5).rate == 50


def test_throttles_halve_at_most_every_five_seconds() -> None:
    pace = pacing.after_calls(Pace(100, 100), 10, 10, 50.0)
    for now in (50.4, 51.0, 54.9):
        pace = pacing.after_calls(pace, 10, 10, now)
        assert pace.rate == 50
    assert pacing.after_calls(pace, 10, 10, 55.1).rate < 27


def test_a_halved_rate_climbs_back_to_the_ceiling() -> None:
    pace = pacing.after_calls(Pace(100, 100), 10, 10, 50.0)
    rates = []
    for second in range(51, 90):
        pace = pacing.after_calls(pace, 50, 0, float(second))
        rates.append(pace.rate)
    assert rates == sorted(rates)
    assert rates[3] == 50
    assert rates[-1] == 100


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 3)), max_size=60))
def test_the_rate_stays_between_one_and_the_ceiling(calls: list[tuple[int, int, float]]) -> None:
    pace, now = Pace(40, 40), 1000.0
    for number, throttled, pause in calls:
        now += pause
        pace = pacing.after_calls(pace, number + throttled, throttled, now)
        assert 1 <= pace.rate <= 40


def test_rate_that_was_not_slowed_follows_a_new_ceiling() -> None:
    assert pacing.with_ceiling(Pace(10, 10), 14).rate == 14
    assert pacing.with_ceiling(Pace(10, 10), 5).rate == 5
    slowed = pacing.after_calls(Pace(10, 10), 1, 1, 50.0)
    assert pacing.with_ceiling(slowed, 14).rate == 5
    assert pacing.with_ceiling(slowed, 2).rate == 2


def test_ceiling_leaves_the_reserve_to_other_senders() -> None:
    assert pacing.ceiling(AccountLimits(14, 50_000, 0), 100, 10) == pytest.approx(12.6)
    assert pacing.ceiling(AccountLimits(14, 50_000, 0), 10, 10) == 10
    assert pacing.ceiling(AccountLimits(), 10, 10) == 10


def test_quota_left_counts_others_and_the_reserve() -> None:
    assert pacing.quota_left(AccountLimits(14, 200, 100), 50, 10) == 30
    assert pacing.quota_left(AccountLimits(14, 200, 180), 50, 10) == 0
    assert pacing.quota_left(AccountLimits(14, -1, 180), 50, 10) is None
    assert pacing.quota_left(AccountLimits(), 50, 10) is None


#: For each mail: how long nobody asks before it, how often it has missed, how late it leaves
#: (as a share of what is allowed).
STALLS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 2)),
        st.one_of(st.just(0), st.integers(0, 12)),
        st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1)),
    ),
    min_size=1,
    max_size=150,
)


def departures(rate: float, stalls: list[tuple[float, int, float]]) -> list[float]:
    """When mails leave that draw their slots one after another, however late they are allowed."""
    left: list[float] = []
    next_slot = now = 1000.0
    for pause, misses, late in stalls:
        count = pacing.slots_of_a_mail(rate, misses)
        now = max(now + pause, next_slot - pacing.HORIZON_SECONDS + 1e-6)
        draw = pacing.draw(next_slot, now, rate, count)
        assert draw is not None
        spare = (count - 1) * draw.spacing
        left.append(draw.first + late * (spare + pacing.lateness_allowed(rate * pacing.HEADROOM)))
        next_slot = draw.next_slot
    return sorted(left)


@given(st.floats(0.05, 200), STALLS)
def test_no_stall_lets_more_mails_leave_in_a_second_than_the_rate_plus_two(
    rate: float, stalls: list[tuple[float, int, float]]
) -> None:
    left = departures(rate, stalls)
    assert most_in_any(left, 1.0) <= rate + 2
    assert most_in_any(left, 10.0) <= 1.02 * 10 * rate + 2


@given(st.floats(0.05, 1500), st.floats(0, 1))
def test_all_that_waited_may_leave_at_once_and_no_second_is_too_full(
    rate: float, on_time: float
) -> None:
    late = pacing.lateness_allowed(rate * pacing.HEADROOM)
    stalls = [(0.0, 0, 0.0)] * int(rate * on_time)
    slots = departures(rate, [*stalls, *[(0.0, 0, 0.0)] * int(1.3 * rate + 3)])
    # the worst of all stalls: it ends when the oldest of the late ones may still just leave
    ends = slots[len(stalls)] + late
    left = sorted([*slots[: len(stalls)], *[max(slot, ends) for slot in slots[len(stalls) :]]])
    assert most_in_any(left, 1.0) <= (rate + 2 if rate <= 200 else 1.2 * rate)


@given(RATES)
def test_a_mail_that_misses_takes_twice_the_slots_each_time_up_to_half_a_second(
    rate: float,
) -> None:
    counts = [pacing.slots_of_a_mail(rate, misses) for misses in range(14)]
    assert counts[:2] == [1, 2]
    assert all(b in (2 * a, counts[-1]) for a, b in itertools.pairwise(counts))
    assert counts[-1] <= max(2, rate * pacing.WIDEST_SECONDS)
    drawn = pacing.draw(0.0, 1000.0, rate, counts[-1])
    assert drawn is not None
    assert drawn.next_slot < 1000.0 + pacing.sane_lead(rate)


@given(RATES, st.floats(0, 10))
def test_a_process_may_hold_what_the_rate_keeps_on_its_way(rate: float, call: float) -> None:
    on_its_way = rate * (pacing.HORIZON_SECONDS + pacing.DRAW_SECONDS + call)
    assert on_its_way <= pacing.most_in_hand(rate, call) <= 16 + rate * (0.25 + 1.5 * call)


def test_finish_time_is_rate_alone_without_other_limits() -> None:
    assert pacing.finish_time(NOON, 600, Outlook(10)) == NOON + timedelta(seconds=60)
    assert pacing.finish_time(NOON, 0, Outlook(10)) == NOON
    assert pacing.finish_time(NOON, 1, Outlook(0)) is None


@pytest.mark.parametrize("rate", [42.6, 46.1, 59.9, 3.3, 97.7, 12_345.6])
def test_finish_time_is_told_at_odd_rates_with_a_large_quota(rate: float) -> None:
    for remaining in range(2000, 2100):
        outlook = Outlook(rate, quota_left=45_000_000, quota_per_day=45_000_000)
        ends = pacing.finish_time(NOON, remaining, outlook)
        assert ends is not None
        assert (ends - NOON).total_seconds() == pytest.approx(remaining / rate, abs=1e-3)


def test_finish_time_takes_several_days_of_quota() -> None:
    outlook = Outlook(rate=10, quota_left=100, quota_per_day=1000)
    ends = pacing.finish_time(NOON, 2150, outlook)
    assert ends is not None
    # 100 today, 1,000 from tomorrow noon, 1,000 the day after, 50 on the third day
    assert abs((ends - (NOON + timedelta(days=3, seconds=5))).total_seconds()) < 5


def test_finish_time_waits_for_the_window() -> None:
    days = frozenset(range(5))
    window = SendWindow(days, time(8), time(18), ZoneInfo("UTC"))
    outlook = Outlook(rate=1, window=window)
    assert pacing.finish_time(NOON, 6 * 3600, outlook) == NOON + timedelta(hours=6)
    ends = pacing.finish_time(NOON, 6 * 3600 + 60, outlook)
    assert ends == datetime(2026, 3, 3, 8, 1, tzinfo=UTC)


def test_finish_time_counts_pauses_between_batches() -> None:
    outlook = Outlook(rate=10, batch_size=100, batch_pause_seconds=10)
    ends = pacing.finish_time(NOON, 1000, outlook)
    assert ends is not None
    assert (ends - NOON).total_seconds() == pytest.approx(200)


@given(
    st.integers(1, 10**7),
    st.floats(0.01, 1000),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.one_of(st.none(), st.integers(1, 10**6)),
)
def test_finish_time_is_never_before_the_rate_allows(
    remaining: int, rate: float, left: int | None, daily: int | None
) -> None:
    quota = (left, daily) if daily is not None else (None, None)
    ends = pacing.finish_time(NOON, remaining, Outlook(rate, *quota))
    if ends is not None:
        assert (ends - NOON).total_seconds() >= remaining / rate - 1
