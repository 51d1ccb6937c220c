"""Writes contacts and puts them on lists: from an import's batch, or one by hand.

A contact is one row per address, whatever lists it is on. Whoever unsubscribed from a list stays
on it as such, so that no later file brings them back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from audience_models import Contact, ContactList, ListMember
from database import is_sqlite
from domain.recipient_files import RecipientRow
from domain.statuses import MemberStatus
from models import RefusedRow
from services import import_batches
from services.campaigns import NotFound, Refused
from services.import_batches import Batch, Candidate, Counts, Target
from services.installation import address_key_secret
from services.suppression import suppressed_people

_CONTACTS = cast(Table, Contact.__table__)
_MEMBERS = cast(Table, ListMember.__table__)
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A list as the place where an import's rows go (services.import_places.Place)."""

    list_id: int
    campaign_id: None = None

    def hold(self, session: Session) -> None:
        """Keep others from changing the list's members in this transaction; raises NotFound."""
        lock_list(session, self.list_id)

    def take_variables(self, session: Session, names: Sequence[str]) -> None:
        """Add new names behind those that the list has."""
        found = lock_list(session, self.list_id)
        new = [name for name in names if name not in found.variables]
        if new:
            found.variables = [*found.variables, *new]
        session.flush()

    def prepare(self, rows: Sequence[RecipientRow], target: Target) -> Batch:
        """See `import_batches.prepare`."""
        return import_batches.prepare(rows, target)

    def write(self, session: Session, batch: Batch, target: Target, now: datetime) -> Counts:
        """Contacts, members, refused rows, suppressions that the file says."""
        return write(session, self.list_id, batch, target.job_id, now)


def lock_list(session: Session, list_id: int) -> ContactList:
    """The list, locked until the transaction ends; raises NotFound."""
    found = session.get(ContactList, list_id, populate_existing=True, with_for_update=True)
    if found is None:
        raise NotFound(f"There is no list {list_id}.")
    return found


def write(
    session: Session, list_id: int, batch: Batch, job_id: int | None, now: datetime
) -> Counts:
    """Write a batch under the list's lock. `suppressed` are members that get nothing for now."""
    first: dict[bytes, Candidate] = {}
    for candidate in batch.candidates:
        first.setdefault(candidate.address_hash, candidate)
    people = sorted(first.values(), key=lambda one: one.address_hash)  # no deadlocks
    ids = upsert_contacts(session, people, job_id, now)
    known = _statuses(session, list_id, ids.values())
    blocked = suppressed_people(session, {key: one.address for key, one in first.items()})
    new, revoked, counts = [], [], Counts(rows=batch.rows, refused_total=len(batch.refused))
    for one in people:
        contact_id, said_no = ids[one.address_hash], one.skip is not None
        if contact_id in known:
            if said_no and known[contact_id] is MemberStatus.SUBSCRIBED:
                revoked.append(contact_id)
            continue
        status = MemberStatus.UNSUBSCRIBED if said_no else MemberStatus.SUBSCRIBED
        new.append(_member(list_id, contact_id, status, job_id, now))
        if said_no or one.address_hash in blocked:
            counts.suppressed += 1
        else:
            counts.added += 1
    counts.duplicates = len(batch.candidates) - len(new)
    if new:
        session.execute(insert(_MEMBERS), new)
    joined = sum(row["status"] is MemberStatus.SUBSCRIBED for row in new)
    _change_count(session, list_id, joined, now)
    for contact_id in revoked:
        set_status(session, list_id, contact_id, MemberStatus.UNSUBSCRIBED, now)
    import_batches.write_said_no(session, batch, now)
    if batch.refused:
        session.execute(insert(RefusedRow), batch.refused)
    return counts


def _member(
    list_id: int, contact_id: int, status: MemberStatus, job_id: int | None, now: datetime
) -> dict[str, Any]:
    return {
        "list_id": list_id,
        "contact_id": contact_id,
        "status": status,
        "import_id": job_id,
        "added_at": now,
        "changed_at": now,
    }


def upsert_contacts(
    session: Session, people: Sequence[Candidate], job_id: int | None, now: datetime
) -> dict[bytes, int]:
    """Make or complete the contacts of these addresses; their ids by address hash.

    A value that is filled in replaces the one that was kept; an empty one does not.
    """
    if not people:
        return {}
    make = sqlite.insert if is_sqlite(session) else postgresql.insert
    given = make(_CONTACTS)
    merged = (
        func.json_patch(_CONTACTS.c.variables, given.excluded.variables)
        if is_sqlite(session)
        else text("(contacts.variables::jsonb || excluded.variables::jsonb)::text")
    )
    statement = given.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={"variables": merged, "updated_at": given.excluded.updated_at},
    )
    values = [
        {
            "email": one.email,
            "address": one.address,
            "address_hash": one.address_hash,
            "variables": _filled(one.variables),
            "import_id": job_id,
            "created_at": now,
            "updated_at": now,
        }
        for one in people
    ]
    session.execute(statement, values)
    return contact_ids(session, [one.address_hash for one in people])


def contact_ids(session: Session, hashes: Sequence[bytes]) -> dict[bytes, int]:
    """The ids of the contacts among these address hashes."""
    found: dict[bytes, int] = {}
    for start in range(0, len(hashes), _AT_ONCE):
        part = hashes[start : start + _AT_ONCE]
        rows = session.execute(
            select(_CONTACTS.c.address_hash, _CONTACTS.c.id).where(
                _CONTACTS.c.address_hash.in_(part)
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def _filled(variables: str) -> str:
    given: dict[str, str] = json.loads(variables)
    filled = {name: value for name, value in given.items() if value}
    return variables if len(filled) == len(given) else json.dumps(filled, ensure_ascii=False)


def _statuses(session: Session, list_id: int, ids: Iterable[int]) -> dict[int, MemberStatus]:
    wanted = sorted(ids)
    found: dict[int, MemberStatus] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        rows = session.execute(
            select(_MEMBERS.c.contact_id, _MEMBERS.c.status).where(
                _MEMBERS.c.list_id == list_id,
                _MEMBERS.c.contact_id.in_(wanted[start : start + _AT_ONCE]),
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def add_one(
    session: Session, list_id: int, email: str, variables: Mapping[str, str], now: datetime
) -> bool:
    """Put one address on a list by hand; False if it was there. Raises Refused for no address.

    Someone who unsubscribed from the list comes back only through their own link.
    """
    found = lock_list(session, list_id)
    target = Target(None, None, "by hand", address_key_secret(session))
    row = RecipientRow(0, email, dict(variables), [], None, None)
    batch = import_batches.prepare([row], target)
    if batch.refused:
        raise Refused(str(batch.refused[0]["reason"]))
    new_names = [name for name in variables if name not in found.variables]
    if new_names:
        found.variables = [*found.variables, *new_names]
    session.flush()
    return write(session, list_id, batch, None, now).duplicates == 0


def remove(session: Session, list_id: int, ids: Sequence[int], now: datetime) -> int:
    """Take subscribed contacts off a list; how many. Who unsubscribed stays as a reminder."""
    lock_list(session, list_id)
    gone = session.execute(
        delete(_MEMBERS).where(
            _MEMBERS.c.list_id == list_id,
            _MEMBERS.c.contact_id.in_(ids),
            _MEMBERS.c.status == MemberStatus.SUBSCRIBED,
        )
    )
    count = int(getattr(gone, "rowcount", 0))
    _change_count(session, list_id, -count, now)
    return count


def join(session: Session, list_id: int, contact_id: int, now: datetime) -> None:
    """Make a contact a subscribed member by their own word, whatever they said before."""
    lock_list(session, list_id)
    add_contacts(session, list_id, [contact_id], now)
    set_status(session, list_id, contact_id, MemberStatus.SUBSCRIBED, now)


def add_contacts(session: Session, list_id: int, ids: Collection[int], now: datetime) -> None:
    """Put contacts on a list; those that it has, subscribed or not, stay as they are."""
    new = sorted(set(ids) - _statuses(session, list_id, ids).keys())
    if new:
        rows = [_member(list_id, one, MemberStatus.SUBSCRIBED, None, now) for one in new]
        session.execute(insert(_MEMBERS), rows)
        _change_count(session, list_id, len(new), now)


def status_of(session: Session, list_id: int, address_hash: bytes) -> MemberStatus | None:
    """How an address stands with a list; None if it is not on it."""
    return session.scalar(
        select(ListMember.status)
        .join(Contact, Contact.id == ListMember.contact_id)
        .where(ListMember.list_id == list_id, Contact.address_hash == address_hash)
    )


def set_status(
    session: Session, list_id: int, contact_id: int, status: MemberStatus, now: datetime
) -> bool:
    """Change whether a member gets the list's mail; False if nothing changed."""
    changed = session.execute(
        update(_MEMBERS)
        .where(
            _MEMBERS.c.list_id == list_id,
            _MEMBERS.c.contact_id == contact_id,
            _MEMBERS.c.status != status,
        )
        .values(status=status, changed_at=now)
    )
    if not getattr(changed, "rowcount", 0):
        return False
    _change_count(session, list_id, 1 if status is MemberStatus.SUBSCRIBED else -1, now)
    return True


def _change_count(session: Session, list_id: int, step: int, now: datetime) -> None:
    session.execute(
        update(ContactList)
        .where(ContactList.id == list_id)
        .values(members=ContactList.members + step, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def drop_members(session: Session, list_id: int, ids: Sequence[int]) -> None:
    """Delete memberships whatever their status, and correct the count."""
    mine = (ListMember.list_id == list_id, ListMember.contact_id.in_(ids))
    subscribed = session.scalar(
        select(func.count()).where(*mine, ListMember.status == MemberStatus.SUBSCRIBED)
    )
    session.execute(delete(ListMember).where(*mine).execution_options(synchronize_session=False))
    session.execute(
        update(ContactList)
        .where(ContactList.id == list_id)
        .values(members=ContactList.members - (subscribed or 0))
        .execution_options(synchronize_session=False)
    )
