"""The export of stored events: a campaign's, in the order of its recipients, or the log's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from models import Campaign, Event, Recipient
from services import event_log
from services.campaigns import NotFound
from services.delivery_events import event_of
from services.event_log import LogFilter
from services.exports import Row, chunks, shown

#: Stable: programs read them.
COLUMNS = (
    "happened_at", "received_at", "event", "type", "email", "campaign_id", "message_id",
    "attempt_id", "result", "result_reason", "detail", "link", "door", "key",
)  # fmt: skip
_RECIPIENTS, _EVENTS = 500, 500


def event_rows(
    sessions: sessionmaker[Session],
    wanted: LogFilter = LogFilter(),  # noqa: B008 - frozen
) -> Iterator[Row]:
    """The header, then the notification log, newest first, filtered as on its page."""
    yield COLUMNS
    before: str | None = None
    while True:
        with sessions() as session:
            page = event_log.log_page(session, wanted, before=before, limit=_EVENTS)
            addresses = {entry.event.key: entry.address for entry in page.entries}
            rows = _written(session, [entry.event for entry in page.entries], addresses)
        yield from rows
        before = page.before
        if before is None:
            return


def campaign_event_rows(sessions: sessionmaker[Session], campaign_id: int) -> Iterator[Row]:
    """The header, then a campaign's events, recipient by recipient in import order, each one's
    in the order they happened. Raises NotFound at once."""
    with sessions() as session:
        if session.get(Campaign, campaign_id) is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
    return _campaign_event_rows(sessions, campaign_id)


def _campaign_event_rows(sessions: sessionmaker[Session], campaign_id: int) -> Iterator[Row]:
    yield COLUMNS
    ids: list[int] = []
    query = select(Recipient.id).where(Recipient.campaign_id == campaign_id)
    for row in chunks(sessions, query, Recipient.id):
        ids.append(row.id)
        if len(ids) == _RECIPIENTS:
            yield from _events_of(sessions, ids)
            ids = []
    yield from _events_of(sessions, ids)


def _events_of(sessions: sessionmaker[Session], ids: Sequence[int]) -> list[Row]:
    with sessions() as session:
        events = session.scalars(
            select(Event)
            .where(Event.recipient_id.in_(ids))
            .order_by(Event.recipient_id, Event.happened_at, Event.received_at)
        ).all()
        return _written(session, events, {})


def _written(
    session: Session, events: Sequence[Event], addresses: Mapping[bytes, str | None]
) -> list[Row]:
    """Events as cells; what the ledger knows of an event's mail is not stored with it again."""
    known = select(Recipient.id, Recipient.email, Recipient.message_id, Recipient.attempt_id)
    ids = {event.recipient_id for event in events}
    rows = {row.id: row for row in session.execute(known.where(Recipient.id.in_(ids)))}
    written: list[Row] = []
    for event in events:
        parsed, row = event_of(event.key, event.raw), rows.get(event.recipient_id)
        present = row if event.attempt_id is None else None  # the row's own attempt
        written.append([
            shown(event.happened_at), shown(event.received_at), event.kind, shown(event.sub_kind),
            shown(row.email if row else addresses.get(event.key)), shown(event.campaign_id),
            shown(event.message_id or (present and present.message_id)),
            shown(present.attempt_id if present else event.attempt_id),
            event.status.value, shown(event.verdict), shown(parsed and parsed.reason),
            shown(parsed and parsed.link), event.door, event.key.hex(),
        ])  # fmt: skip
    return written
