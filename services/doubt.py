"""Mails in doubt: the evidence that they never left, and what a person decides about them.

Events settle doubt by themselves (services.delivery_events); here is what silence amounts to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, func, literal_column, or_, select, text, update
from sqlalchemy.orm import Session

from domain import doubt
from domain.doubt import NEIGHBOURS, Condition, Evidence, Neighbours, QueueReading
from domain.statuses import EventStatus, Fact, RecipientStatus
from models import Campaign, Event, Recipient, TestMail
from services import ledger
from services.ledger import FactChange

_ROWS = cast(Table, Recipient.__table__)
_EVENTS = cast(Table, Event.__table__)
_OPEN = text("recipients.status IN ('sending', 'in_doubt')")
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
            witness.readings, _unapplied(session), submitted_at, grace_seconds
        ),
        grace_over=doubt.judge_grace(submitted_at, now, grace_seconds),
    )


def _neighbours(session: Session, row: InDoubt) -> Neighbours:
    c = _ROWS.c
    at = row.submitted_at
    before = _told(session, row, c.sent_at <= at, c.sent_at.desc())
    after = _told(session, row, c.sent_at > at, c.sent_at.asc())
    return Neighbours(
        before=len(before),
        before_told=sum(before),
        after=len(after),
        after_told=sum(after),
        probe_answered=None if after else _probe_answered(session, row),
    )


def _told(
    session: Session, row: InDoubt, side: ColumnElement[bool], order: ColumnElement[Any]
) -> list[bool]:
    """Of up to 20 accepted mails on one side: whether each has its Send event."""
    c = _ROWS.c
    near = (
        select(c.id, c.attempt_id)
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
    return [bool(value) for value in session.scalars(select(told.exists()).select_from(near))]


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
    told = select(_EVENTS.c.key).where(
        _EVENTS.c.kind == "Send",
        _EVENTS.c.message_id == probe.message_id,
        _EVENTS.c.received_at >= probe.created_at,
    )
    return session.execute(told.limit(1)).first() is not None


def _unapplied(session: Session) -> int:
    waiting = text("events.status IN ('new', 'parked', 'dead')")
    query = select(func.count()).where(
        waiting, _EVENTS.c.status.in_([EventStatus.NEW, EventStatus.DEAD])
    )
    return session.scalar(query) or 0


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


def send_presumed_unsent(
    session: Session,
    campaign_id: int,
    now: datetime,
    by: str,
    recipient_ids: Collection[int] | None = None,
) -> int:
    """A person sends presumed unsent mails (None = all of the campaign); how many."""
    rows = _all_of(session, campaign_id, recipient_ids)
    rows = [row for row in rows if row.presumed_unsent_at is not None]
    return len(_send_anew(session, rows, f"Presumed unsent; sent anew by {by}.", now))


def send_again(
    session: Session,
    campaign_id: int,
    recipient_ids: Collection[int] | None,
    now: datetime,
    by: str,
) -> int:
    """A person sends mails in doubt again (None = all), at the risk of a second copy; how many."""
    rows = _all_of(session, campaign_id, recipient_ids)
    return len(_send_anew(session, rows, f"Sent again by {by}; it may arrive twice.", now))


def treat_as_sent(
    session: Session,
    campaign_id: int,
    recipient_ids: Collection[int] | None,
    now: datetime,
    by: str,
) -> int:
    """A person takes mails in doubt for sent (None = all of the campaign); how many."""
    changes = [
        FactChange(
            row.id,
            row.attempt_id,
            Fact.ACCEPTED,
            row.submitted_at,
            reason_code="treated_as_sent",
            reason=f"It was in doubt; {by} took it for sent.",
        )
        for row in _all_of(session, campaign_id, recipient_ids)
    ]
    if changes:
        ledger.apply_changes(session, changes, now)
    return len(changes)


def _all_of(
    session: Session, campaign_id: int, recipient_ids: Collection[int] | None
) -> list[InDoubt]:
    found: list[InDoubt] = []
    while part := rows_in_doubt(
        session, campaign_id, after_id=found[-1].id if found else 0, limit=1000
    ):
        found += part
    return [row for row in found if recipient_ids is None or row.id in recipient_ids]


def _send_anew(session: Session, rows: Sequence[InDoubt], because: str, now: datetime) -> list[int]:
    locked = ledger.lock_rows(session, (row.id for row in rows))
    pairs: list[tuple[int, str | None]] = [
        (row.id, row.attempt_id)
        for row in rows
        if row.id in locked
        and locked[row.id].status == RecipientStatus.IN_DOUBT
        and locked[row.id].attempt_id == row.attempt_id
    ]
    return ledger.return_to_pending(session, pairs, because, now, was_submitted=True)
