"""Mails in doubt: the evidence that they never left, and what a person decides about them.

Events settle doubt by themselves (services.delivery_events); here is what silence amounts to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, func, literal_column, or_, select, text, update
from sqlalchemy.orm import Session

from domain import doubt
from domain.doubt import (
    CLOCKS_SECONDS,
    NEIGHBOURS,
    Condition,
    Evidence,
    Neighbours,
    QueueReading,
    Unheard,
)
from domain.statuses import EventStatus, Fact, RecipientStatus
from models import Campaign, DeadLetter, Event, Recipient, TestMail
from services import ledger, older_attempts
from services.ledger import FactChange

_ROWS = cast(Table, Recipient.__table__)
_EVENTS = cast(Table, Event.__table__)
_OPEN = text("recipients.status IN ('sending', 'in_doubt')")
#: By so much may the clock of a host be wrong; the database's is the one that counts.
_CLOCK_ERROR = timedelta(hours=1)
#: Rows that one writing step settles; on SQLite it keeps the writer lock for about 20 ms.
_STEP_ROWS = 400
#: `created_by` of test mails that the product sends to see whether events arrive.
PROBE_BY = "probe"


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A row in doubt, for judging and for the page."""

    id: int
    campaign_id: int
    email: str
    attempt_id: str
    submitted_at: datetime
    configuration_set: str | None
    reason: str | None
    presumed_unsent_at: datetime | None
    evidence: dict[str, Any] | None


def rows_in_doubt(
    session: Session, campaign_id: int | None = None, *, after_id: int = 0, limit: int = 200
) -> list[InDoubt]:
    """Rows in doubt (of one campaign) by id."""
    c = _ROWS.c
    query = (
        select(
            c.id, c.campaign_id, c.email, c.attempt_id, c.submitted_at,
            Campaign.configuration_set, c.reason, c.presumed_unsent_at, c.doubt_evidence,
        )
        .join(Campaign, Campaign.id == c.campaign_id)
        .where(_OPEN, c.status == RecipientStatus.IN_DOUBT, c.id > after_id)
        .order_by(c.id)
        .limit(limit)
    )  # fmt: skip
    if campaign_id is not None:
        query = query.where(c.campaign_id == campaign_id)
    return [InDoubt(*row) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class Witness:
    """What is known of the way that events take, read from AWS outside any transaction.

    `publishes` says of a configuration set whether its Send events reach the queue we poll
    (condition a); `readings` are this process's looks at the queue, oldest first.
    """

    publishes: Callable[[str], Condition]
    readings: Sequence[QueueReading]


def judge(
    session: Session, row: InDoubt, witness: Witness, grace_seconds: float, now: float
) -> Evidence:
    """Judge one row's silence by the four conditions; `now` is database time (epoch s)."""
    submitted_at = row.submitted_at.timestamp()
    return Evidence(
        judged_at=now,
        send_published=witness.publishes(row.configuration_set or ""),
        neighbours=doubt.judge_neighbours(_neighbours(session, row)),
        queue_empty=doubt.judge_queue(
            witness.readings, _unheard(session, row), submitted_at, grace_seconds
        ),
        grace_over=doubt.judge_grace(submitted_at, now, grace_seconds),
    )


def _neighbours(session: Session, row: InDoubt) -> Neighbours:
    c = _ROWS.c
    at, apart = row.submitted_at, timedelta(seconds=CLOCKS_SECONDS)
    before = _told(session, row, c.sent_at <= at, c.sent_at.desc())
    after = _told(session, row, c.sent_at > at, c.sent_at.asc())
    odd = [other for other, _ in before if other > at + apart]
    odd += [other for other, _ in after if other < at - apart]
    return Neighbours(
        before=len(before),
        before_told=sum(told for _, told in before),
        after=len(after),
        after_told=sum(told for _, told in after),
        probe_answered=None if after else _probe_answered(session, row),
        out_of_order=len(odd),
    )


def _told(
    session: Session, row: InDoubt, side: ColumnElement[bool], order: ColumnElement[Any]
) -> list[tuple[datetime, bool]]:
    """Up to 20 accepted mails on one side: when submitted, and whether it has its Send event."""
    c = _ROWS.c
    near = (
        select(c.id, c.attempt_id, c.submitted_at)
        .join(Campaign, Campaign.id == c.campaign_id)
        .where(
            c.sent_at.is_not(None),
            c.message_id.is_not(None),
            c.id != row.id,
            func.coalesce(Campaign.configuration_set, "") == (row.configuration_set or ""),
            side,
        )
        .order_by(order)
        .limit(NEIGHBOURS)
        .subquery()
    )
    told: Any = select(literal_column("1")).where(
        _EVENTS.c.recipient_id == near.c.id,
        or_(_EVENTS.c.attempt_id.is_(None), _EVENTS.c.attempt_id == near.c.attempt_id),
        _EVENTS.c.kind == "Send",
    )
    found = session.execute(select(near.c.submitted_at, told.exists()).select_from(near))
    return [(submitted_at, bool(told)) for submitted_at, told in found]


def last_probe(session: Session, row: InDoubt) -> TestMail | None:
    """The newest probe of the row's campaign that was sent after the row was submitted."""
    query = (
        select(TestMail)
        .where(
            TestMail.campaign_id == row.campaign_id,
            TestMail.created_by == PROBE_BY,
            TestMail.created_at > row.submitted_at,
        )
        .order_by(TestMail.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def _probe_answered(session: Session, row: InDoubt) -> bool | None:
    probe = last_probe(session, row)
    if probe is None:
        return None
    return "Send" in session.scalars(
        select(_EVENTS.c.kind).where(
            _EVENTS.c.recipient_id.is_(None), _EVENTS.c.attempt_id == probe.attempt_id
        )
    )


def _unheard(session: Session, row: InDoubt) -> Unheard:
    """All that is here and may yet speak of the row."""
    stuck = _EVENTS.c.status.in_([EventStatus.NEW, EventStatus.DEAD])
    named = _EVENTS.c.recipient_id.is_(None) & (_EVENTS.c.attempt_id == row.attempt_id)
    # SQLite's and PostgreSQL's partial indexes are found by their own words.
    waiting = text("events.status IN ('new', 'parked', 'dead')")
    return Unheard(
        unapplied=session.scalar(select(func.count()).where(waiting, stuck)) or 0,
        unreadable=session.scalar(
            select(func.count()).where(DeadLetter.received_at >= row.submitted_at - _CLOCK_ERROR)
        )
        or 0,
        named=session.scalar(select(func.count()).where(named)) or 0,
    )


def keep_evidence(session: Session, row: InDoubt, evidence: Evidence, now: datetime) -> None:
    """Record what was known, with the moment since when the row is presumed unsent."""
    since = (row.presumed_unsent_at or now) if evidence.presumed_unsent else None
    session.execute(
        update(_ROWS)
        .where(
            _ROWS.c.id == row.id,
            _ROWS.c.status == RecipientStatus.IN_DOUBT,
            _ROWS.c.attempt_id == row.attempt_id,
        )
        .values(doubt_evidence=evidence.as_json(), presumed_unsent_at=since)
    )


def retry_presumed_unsent(session: Session, rows: Sequence[InDoubt], now: datetime) -> list[int]:
    """Put judged rows back to pending, unless an event has come since; the ids."""
    return _send_anew(session, rows, "Presumed unsent: no event came.", now)


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows in doubt of a campaign: how many, how many presumed unsent, the oldest's age.

    `unmet` says of each condition for how many of the first rows it does not hold yet; `looked`
    is how many those are, `judged` how many of them were judged at all.
    """

    total: int
    presumed: int
    oldest: datetime | None
    looked: int
    judged: int
    unmet: Mapping[str, int]


def summarise(session: Session, campaign_id: int, look_at: int = 500) -> Summary:
    """What is known of all rows in doubt of a campaign."""
    c = _ROWS.c
    total, presumed, oldest = session.execute(
        select(func.count(), func.count(c.presumed_unsent_at), func.min(c.submitted_at)).where(
            _OPEN, c.status == RecipientStatus.IN_DOUBT, c.campaign_id == campaign_id
        )
    ).one()
    rows = rows_in_doubt(session, campaign_id, limit=look_at)
    judged = [row.evidence["conditions"] for row in rows if row.evidence]
    unmet: Counter[str] = Counter()
    for conditions in judged:
        unmet.update({name: int(not condition["met"]) for name, condition in conditions.items()})
    return Summary(total, presumed, oldest, len(rows), len(judged), unmet)


class Decision(StrEnum):
    """What a person decides about mails in doubt."""

    UNSENT = "unsent"  # send those that are presumed unsent
    AGAIN = "again"  # send them, at the risk of a second copy
    SENT = "sent"  # take them for sent


@dataclass(frozen=True, slots=True)
class Settled:
    """What one step did: how many rows, and after which id the next begins (None = all done)."""

    rows: int
    after_id: int | None


def settle(
    session: Session,
    campaign_id: int,
    decision: Decision,
    now: datetime,
    by: str,
    *,
    recipient_id: int | None = None,
    after_id: int = 0,
) -> Settled:
    """Do what a person decided, for one row or (None) for all in doubt, a step at a time.

    Each row is met once, however soon it is in doubt again: begin each further writing step
    with the `after_id` that the last one gave.
    """
    if recipient_id is not None:
        after_id = recipient_id - 1
    limit = _STEP_ROWS if recipient_id is None else 1
    found = rows_in_doubt(session, campaign_id, after_id=after_id, limit=limit)
    rows = [row for row in found if recipient_id in (None, row.id)]
    if decision is Decision.SENT:
        settled = _treat_as_sent(session, rows, now, by)
    elif decision is Decision.AGAIN:
        sentence = f"Sent again by {by}; it may arrive twice."
        settled = len(_send_anew(session, rows, sentence, now))
    else:
        rows = [row for row in rows if row.presumed_unsent_at is not None]
        settled = len(_send_anew(session, rows, f"Presumed unsent; sent anew by {by}.", now))
    more = recipient_id is None and len(found) == limit
    return Settled(settled, found[-1].id if more else None)


def _treat_as_sent(session: Session, rows: Sequence[InDoubt], now: datetime, by: str) -> int:
    changes = [
        FactChange(
            row.id,
            row.attempt_id,
            Fact.ACCEPTED,
            row.submitted_at,
            reason_code="treated_as_sent",
            reason=f"It was in doubt; {by} took it for sent.",
        )
        for row in rows
    ]
    if changes:
        ledger.apply_changes(session, changes, now)
    return len(changes)


def _send_anew(session: Session, rows: Sequence[InDoubt], because: str, now: datetime) -> list[int]:
    locked = ledger.lock_rows(session, (row.id for row in rows))
    pairs: list[tuple[int, str | None]] = [
        (row.id, row.attempt_id)
        for row in rows
        if row.id in locked
        and locked[row.id].status == RecipientStatus.IN_DOUBT
        and locked[row.id].attempt_id == row.attempt_id
    ]
    anew = ledger.return_to_pending(session, pairs, because, now, was_submitted=True)
    older_attempts.take_back(session, [i for i in anew if locked[i].duplicates], now)
    return anew
