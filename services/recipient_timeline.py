"""What happened to one recipient, first to last, from everything that the ledger keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.statuses import RecipientStatus, Verdict
from models import AddressCorrection, Event, PastAttempt, Recipient, Suppression
from services.delivery_events import event_of
from services.suppression_patterns import covering

#: Kinds of our own, beside the event types of SES (`Event.kind`).
IMPORTED, VERIFIED, SUBMITTED, REPLACED = "imported", "verified", "submitted", "replaced"
CORRECTED = "corrected"
SETTLED, UNSUBSCRIBED, SUPPRESSED = "settled", "unsubscribed", "suppressed"
_OURS = frozenset({RecipientStatus.FAILED, RecipientStatus.SKIPPED, RecipientStatus.CANCELLED})
#: Events shown at most; opens of a mail in a shared mailbox can be endless.
_MOST_EVENTS = 200


@dataclass(frozen=True)
class Moment:
    """One thing that happened; `at` is None for what came before time was kept."""

    kind: str
    at: datetime | None
    sentence: str
    sub_kind: str | None = None
    link: str | None = None
    older_attempt: bool = False


def timeline(session: Session, row: Recipient) -> list[Moment]:
    """The whole story of a recipient of a campaign, earliest first."""
    events = session.scalars(
        select(Event)
        .where(Event.recipient_id == row.id)
        .order_by(Event.happened_at, Event.received_at)
        .limit(_MOST_EVENTS)
    ).all()
    moments = [*_before(row), *_corrections(session, row), *_attempts(session, row)]
    moments += [_event(row, event) for event in events]
    # An event of the attempt present names none (models.Event).
    told = any(e.kind == "Send" and e.attempt_id in (None, row.attempt_id) for e in events)
    if row.sent_at and not told:
        moments.append(Moment("Send", row.sent_at, "SES accepted it and gave it a message id."))
    moments += _ends(session, row)
    untimed = [moment for moment in moments if moment.at is None]
    timed = [(moment.at, moment) for moment in moments if moment.at is not None]
    return untimed + [moment for _, moment in sorted(timed, key=lambda pair: pair[0])]


def _before(row: Recipient) -> list[Moment]:
    moments = []
    if row.line:
        moments.append(Moment(IMPORTED, None, f"Row {row.line:,} of the uploaded file."))
    if row.verdict is not None:
        sentence = row.verdict_reason or "Nothing is known against the address."
        moments.append(Moment(VERIFIED, None, sentence, Verdict(row.verdict).value))
    return moments


def _corrections(session: Session, row: Recipient) -> list[Moment]:
    found = session.scalars(
        select(AddressCorrection)
        .where(AddressCorrection.recipient_id == row.id)
        .order_by(AddressCorrection.id)
    )
    moments = []
    for one in found:
        by = f" by {one.corrected_by}" if one.corrected_by else ""
        sentence = f"Corrected from {one.was} to {one.became}{by}."
        if one.is_duplicate:
            sentence = f"{one.became} was meant{by}; the campaign had it already."
        moments.append(Moment(CORRECTED, one.corrected_at, sentence))
    return moments


def _attempts(session: Session, row: Recipient) -> list[Moment]:
    moments = []
    past = session.scalars(
        select(PastAttempt).where(PastAttempt.recipient_id == row.id).order_by(PastAttempt.ended_at)
    )
    for attempt in past:
        if attempt.submitted_at:
            sentence = "An earlier attempt."
            moments.append(Moment(SUBMITTED, attempt.submitted_at, sentence, older_attempt=True))
        moments.append(
            Moment(REPLACED, attempt.ended_at, attempt.ended_because, older_attempt=True)
        )
    if row.submitted_at:
        sentence = f"Attempt {row.attempts:,}" + (f", worker {row.worker}." if row.worker else ".")
        moments.append(Moment(SUBMITTED, row.submitted_at, sentence))
    return moments


def _event(row: Recipient, event: Event) -> Moment:
    parsed = event_of(event.key, event.raw)
    return Moment(
        kind=event.kind,
        at=event.happened_at or event.received_at,
        sentence=(parsed.reason if parsed else None) or "",
        sub_kind=event.sub_kind,
        link=parsed.link if parsed else None,
        older_attempt=event.attempt_id is not None and event.attempt_id != row.attempt_id,
    )


def _ends(session: Session, row: Recipient) -> list[Moment]:
    moments = []
    settled_by_us = row.status in _OURS or row.reason_code == "treated_as_sent"
    if settled_by_us and row.reason:
        at = row.reason_at or row.updated_at
        moments.append(Moment(SETTLED, at, row.reason, row.status.value))
    if row.unsubscribed_at:
        sentence = "The reader used the unsubscribe link of this mail."
        moments.append(Moment(UNSUBSCRIBED, row.unsubscribed_at, sentence))
    suppression = session.scalar(
        select(Suppression).where(Suppression.address_hash == row.address_hash)
    )
    if suppression:
        moments.append(Moment(SUPPRESSED, suppression.created_at, suppression.source))
    for entry_id in covering(session, [row.address]).values():
        entry = session.get_one(Suppression, entry_id)
        moments.append(Moment(SUPPRESSED, entry.created_at, f"{entry.address}. {entry.source}"))
    return moments
