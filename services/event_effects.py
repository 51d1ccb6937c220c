"""What matched events do: facts to rows, opens and clicks, suppressions, soft-bounce streaks.

Everything here is a function of what is known about a mail, never of the order in which it was
learned. Rows are already locked by services.event_matching.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table, and_, delete, select, update
from sqlalchemy.orm import Session

from audience_models import Signup
from domain.addresses import address_key
from domain.opens import Engagement, EngagementTally, Evidence, tally
from domain.ses_events import EventKind, SesEvent
from domain.statuses import (
    EVENT_FACTS,
    EventStatus,
    Fact,
    SuppressionReason,
    is_accepted,
)
from models import Event, PastAttempt, TestMail
from services import soft_bounces
from services.event_matching import Belongs, Match
from services.ledger import FactChange, Transition, apply_changes, lock_rows
from services.suppression import suppress

_EVENTS = cast(Table, Event.__table__)
_PAST = cast(Table, PastAttempt.__table__)
_SOFT = int(Fact.SOFT_BOUNCED | Fact.MAYBE_AUTO_REPLY)
_DELIVERED = int(Fact.DELIVERED)
#: Addresses of SES's mailbox simulator bounce by purpose; they are never suppressed.
_SIMULATOR_DOMAIN = "@simulator.amazonses.com"
#: Nothing longer can be written to (RFC 5321), and no column holds it.
_LONGEST_ADDRESS = 320
#: Which word a test mail shows: the highest that any of its events brought.
_TEST_WORDS = (
    "sent", "delayed", "delivered", "opened", "clicked", "failed", "bounced", "rejected",
    "complained",
)  # fmt: skip
_TEST_WORD_OF = {
    EventKind.DELIVERY_DELAY: "delayed",
    EventKind.DELIVERY: "delivered",
    EventKind.OPEN: "opened",
    EventKind.CLICK: "clicked",
    EventKind.RENDERING_FAILURE: "failed",
    EventKind.BOUNCE: "bounced",
    EventKind.REJECT: "rejected",
    EventKind.COMPLAINT: "complained",
}


@dataclass(frozen=True, slots=True)
class Matched:
    """An event and where it belongs."""

    event: SesEvent
    match: Match


def apply_matched(
    session: Session, matched: Sequence[Matched], rows: Mapping[int, Row[Any]], now: datetime
) -> None:
    """Apply events that are stored now and were not before; `rows` are locked."""
    revived = _revived(matched)
    if revived:
        put_back(session, revived, now)
        rows = {**rows, **lock_rows(session, revived)}
        matched = [_as_of(item, revived, rows) for item in matched]
    changes: list[FactChange] = []
    for event, match in ((item.event, item.match) for item in matched):
        if match.row is not None and match.belongs is Belongs.ROW:
            changes.append(fact_change(event, match.row, match.attempt_id, now))
    changes += _duplicates(session, matched, now)
    changes += _engagement_changes(session, matched, rows, now)
    suppress_for(session, matched, now)
    _note_test_mails(session, matched)
    outcome = apply_changes(session, changes, now, rows)
    review_soft_bounces(session, changes, outcome.transitions, now)


def fact_change(
    event: SesEvent, row: Row[Any], attempt_id: str | None, now: datetime
) -> FactChange:
    """What an event adds to its row."""
    at = event.happened_at or event.accepted_at or now
    if event.fact is Fact.ACCEPTED:
        at = event.accepted_at or at
    earliest = {"sent_at": event.accepted_at} if event.accepted_at else {}
    if event.unsubscribes:
        earliest["unsubscribed_at"] = event.happened_at or at
    return FactChange(
        recipient_id=row.id,
        attempt_id=attempt_id,
        add=event.fact,
        at=at,
        message_id=event.message_id,
        reason_code=event.reason_code,
        reason=event.reason,
        earliest=earliest,
        latest={"delayed_until": event.delayed_until} if event.delayed_until else {},
    )


def _revived(matched: Sequence[Matched]) -> dict[int, Row[Any]]:
    """Doubted attempts that were sent after all, by row, while no newer one of the row is out.

    The row takes the attempt back, so that nobody gets the mail twice; one attempt of a row,
    as another that was sent besides is a second copy.
    """
    revived: dict[int, Row[Any]] = {}
    for item in matched:
        row, past = item.match.row, item.match.past
        if item.match.belongs is not Belongs.PAST or row is None or past is None:
            continue
        silent = past.facts & Fact.DOUBTED and not past.facts & EVENT_FACTS
        if silent and not _is_out(row):
            revived.setdefault(row.id, past)
    return revived


def _is_out(row: Row[Any]) -> bool:
    """Whether the row's newest attempt was, is being or may have been handed to SES.

    Without the mark it was not, and cannot be any more once the row has another attempt's id.
    """
    if row.attempt_id is None or row.submitted_at is None:
        return False
    return is_accepted(row.facts) or not row.facts & Fact.REFUSED


def put_back(
    session: Session, older: Mapping[int, Row[Any]], now: datetime, *, counted: int = 0
) -> None:
    """Make older attempts the newest of their rows again: in doubt, for their events to settle.

    Each had been counted as a duplicate `counted` times. The rows are locked.
    """
    changes = [
        FactChange(
            row_id, None, Fact.CLAIMED | Fact.DOUBTED, now, increments={"duplicates": -counted},
            exact={"attempt_id": past.attempt_id, "submitted_at": past.submitted_at},
        )
        for row_id, past in older.items()
    ]  # fmt: skip
    apply_changes(session, changes, now)
    for row_id, past in sorted(older.items()):
        session.execute(delete(_PAST).where(_PAST.c.attempt_id == past.attempt_id))
        mine = and_(_EVENTS.c.recipient_id == row_id, _EVENTS.c.attempt_id == past.attempt_id)
        applied = _EVENTS.c.status == EventStatus.APPLIED  # those that wait need the name yet
        session.execute(update(_EVENTS).where(mine, applied).values(attempt_id=None, verdict=None))


def _as_of(item: Matched, revived: Mapping[int, Row[Any]], rows: Mapping[int, Row[Any]]) -> Matched:
    """The event, matched anew now that its attempt may be its row's newest again."""
    past, row = item.match.past, item.match.row
    if past is None or row is None or row.id not in revived:
        return item
    if revived[row.id].attempt_id != past.attempt_id:
        return Matched(item.event, replace(item.match, row=rows[row.id]))
    return Matched(item.event, Match(Belongs.ROW, rows[row.id], past.attempt_id))


def _duplicates(session: Session, matched: Sequence[Matched], now: datetime) -> list[FactChange]:
    """Count an older attempt as a duplicate when its first event proves that it was sent."""
    facts: dict[str, int] = {}
    changes = []
    for item in matched:
        past, row = item.match.past, item.match.row
        if item.match.belongs is not Belongs.PAST or past is None or row is None:
            continue
        known = facts.setdefault(past.attempt_id, past.facts)
        if not is_accepted(known):
            changes.append(
                FactChange(row.id, None, Fact(0), now, increments={"duplicates": 1})
            )  # fmt: skip
        facts[past.attempt_id] = known | item.event.fact
    for attempt_id, value in sorted(facts.items()):
        session.execute(
            update(_PAST).where(_PAST.c.attempt_id == attempt_id).values(facts=int(value))
        )
    return changes


def _engagement_changes(
    session: Session, matched: Sequence[Matched], rows: Mapping[int, Row[Any]], now: datetime
) -> list[FactChange]:
    """Opens and clicks of every row that these events concern."""
    delivered: dict[int, datetime] = {}
    wanted: set[int] = set()
    for item in matched:
        row = item.match.row
        if item.match.belongs is not Belongs.ROW or row is None:
            continue
        if item.event.is_engagement:
            wanted.add(row.id)
        elif item.event.kind == EventKind.DELIVERY and item.event.happened_at:
            seen = delivered.get(row.id, row.delivered_at or item.event.happened_at)
            delivered[row.id] = min(seen, item.event.happened_at)
            if row.opens or row.clicks or row.machine_opens or row.machine_clicks:
                wanted.add(row.id)
    times = {row_id: delivered.get(row_id, rows[row_id].delivered_at) for row_id in wanted}
    return judge_engagements(session, rows, times, now)


def judge_engagements(
    session: Session,
    rows: Mapping[int, Row[Any]],
    delivered: Mapping[int, datetime | None],
    now: datetime,
) -> list[FactChange]:
    """Opens and clicks judged afresh over all that is stored of these rows' present attempts.

    `delivered` names the rows, with the time of their delivery.
    """
    changes = []
    for row_id, engagements in _stored_engagements(session, rows, delivered).items():
        exact = _tally_columns(tally(engagements, delivered[row_id]))
        changes.append(FactChange(row_id, rows[row_id].attempt_id, Fact(0), now, exact=exact))
    return changes


def _stored_engagements(
    session: Session, rows: Mapping[int, Row[Any]], wanted: Iterable[int]
) -> dict[int, list[Engagement]]:
    found: dict[int, list[Engagement]] = defaultdict(list)
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 500):
        query = select(
            _EVENTS.c.recipient_id,
            _EVENTS.c.attempt_id,
            _EVENTS.c.kind,
            _EVENTS.c.sub_kind,
            _EVENTS.c.happened_at,
        ).where(
            _EVENTS.c.recipient_id.in_(ordered[start : start + 500]),
            _EVENTS.c.kind.in_((EventKind.OPEN.value, EventKind.CLICK.value)),
            _EVENTS.c.status == EventStatus.APPLIED,
        )
        for row_id, attempt_id, kind, sub_kind, at in session.execute(query):
            if attempt_id in (None, rows[row_id].attempt_id) and at is not None:
                evidence, _, link = (sub_kind or "").partition("/")
                mark = link if kind == EventKind.CLICK else None
                found[row_id].append(Engagement(at, Evidence(evidence), mark))
    return found


def _tally_columns(counted: EngagementTally) -> dict[str, Any]:
    return {
        "opens": counted.opens.count,
        "opened_at": counted.opens.first,
        "last_opened_at": counted.opens.last,
        "machine_opens": counted.machine_opens.count,
        "machine_opened_at": counted.machine_opens.first,
        "clicks": counted.clicks.count,
        "clicked_at": counted.clicks.first,
        "last_clicked_at": counted.clicks.last,
        "machine_clicks": counted.machine_clicks.count,
        "machine_clicked_at": counted.machine_clicks.first,
    }


def suppress_for(session: Session, matched: Sequence[Matched], now: datetime) -> None:
    """Suppress whoever bounced, complained or unsubscribed: the row's address where one is known.

    A mail that no row knows and that no installation claims is one of ours from before a
    database was made anew, or another program's: whoever said no there gets nothing either.
    """
    wanted: dict[str, tuple[int, SuppressionReason, str, int | None]] = {}
    for item in matched:
        reason, belongs = item.event.suppress, item.match.belongs
        if reason is None or belongs in (Belongs.OTHER_INSTALLATION, Belongs.OTHER_ADDRESS):
            continue
        row = item.match.row
        address = row.address if row is not None else address_key(item.event.address or "")
        if "@" not in address or address.endswith(_SIMULATOR_DOMAIN):
            continue
        if len(address) > _LONGEST_ADDRESS:
            continue
        rank = _STRENGTH.index(reason)
        if address not in wanted or rank < wanted[address][0]:
            campaign = row.campaign_id if row is not None else None
            wanted[address] = (rank, reason, _source(item.event), campaign)
    for address, (_, reason, source, campaign) in sorted(wanted.items()):
        suppress(session, address, reason, source, campaign, now)


#: Strongest first: the reason that a suppression keeps when several events give one.
_STRENGTH = (
    SuppressionReason.COMPLAINED,
    SuppressionReason.UNSUBSCRIBED,
    SuppressionReason.BOUNCED,
    SuppressionReason.ACCOUNT_LIST,
    SuppressionReason.SOFT_BOUNCES,
)


def _source(event: SesEvent) -> str:
    about = f" ({event.sub_kind})" if event.sub_kind else ""
    return f"SES reported: {event.kind}{about}"


def _note_test_mails(session: Session, matched: Sequence[Matched]) -> None:
    """Show what became of a test mail, or of one that confirms a sign-up; they count nowhere."""
    words: dict[str, tuple[str, str | None]] = {}
    for item in matched:
        if item.match.belongs is Belongs.TEST and item.match.attempt_id:
            word = _TEST_WORD_OF.get(cast(EventKind, item.event.kind), "sent")
            known = words.get(item.match.attempt_id)
            if known is None or _TEST_WORDS.index(word) > _TEST_WORDS.index(known[0]):
                words[item.match.attempt_id] = (word, item.event.reason)
    for attempt_id, (word, reason) in sorted(words.items()):
        higher = _TEST_WORDS[_TEST_WORDS.index(word) :]
        session.execute(
            update(TestMail)
            .where(TestMail.attempt_id == attempt_id, TestMail.status.not_in(higher))
            .values(status=word, detail=reason)
        )
        session.execute(
            update(Signup)
            .where(Signup.attempt_id == attempt_id, Signup.mail.not_in(higher))
            .values(mail=word, detail=reason)
        )


def review_soft_bounces(
    session: Session,
    changes: Sequence[FactChange],
    transitions: Sequence[Transition],
    now: datetime,
) -> None:
    """Judge anew whose soft bounces changed, and who got a delivery that may reset them."""
    delivered = {change.recipient_id for change in changes if int(change.add) & _DELIVERED}
    touched, maybe = set(), {}
    for t in transitions:
        if t.facts_after & _SOFT and t.facts_after != t.facts_before:
            touched.add((t.address_hash, t.address))
        elif t.recipient_id in delivered:
            maybe[t.address_hash] = t.address
    touched |= {(found, maybe[found]) for found in soft_bounces.with_a_streak(session, maybe)}
    if touched:
        soft_bounces.review(session, touched, now)
