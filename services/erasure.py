"""Erases a person (GDPR article 17): the address goes everywhere, its keyed hash stays.

The hash says nothing to anybody without the installation's key, and it is what keeps a
suppression working and the figures of past campaigns true.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Table, bindparam, delete, func, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact, ContactList, ListMember
from database import bulk_session, writing
from domain.event_raw import pack, unpack, without_person
from domain.ses_events import load_text, parse_event
from domain.statuses import CampaignStatus, EventStatus, Fact, MemberStatus, SuppressionReason
from domain.statuses import RecipientStatus as Status
from models import (
    AccountSuppression,
    AddressCorrection,
    Campaign,
    DeadLetter,
    Event,
    Recipient,
    RefusedRow,
    Suppression,
    TestMail,
)
from services import counters, delivery_events, ledger, signups, suppression
from services.campaigns import Refused
from services.contacts import get_contact
from services.ledger import FactChange

logger = logging.getLogger(__name__)

ERASED = "erased on request"
_IN_HAND = (Status.SENDING, Status.IN_DOUBT)
_UNLAUNCHED = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)
_EVENTS = cast(Table, Event.__table__)
_STEP = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found of the person."""

    mails: int
    events: int


def erase(
    sessions: sessionmaker[Session], contact_id: int, now: datetime, *, keep_out: bool
) -> Erased:
    """Erase a contact, in short steps that can be repeated. Raises Refused while a mail is out.

    With `keep_out` the hash goes on the suppression list, so that the address gets nothing even
    if a later file brings it back.
    """
    with bulk_session(sessions) as session:
        contact = get_contact(session, contact_id)
        address, hashed = contact.address, contact.address_hash
        session.rollback()
        events = _erase_loose_events(session, address)
        with writing(session):
            rows = session.execute(
                select(Recipient.id, Recipient.campaign_id, Recipient.status)
                .join(Campaign, Campaign.id == Recipient.campaign_id)
                .where(Recipient.address == address)
                .order_by(Recipient.id)
            ).all()
            if any(row.status in _IN_HAND for row in rows):
                raise Refused(
                    "A mail to this address is being sent or in doubt: erase it when that is over."
                )
            ids = [row.id for row in rows]
            events += _erase_events(session, ids, address, hashed, now)
            _erase_rows(session, ids, hashed, now)
            _erase_words(session, address)
            signups.forget(session, hashed)
            _erase_contact(session, contact_id, now)
            if keep_out:
                reason = SuppressionReason.MANUAL
                suppression.suppress(session, hashed, reason, "Erased on request.", None, now)
            copy = AccountSuppression.address_hash == hashed
            session.execute(delete(AccountSuppression).where(copy))
            session.execute(
                update(Suppression)
                .where(Suppression.address_hash == hashed)
                .values(address=None, note=None)
                .execution_options(synchronize_session=False)
            )
    logger.info("contact %d erased: %d mails, %d events", contact_id, len(ids), events)
    return Erased(len(ids), events)


def _erase_rows(session: Session, ids: Sequence[int], hashed: bytes, now: datetime) -> None:
    """Waiting rows of drafts go, others are skipped; what was sent keeps its state and hash."""
    waiting = session.execute(
        select(Recipient.id, Recipient.campaign_id, Recipient.status, Campaign.status)
        .join(Campaign, Campaign.id == Recipient.campaign_id)
        .where(Recipient.id.in_(ids), Recipient.attempt_id.is_(None))
    ).all()
    changes = []
    for row_id, campaign_id, status, campaign_status in waiting:
        if campaign_status in _UNLAUNCHED:
            session.execute(delete(Recipient).where(Recipient.id == row_id))
            counters.add(session, {campaign_id: {"total": -1, status.value: -1}})
        elif status is Status.PENDING:
            changes.append(
                FactChange(
                    row_id, None, Fact.SKIPPED, now,
                    reason_code="erased", reason="This person asked to be erased.",
                )
            )  # fmt: skip
    ledger.apply_changes(session, changes, now)
    session.execute(
        update(Recipient)
        .where(Recipient.id.in_(ids))
        .values(email="", address=f"erased:{hashed.hex()}", variables="{}", verdict_reason=None)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Recipient)
        .where(Recipient.id.in_(ids), Recipient.reason.contains("@"))
        .values(reason=ERASED)
        .execution_options(synchronize_session=False)
    )


def _erase_events(
    session: Session, ids: Sequence[int], address: str, hashed: bytes, now: datetime
) -> int:
    """Rewrite the raw events of these rows without the person, after what waits was applied.

    What happened stays, so that a campaign can still be derived afresh from its events.
    """
    mine = Event.recipient_id.in_(ids)
    late = session.scalars(select(Event.key).where(mine, Event.status != EventStatus.APPLIED)).all()
    delivery_events.apply_stored(session, late, now)
    query = select(_EVENTS.c.key, _EVENTS.c.raw)
    query = query.where(_EVENTS.c.recipient_id.in_(ids), _EVENTS.c.raw.is_not(None))
    found = session.execute(query).all()
    rewritten = [
        {"b_key": row.key, "b_raw": _rewritten(row.raw, address, f"erased:{hashed.hex()}")}
        for row in found
    ]
    if rewritten:
        statement = update(_EVENTS).where(_EVENTS.c.key == bindparam("b_key"))
        session.connection().execute(statement.values(raw=bindparam("b_raw")), rewritten)
    return len(found)


def _rewritten(raw: bytes, address: str, instead: str) -> bytes | None:
    """None where others are named as well, or what cannot be read: such a raw form goes."""
    try:
        payload = load_text(unpack(raw))
    except ValueError:
        return None
    parsed = parse_event(payload)
    if not isinstance(parsed, list) or len(parsed) > 1 or len(parsed[0].destinations) > 1:
        return None
    return pack(without_person(payload, address, instead))


def _erase_loose_events(session: Session, address: str) -> int:
    """Drop the raw form of events without a row that name the address: test mails, foreign ones."""
    count, after = 0, b""
    while True:
        rows = session.execute(
            select(_EVENTS.c.key, _EVENTS.c.raw)
            .where(
                _EVENTS.c.recipient_id.is_(None), _EVENTS.c.raw.is_not(None), _EVENTS.c.key > after
            )
            .order_by(_EVENTS.c.key)
            .limit(_STEP)
        ).all()
        session.rollback()
        found = [row.key for row in rows if _names(row.raw, address)]
        if found:
            with writing(session):
                session.execute(update(_EVENTS).where(_EVENTS.c.key.in_(found)).values(raw=None))
        count += len(found)
        if len(rows) < _STEP:
            return count
        after = rows[-1].key


def _names(raw: bytes, address: str) -> bool:
    try:
        return address in unpack(raw).lower()
    except ValueError:
        return True


def _erase_words(session: Session, address: str) -> None:
    """What people and programs wrote down with the address in it."""
    session.execute(delete(DeadLetter).where(func.lower(DeadLetter.body).contains(address)))
    session.execute(delete(RefusedRow).where(func.lower(RefusedRow.value).contains(address)))
    was, became = func.lower(AddressCorrection.was), func.lower(AddressCorrection.became)
    session.execute(delete(AddressCorrection).where(or_(was == address, became == address)))
    session.execute(
        update(TestMail)
        .where(or_(TestMail.email == address, func.lower(TestMail.email) == address))
        .values(email=ERASED, detail=None)
        .execution_options(synchronize_session=False)
    )


def _erase_contact(session: Session, contact_id: int, now: datetime) -> None:
    lists = select(ListMember.list_id).where(
        ListMember.contact_id == contact_id, ListMember.status == MemberStatus.SUBSCRIBED
    )
    session.execute(
        update(ContactList)
        .where(ContactList.id.in_(lists))
        .values(members=ContactList.members - 1, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.execute(delete(Contact).where(Contact.id == contact_id))
