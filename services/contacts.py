"""One contact: fields, tags, lists, every mail with its timeline, suppression; also as a document.

Campaigns hold copies: what is changed here shows in the next campaign, never in an earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from audience_models import Contact, ContactList, ContactTag, ListMember, Signup, Tag
from database import is_sqlite
from domain.addresses import AddressProblem, check_syntax
from domain.variable_names import variable_name
from models import Campaign, Recipient, Suppression
from services import signups, suppression
from services.campaigns import NotFound, Refused
from services.import_batches import Candidate
from services.list_members import upsert_contacts
from services.recipient_timeline import Moment, timeline
from services.suppression import prefix_range

PAGE_SIZE = 50
_MOST_MAILS = 100
_LONGEST_TAG = 80


@dataclass(frozen=True, slots=True)
class Membership:
    """A list that the contact is on."""

    list: ContactList
    member: ListMember


@dataclass(frozen=True, slots=True)
class Mail:
    """One campaign's row for this address, with what happened to it."""

    campaign: Campaign
    row: Recipient
    moments: Sequence[Moment]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that is kept about one address."""

    contact: Contact
    variables: Mapping[str, str]
    tags: Sequence[str]
    memberships: Sequence[Membership]
    mails: Sequence[Mail]
    suppression: Suppression | None
    consents: Sequence[tuple[Signup, ContactList]]


def get_contact(session: Session, contact_id: int) -> Contact:
    """The contact, read afresh; raises NotFound."""
    found = session.get(Contact, contact_id, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no contact {contact_id}.")
    return found


def contact_page(
    session: Session, text: str = "", *, before: int | None = None, limit: int = PAGE_SIZE
) -> tuple[Sequence[Contact], int | None]:
    """Contacts, newest first, or those whose address begins with `text`; and what to ask next."""
    query = select(Contact).order_by(Contact.id.desc()).limit(limit + 1)
    text = text.strip().lower()
    if text:
        query = query.where(prefix_range(Contact.address, text))
    if before is not None:
        query = query.where(Contact.id < before)
    rows = session.scalars(query).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def open_address(session: Session, text: str, now: datetime) -> Contact:
    """The contact of an address; made from the ledger for one that only campaigns know.

    Raises Refused if the text is no address or nothing is known of it.
    """
    parsed = check_syntax(text.strip())
    if isinstance(parsed, AddressProblem):
        raise Refused(str(parsed))
    known = session.scalar(select(Contact).where(Contact.address == parsed.address))
    if known is not None:
        return known
    rows = _rows(session, parsed.address, 1)
    listed = suppression.find(session, parsed.address)
    hashed = suppression.hash_of(session, parsed.address)
    if not rows and listed is None and not signups.consents(session, hashed):
        raise Refused(f"Nothing is known of {parsed.email}: it is on no list and in no campaign.")
    variables = rows[0][1].variables if rows else "{}"
    one = Candidate(parsed.email, parsed.address, hashed, variables, None, None)
    return get_contact(session, upsert_contacts(session, [one], None, now)[hashed])


def story(session: Session, contact_id: int) -> Story:
    """Everything about one contact; the newest mails first, 100 at most."""
    contact = get_contact(session, contact_id)
    memberships = session.execute(
        select(ContactList, ListMember)
        .join(ListMember, ListMember.list_id == ContactList.id)
        .where(ListMember.contact_id == contact_id)
        .order_by(ContactList.name)
    )
    mails = [
        Mail(campaign, row, timeline(session, row))
        for campaign, row in _rows(session, contact.address, _MOST_MAILS)
    ]
    return Story(
        contact=contact,
        variables=json.loads(contact.variables),
        tags=tags_of(session, contact_id),
        memberships=[Membership(*pair) for pair in memberships],
        mails=mails,
        suppression=suppression.find(session, contact.address),
        consents=signups.consents(session, contact.address_hash),
    )


def _rows(session: Session, address: str, limit: int) -> list[tuple[Campaign, Recipient]]:
    """The ledger rows of an address: one look into the unique index for each campaign."""
    rows = session.execute(
        select(Campaign, Recipient)
        .join(Recipient, Recipient.campaign_id == Campaign.id)
        .where(Recipient.address == address)
        .order_by(Campaign.id.desc())
        .limit(limit)
    )
    return [(campaign, row) for campaign, row in rows]


def as_document(told: Story) -> dict[str, Any]:
    """What is kept about a person, for the person (GDPR article 15): JSON, times in UTC."""
    contact, listed = told.contact, told.suppression
    return {
        "address": contact.address,
        "email": contact.email,
        "corrected_from": contact.corrected_from,
        "check": None if contact.verdict is None else {
            "verdict": contact.verdict.value, "reason": contact.verdict_reason,
            "checked_at": _time(contact.verified_at),
        },
        "fields": dict(told.variables),
        "tags": list(told.tags),
        "created_at": _time(contact.created_at),
        "last_mailed_at": _time(contact.last_mailed_at),
        "last_opened_at": _time(contact.last_opened_at),
        "last_clicked_at": _time(contact.last_clicked_at),
        "lists": [
            {"name": one.list.name, "status": one.member.status.value,
             "added_at": _time(one.member.added_at)}
            for one in told.memberships
        ],
        "suppression": None if listed is None else {
            "reason": listed.reason.value, "source": listed.source, "note": listed.note,
            "created_at": _time(listed.created_at),
        },
        "sign_ups": [_consent(signup, of_list.name) for signup, of_list in told.consents],
        "mails": [_mail(mail) for mail in told.mails],
    }  # fmt: skip


def _consent(signup: Signup, list_name: str) -> dict[str, Any]:
    return {
        "list": list_name,
        "asked_at": _time(signup.asked_at),
        "page": signup.asked_on,
        "consent": signup.consent,
        "confirmed_at": _time(signup.confirmed_at),
        "client_hash": signup.client_hash.hex(),
        "confirmed_client_hash": signup.confirmed_hash.hex() if signup.confirmed_hash else None,
        "fields": json.loads(signup.variables),
        "mail": signup.mail.value,
        "lifted_unsubscribe": signup.lifted,
    }


def _mail(mail: Mail) -> dict[str, Any]:
    return {
        "campaign": mail.campaign.name,
        "subject": mail.campaign.subject,
        "status": mail.row.status.value,
        "reason": mail.row.reason,
        "message_id": mail.row.message_id,
        "fields": json.loads(mail.row.variables),
        "events": [
            {"kind": moment.kind, "at": _time(moment.at), "detail": moment.sentence,
             "link": moment.link}
            for moment in mail.moments
        ],
    }  # fmt: skip


def _time(value: datetime | None) -> str | None:
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def fields_of(text: str) -> dict[str, str]:
    """Lines `name: value` as fields with the names of variables; raises Refused for others."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise Refused(f"Write fields as name: value, one a line, not “{line.strip()[:60]}”.")
        found[variable_name(name, ())] = value.strip()
    return found


def set_fields(
    session: Session, contact_id: int, fields: Mapping[str, str], now: datetime
) -> Contact:
    """Replace the fields of a contact; empty ones go."""
    contact = get_contact(session, contact_id)
    kept = {name: value.strip() for name, value in fields.items() if value.strip()}
    contact.variables = json.dumps(kept, ensure_ascii=False)
    contact.updated_at = now
    session.flush()
    return contact


def tags_of(session: Session, contact_id: int) -> list[str]:
    """The tags on a contact, by name."""
    query = select(Tag.name).join(ContactTag, ContactTag.tag_id == Tag.id)
    return list(
        session.scalars(query.where(ContactTag.contact_id == contact_id).order_by(Tag.name))
    )


def all_tags(session: Session) -> list[str]:
    """Every tag by name."""
    return list(session.scalars(select(Tag.name).order_by(Tag.name)))


def set_tags(session: Session, contact_id: int, names: Sequence[str]) -> list[str]:
    """Replace the tags of a contact; the tags as they are kept."""
    get_contact(session, contact_id)
    wanted = sorted({" ".join(name.lower().split()) for name in names} - {""})
    if any(len(name) > _LONGEST_TAG for name in wanted):
        raise Refused(f"A tag has at most {_LONGEST_TAG} characters.")
    session.execute(delete(ContactTag).where(ContactTag.contact_id == contact_id))
    for name in wanted:
        session.execute(
            _insert_new(session, ContactTag).values(
                contact_id=contact_id, tag_id=_tag_id(session, name)
            )
        )
    return wanted


def _tag_id(session: Session, name: str) -> int:
    session.execute(_insert_new(session, Tag).values(name=name))
    return session.scalars(select(Tag.id).where(Tag.name == name)).one()


def _insert_new(session: Session, table: Any) -> Any:
    make = sqlite.insert if is_sqlite(session) else postgresql.insert
    return make(table).on_conflict_do_nothing()
