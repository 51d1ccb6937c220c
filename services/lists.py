"""Lists of contacts: made, changed, looked through and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy import text as sql_text
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact, ContactList, ListImport, ListMember
from database import bulk_session, writing
from domain.addresses import address_key
from domain.statuses import JobStatus, MemberStatus, SuppressionReason, Verdict
from models import Job, Suppression
from services.campaigns import NotFound, Refused
from services.list_members import drop_members, lock_list
from services.suppression import prefix_range
from services.suppression_patterns import covering

PAGE_SIZE = 50
_STEP = 400
#: Written out, so that SQLite sees that the index of doubted contacts serves.
_HAS_VERDICT = {one: sql_text(f"contacts.verdict = '{one.value}'") for one in Verdict}
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Member:
    """One contact on a list, and why they get nothing at all, if so."""

    contact: Contact
    status: MemberStatus
    added_at: datetime
    suppressed: SuppressionReason | None


@dataclass(frozen=True, slots=True)
class MemberPage:
    """Rows in order; the cursors are contact ids, None where nothing is more."""

    rows: Sequence[Member]
    before: int | None
    after: int | None


def get_list(session: Session, list_id: int) -> ContactList:
    """The list, read afresh; raises NotFound."""
    found = session.get(ContactList, list_id, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no list {list_id}.")
    return found


def all_lists(session: Session) -> list[ContactList]:
    """Every list by name."""
    return list(session.scalars(select(ContactList).order_by(ContactList.name)))


def create_list(
    session: Session, name: str, description: str, now: datetime, by: str | None
) -> ContactList:
    """A new list without members; raises Refused for a name that is missing or taken."""
    made = ContactList(created_at=now, created_by=by, updated_at=now, variables=[], members=0)
    _name(session, made, name, description)
    session.add(made)
    session.flush()
    return made


def rename_list(
    session: Session, list_id: int, name: str, description: str, now: datetime
) -> ContactList:
    """Change what a list is called; raises Refused for a name that is missing or taken."""
    found = lock_list(session, list_id)
    _name(session, found, name, description)
    found.updated_at = now
    session.flush()
    return found


def _name(session: Session, target: ContactList, name: str, description: str) -> None:
    name = " ".join(name.split())
    if not name:
        raise Refused("The list needs a name.")
    if len(name) > 200:
        raise Refused("The name is longer than 200 characters: shorten it.")
    taken = select(ContactList.id).where(func.lower(ContactList.name) == name.lower())
    with session.no_autoflush:
        if any(found != target.id for found in session.scalars(taken)):
            raise Refused(f"There is a list “{name}” already: choose another name.")
    target.name, target.description = name, description.strip()


def delete_list(sessions: sessionmaker[Session], list_id: int) -> None:
    """Delete a list; its contacts stay. In short steps; refused while a file is read into it."""
    jobs = select(ListImport.job_id).where(ListImport.list_id == list_id)
    busy = select(exists().where(Job.id.in_(jobs), Job.status.in_(_ACTIVE)))
    with bulk_session(sessions) as session:
        rows = _STEP
        while rows == _STEP:
            with writing(session):
                lock_list(session, list_id)
                if session.scalar(busy):
                    raise Refused("A file is being read into this list: stop the import first.")
                ids = session.scalars(
                    select(ListMember.contact_id)
                    .where(ListMember.list_id == list_id)
                    .order_by(ListMember.contact_id)
                    .limit(_STEP)
                ).all()
                rows = len(ids)
                drop_members(session, list_id, ids)
        with writing(session):
            session.execute(delete(Job).where(Job.id.in_(jobs)))
            session.execute(delete(ContactList).where(ContactList.id == list_id))


def member_page(
    session: Session,
    list_id: int,
    *,
    status: MemberStatus | None = None,
    verdict: Verdict | None = None,
    text: str = "",
    after: int | None = None,
    before: int | None = None,
    limit: int = PAGE_SIZE,
) -> MemberPage:
    """The page that follows the contact `after`, or the one that ends before `before`.

    Newest first; a search by the start of an address is in the order of addresses.
    """
    text = text.strip().lower()
    text = address_key(text) if "@" in text[1:] and not text.endswith("@") else text
    key: Any = Contact.address if text else ListMember.contact_id
    query = (
        select(Contact, ListMember.status, ListMember.added_at, Suppression.reason)
        .join(ListMember, ListMember.contact_id == Contact.id)
        .outerjoin(Suppression, Suppression.address_hash == Contact.address_hash)
        .where(ListMember.list_id == list_id)
    )
    if status is not None:
        query = query.where(ListMember.status == status)
    if verdict is not None:  # of those that a check looks at
        query = query.where(ListMember.status == MemberStatus.SUBSCRIBED, _HAS_VERDICT[verdict])
    if text:
        query = query.where(prefix_range(Contact.address, text))
    edge: Any = after if before is None else before
    if text and edge is not None:
        edge = session.scalar(select(Contact.address).where(Contact.id == edge))
    backwards = before is not None and edge is not None
    ascending = bool(text) is not backwards  # newest first = by id, descending
    if edge is not None:
        query = query.where(key > edge if ascending else key < edge)
    query = query.order_by(key if ascending else key.desc()).limit(limit + 1)
    rows = [Member(*row) for row in session.execute(query)]
    rows = _with_patterns(session, rows)
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return MemberPage([], None, None)
    earlier = more if backwards else edge is not None
    later = True if backwards else more
    first, last = rows[0].contact.id, rows[-1].contact.id
    return MemberPage(rows, first if earlier else None, last if later else None)


def _with_patterns(session: Session, rows: list[Member]) -> list[Member]:
    """The same rows; whom a domain or wildcard covers is suppressed with its reason."""
    entries = covering(session, [row.contact.address for row in rows if row.suppressed is None])
    reasons = {place: session.get_one(Suppression, place).reason for place in entries.values()}
    return [
        replace(row, suppressed=reasons[entries[row.contact.address]])
        if row.contact.address in entries
        else row
        for row in rows
    ]
