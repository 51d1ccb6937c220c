"""Leaving single lists: what the reader of a mail that went to lists may choose instead of "all".

Nothing of it touches the claim: waiting rows of campaigns that go to these lists alone are
skipped at once, and people who are not copied into the ledger yet are looked at again then.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audience_models import AudienceSource, Contact, ContactList, ListMember
from domain.statuses import AudienceKind, CampaignStatus, Fact, MemberStatus, RecipientStatus
from domain.unsubscribe_tokens import UnsubscribeClaim
from models import Campaign, Recipient
from services import audience_query, ledger, unsubscribe
from services.ledger import FactChange
from services.list_members import lock_list, set_status

_UNDER_WAY = (CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED)


def lists_of(
    session: Session, claim: UnsubscribeClaim, status: MemberStatus = MemberStatus.SUBSCRIBED
) -> list[ContactList]:
    """The lists that the campaign went to and that this reader is on with that status, by id."""
    query = (
        select(ContactList)
        .join(ListMember, ListMember.list_id == ContactList.id)
        .join(Contact, Contact.id == ListMember.contact_id)
        .join(AudienceSource, AudienceSource.of_id == ContactList.id)
        .where(
            AudienceSource.campaign_id == claim.campaign_id,
            AudienceSource.kind == AudienceKind.LIST,
            Contact.address_hash == claim.address_hash,
            ListMember.status == status,
        )
        .order_by(ContactList.id)
    )
    return list(session.scalars(query))


def leave(session: Session, claim: UnsubscribeClaim, now: datetime) -> list[str]:
    """Leave the lists that brought this mail; the names of all that are left. Counted once.

    Done again it changes nothing; none = the mail came through no list.
    """
    left = lists_of(session, claim)
    before = [one.name for one in lists_of(session, claim, MemberStatus.UNSUBSCRIBED)]
    if not left:
        return before
    contact = _contact(session, claim)
    for one in left:
        lock_list(session, one.id)
        set_status(session, one.id, contact.id, MemberStatus.UNSUBSCRIBED, now)
    _skip_waiting(session, contact, [one.id for one in left], now)
    unsubscribe.count_once(session, claim, now)
    return [*before, *(one.name for one in left)]


def return_to(session: Session, claim: UnsubscribeClaim, now: datetime) -> list[str]:
    """Undo `leave`: be on the campaign's lists again; their names."""
    lists = lists_of(session, claim, MemberStatus.UNSUBSCRIBED)
    if not lists:
        return []
    contact = _contact(session, claim)
    for one in lists:
        lock_list(session, one.id)
        set_status(session, one.id, contact.id, MemberStatus.SUBSCRIBED, now)
    unsubscribe.uncount(session, unsubscribe.row_of(session, claim, lock=True))
    return [one.name for one in lists]


def _contact(session: Session, claim: UnsubscribeClaim) -> Contact:
    query = select(Contact).where(Contact.address_hash == claim.address_hash)
    return session.scalars(query).one()


def _skip_waiting(session: Session, contact: Contact, left: Collection[int], now: datetime) -> None:
    """Waiting rows of campaigns under way that this person gets through no other source."""
    rows = session.execute(
        select(Recipient.id, Recipient.campaign_id)
        .join(Campaign, Campaign.id == Recipient.campaign_id)
        .join(AudienceSource, AudienceSource.campaign_id == Campaign.id)
        .where(
            Campaign.status.in_(_UNDER_WAY),
            AudienceSource.kind == AudienceKind.LIST,
            AudienceSource.of_id.in_(left),
            Recipient.address == contact.address,
            Recipient.status == RecipientStatus.PENDING,
            Recipient.import_id.is_(None),  # a file of the campaign's own names this person
        )
        .distinct()
    )
    changes = [
        FactChange(
            row.id, None, Fact.SKIPPED, now,
            reason_code="unsubscribed", reason="This person has left the list.",
        )
        for row in rows
        if contact.id not in audience_query.still_wanted(session, row.campaign_id, [contact.id])
    ]  # fmt: skip
    ledger.apply_changes(session, changes, now)
