"""The one place that changes a recipient's state after the claim: send results, SES events
and a person's decisions all pass through here (services.acceptances is its short cut).

Rows are locked in id order, so that many workers never deadlock; the new state is
`state_of(facts)`; counters change by the difference. Times and reasons merge so that every order
of the same changes ends the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import Row, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from domain.statuses import (
    EVENT_FACTS,
    FACTS_BY_RANK,
    EventStatus,
    Fact,
    RecipientStatus,
    has_soft_bounce,
    is_accepted,
    state_of,
)
from models import CampaignCounters, Event, PastAttempt, Recipient
from services import counters
from services.row_updates import update_rows

_ROWS = cast(Table, Recipient.__table__)
_COUNTERS = cast(Table, CampaignCounters.__table__)
_PAST = cast(Table, PastAttempt.__table__)
_EVENTS = cast(Table, Event.__table__)

#: Recipient columns that make a counter of distinct people.
PEOPLE = {
    "opened": "opened_at",
    "clicked": "clicked_at",
    "opened_machine": "machine_opened_at",
    "clicked_machine": "machine_clicked_at",
    "unsubscribed": "unsubscribed_at",
}
#: The time column that a fact fills, with the earliest time it is told.
_TIME_OF_FACT = {
    int(Fact.ACCEPTED): "sent_at",
    int(Fact.DELIVERED): "delivered_at",
    int(Fact.COMPLAINED): "complained_at",
}
_HARD_BOUNCES = int(Fact.BOUNCED | Fact.PREVENTED)
_BOUNCES = (Fact.BOUNCED, Fact.PREVENTED, Fact.SOFT_BOUNCED, Fact.MAYBE_AUTO_REPLY)
#: Events of a row's present attempt do not repeat it; once it is replaced, they have to.
_NAME_ATTEMPT = (
    update(_EVENTS)
    .where(
        _EVENTS.c.recipient_id == bindparam("b_id"),
        _EVENTS.c.attempt_id.is_(None),
        _EVENTS.c.status == EventStatus.APPLIED,
    )
    .values(attempt_id=bindparam("b_attempt"))
)
_READ = (
    "id", "campaign_id", "email", "address", "address_hash", "status", "facts", "reason_code",
    "reason", "reason_at", "attempt_id", "message_id", "submitted_at", "lease_until", "sent_at",
    "delivered_at", "bounced_at", "complained_at", "delayed_until", "opened_at",
    "last_opened_at", "opens", "machine_opened_at", "machine_opens", "clicked_at",
    "last_clicked_at", "clicks", "machine_clicked_at", "machine_clicks", "unsubscribed_at",
    "duplicates", "updated_at", "presumed_unsent_at",
)  # fmt: skip
_LOCKED_ROWS = select(*(_ROWS.c[name] for name in _READ)).order_by(_ROWS.c.id).with_for_update()


@dataclass(frozen=True, slots=True)
class FactChange:
    """One thing learned about one row.

    `attempt_id` None means whichever attempt is present (a person's decision); otherwise the
    change counts only while that attempt is the row's newest. `earliest` and `latest` are
    recipient time columns that keep the smallest or largest value; `increments` add up;
    `exact` are columns derived from everything known, set as they are (lock the row first).
    """

    recipient_id: int
    attempt_id: str | None
    add: Fact
    at: datetime
    message_id: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    earliest: Mapping[str, datetime] = field(default_factory=dict)
    latest: Mapping[str, datetime] = field(default_factory=dict)
    increments: Mapping[str, int] = field(default_factory=dict)
    exact: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transition:
    """What one batch of changes did to one row."""

    recipient_id: int
    campaign_id: int
    email: str
    address: str
    address_hash: bytes
    status_before: RecipientStatus
    status_after: RecipientStatus
    facts_before: int
    facts_after: int


@dataclass(frozen=True, slots=True)
class LedgerOutcome:
    """Transitions of the rows that took a change, and the changes that found no such attempt."""

    transitions: list[Transition]
    stale: list[FactChange]


def apply_changes(
    session: Session,
    changes: Sequence[FactChange],
    now: datetime,
    locked: Mapping[int, Row[Any]] | None = None,
) -> LedgerOutcome:
    """Add facts to rows, derive their states, and move the counters by the difference.

    `locked` are the rows if the caller has them from `lock_rows` in this transaction.
    """
    by_row: dict[int, list[FactChange]] = defaultdict(list)
    for change in changes:
        by_row[change.recipient_id].append(change)
    rows = lock_rows(session, by_row) if locked is None else locked
    transitions: list[Transition] = []
    stale: list[FactChange] = []
    updates: list[dict[str, Any]] = []
    deltas: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for recipient_id, row_changes in by_row.items():
        row = rows.get(recipient_id)
        if row is None:
            stale.extend(row_changes)
            continue
        before = dict(zip(_READ, row, strict=True))
        after = dict(before)
        for change in row_changes:
            if change.attempt_id is not None and change.attempt_id != row.attempt_id:
                stale.append(change)
            else:
                _merge(after, change)
        _finish(before, after, now)
        transitions.append(_transition(before, after))
        difference = {k: v for k, v in after.items() if v != before[k]}
        if difference:
            updates.append({"b_id": recipient_id, **difference})
            _count(deltas[row.campaign_id], before, after)
    _write(session, updates)
    counters.add(session, deltas)
    return LedgerOutcome(transitions, stale)


def lock_rows(session: Session, ids: Iterable[int]) -> dict[int, Row[Any]]:
    """Rows by id, locked in id order (SQLite: the writer lock is already held)."""
    found: dict[int, Row[Any]] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), 500):  # below SQLite's limit of bound variables
        query = _LOCKED_ROWS.where(_ROWS.c.id.in_(wanted[start : start + 500]))
        found.update((row.id, row) for row in session.execute(query))
    return found


def _merge(row: dict[str, Any], change: FactChange) -> None:
    """Fold one change into a row's values, the same result for every order of changes."""
    add = int(change.add)  # operators of IntFlag cost thirty times those of int
    old = row["facts"]
    new = old | add
    row["facts"] = new
    if change.message_id and not row["message_id"]:
        row["message_id"] = change.message_id
    for fact, column in _TIME_OF_FACT.items():
        if add & fact:
            _keep(row, column, change.at, min)
    _merge_bounce(row, change, old)
    _merge_reason(row, change, old, new)
    for column, value in change.earliest.items():
        _keep(row, column, value, min)
    for column, value in change.latest.items():
        _keep(row, column, value, max)
    for column, step in change.increments.items():
        row[column] += step
    row.update(change.exact)


def _keep(row: dict[str, Any], column: str, value: datetime, choose: Any) -> None:
    row[column] = value if row[column] is None else choose(row[column], value)


@cache
def _top(facts: int, among: Sequence[Fact] = FACTS_BY_RANK) -> Fact | None:
    return next((fact for fact in among if facts & fact), None)


def _merge_bounce(row: dict[str, Any], change: FactChange, old: int) -> None:
    """`bounced_at` is the earliest time of the highest-ranked bounce fact."""
    mine = _top(change.add, _BOUNCES)
    if mine is None:
        return
    present = _top(old, _BOUNCES)
    if present is None or _BOUNCES.index(mine) < _BOUNCES.index(present):
        row["bounced_at"] = change.at
    elif mine is present:
        _keep(row, "bounced_at", change.at, min)


def _merge_reason(row: dict[str, Any], change: FactChange, old: int, new: int) -> None:
    """The reason is told by the highest-ranked fact; the latest of delays, else the earliest."""
    ruling = _top(new)
    if ruling is None or _top(change.add) is not ruling:
        return
    mine = (change.at, change.reason_code or "", change.reason or "")
    if _top(old) is ruling and row["reason_at"] is not None:
        present = (row["reason_at"], row["reason_code"] or "", row["reason"] or "")
        better = mine > present if ruling is Fact.DELAYED else mine < present
        if not better:
            return
    row["reason_at"], row["reason_code"], row["reason"] = (
        change.at,
        change.reason_code,
        change.reason,
    )


def _finish(before: dict[str, Any], after: dict[str, Any], now: datetime) -> None:
    """Derive the state and what hangs on it."""
    facts = after["facts"]
    after["status"] = state_of(facts)
    hard = facts & _HARD_BOUNCES
    if after["bounced_at"] and not hard and not has_soft_bounce(facts):
        after["bounced_at"] = None  # it was an automatic reply after all
    if after["status"] is not RecipientStatus.SENDING:
        after["lease_until"] = None
    if after["status"] is not before["status"]:
        after["updated_at"] = now


def _transition(before: dict[str, Any], after: dict[str, Any]) -> Transition:
    return Transition(
        recipient_id=before["id"],
        campaign_id=before["campaign_id"],
        email=before["email"],
        address=before["address"],
        address_hash=before["address_hash"],
        status_before=before["status"],
        status_after=after["status"],
        facts_before=before["facts"],
        facts_after=after["facts"],
    )


def _write(session: Session, updates: list[dict[str, Any]]) -> None:
    """One UPDATE per set of changed columns, many rows each."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for values in updates:
        groups[tuple(sorted(values))].append(values)
    for names, rows in groups.items():
        update_rows(session, _ROWS, [name for name in names if name != "b_id"], rows)


def return_to_pending(
    session: Session,
    rows: Sequence[tuple[int, str | None]],
    because: str,
    now: datetime,
    *,
    was_submitted: bool,
) -> list[int]:
    """Make (recipient id, attempt id) rows pending again for a new attempt; the changed ids.

    With `was_submitted` the old attempt is kept in `past_attempts`, where its late events
    find it and count as duplicates. Rows whose newest attempt is another one stay untouched.
    """
    locked = lock_rows(session, (row_id for row_id, _ in rows))
    updates: list[dict[str, Any]] = []
    past: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    deltas: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row_id, attempt_id in rows:
        row = locked.get(row_id)
        if row is None or row.attempt_id != attempt_id:
            continue
        before = dict(zip(_READ, row, strict=True))
        after = {**before, **_BLANK, "updated_at": now}
        if was_submitted and attempt_id is not None:
            past.append(_past_attempt(before, because, now))
        if row.facts & EVENT_FACTS:
            told.append({"b_id": row_id, "b_attempt": attempt_id})
        difference = {k: v for k, v in after.items() if v != before[k]}
        if difference:
            updates.append({"b_id": row_id, **difference})
            _count(deltas[row.campaign_id], before, after)
    _write(session, updates)
    if told:
        session.connection().execute(_NAME_ATTEMPT, told)
    if past:
        session.execute(insert(_PAST), past)
    counters.add(session, deltas)
    return [values["b_id"] for values in updates]


_BLANK: dict[str, Any] = {
    "status": RecipientStatus.PENDING,
    "facts": 0,
    "reason_code": None,
    "reason": None,
    "reason_at": None,
    "attempt_id": None,
    "message_id": None,
    "submitted_at": None,
    "lease_until": None,
    "sent_at": None,
    "delivered_at": None,
    "bounced_at": None,
    "complained_at": None,
    "delayed_until": None,
    "presumed_unsent_at": None,
}


def _past_attempt(row: dict[str, Any], because: str, now: datetime) -> dict[str, Any]:
    return {
        "attempt_id": row["attempt_id"],
        "recipient_id": row["id"],
        "facts": row["facts"],
        "message_id": row["message_id"],
        "submitted_at": row["submitted_at"],
        "ended_at": now,
        "ended_because": because,
    }


def contributions(row: Mapping[str, Any]) -> dict[str, int]:
    """The counters that a row counts in, by name; `row` has the recipient's columns."""
    counts = {**_counters_of(row["facts"], str(row["status"])), "duplicates": row["duplicates"]}
    for name, column in PEOPLE.items():
        counts[name] = int(row[column] is not None)
    return counts


@cache
def _counters_of(facts: int, status: str) -> Mapping[str, int]:
    """The counters that hang on facts and state alone."""
    return {
        status: 1,
        "reached_accepted": int(is_accepted(facts)),
        "reached_delivered": int(bool(facts & Fact.DELIVERED)),
        "reached_delayed": int(bool(facts & Fact.DELAYED)),
        "reached_soft_bounced": int(has_soft_bounce(facts)),
        "reached_bounced": int(bool(facts & Fact.BOUNCED)),
        "reached_complained": int(bool(facts & Fact.COMPLAINED)),
    }


def _count(deltas: dict[str, int], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    old, new = contributions(before), contributions(after)
    if old == new:
        return
    for name in {*old, *new}:
        deltas[name] += new.get(name, 0) - old.get(name, 0)


def counter_names() -> list[str]:
    """Every counter, in the order of the table."""
    return [column.name for column in _COUNTERS.columns if column.name != "campaign_id"]


def read_counters(session: Session, campaign_id: int) -> dict[str, int]:
    """The stored counters of a campaign; zeros when there are none."""
    counters.write(session)
    query = select(_COUNTERS).where(_COUNTERS.c.campaign_id == campaign_id)
    row = session.execute(query).one_or_none()
    return {name: getattr(row, name) if row else 0 for name in counter_names()}
