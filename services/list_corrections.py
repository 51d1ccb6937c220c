"""Corrects misspelt mail domains of a list's members (`gmial.com`), at a person's word.

The contact gets its right address and keeps what it was. If the right address is a contact already,
that one goes on the list in its stead: whoever unsubscribed from it stays so.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, select, text
from sqlalchemy.orm import Session

from audience_models import Contact, ListImport
from domain.addresses import key_hash
from domain.statuses import JobKind
from domain.typos import meant_address
from domain.verification import judge
from models import Job
from services import list_members, mail_domains, verification
from services.campaigns import Refused
from services.installation import address_key_secret
from services.list_members import contact_ids, drop_members, lock_list
from services.row_updates import update_rows
from services.verified_people import ListPeople

logger = logging.getLogger(__name__)

#: Members corrected in one writing step.
STEP = 200
_CORRECTED = (
    "email",
    "address",
    "address_hash",
    "verdict",
    "verdict_reason",
    "risks",
    "corrected_from",
    "updated_at",
)
_CONTACTS = cast(Table, Contact.__table__)
#: As its index has it, so that SQLite sees that it serves.
_DOUBTED = text("contacts.verdict IN ('risky', 'undeliverable', 'unknown')")


@dataclass(frozen=True, slots=True)
class Corrected:
    """What one step did; `last_id` is where the next one goes on, None = all done."""

    corrected: int
    known: int  # a contact with the right address took their place
    last_id: int | None


def latest_check(session: Session, list_id: int) -> Job | None:
    """The newest verification of a list."""
    query = select(Job).join(ListImport, ListImport.job_id == Job.id)
    query = query.where(ListImport.list_id == list_id, Job.kind == JobKind.VERIFY)
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


def correct(
    session: Session,
    list_id: int,
    now: datetime,
    *,
    domain: str | None = None,
    contact_id: int | None = None,
    after: int = 0,
) -> Corrected:
    """One step of correcting all members under a misspelt `domain`, or one of them.

    Call again with `after=last_id` until that is None. Raises Refused if nothing is misspelt.
    """
    lock_list(session, list_id)
    c = _CONTACTS.c
    which = c.id == contact_id if domain is None else c.address.like(f"%@{domain}")
    rows = session.execute(
        ListPeople(list_id)
        .chosen(c.id, c.email, c.address, c.address_hash)
        .where(which, _DOUBTED, c.id > after)
        .order_by(c.id)
        .limit(STEP)
        .with_for_update(of=_CONTACTS)
    ).all()
    people = {row.id: meant for row in rows if (meant := meant_address(row.address))}
    if not people and not after:
        raise Refused("There is nothing to correct: it was done already, or nobody is there.")
    secret = address_key_secret(session)
    hashes = {meant: key_hash(secret, meant) for meant in people.values()}
    there = contact_ids(session, list(hashes.values()))
    mine = [row for row in rows if row.id in people]
    free = [row for row in mine if hashes[people[row.id]] not in there]
    known = {row.id: there[hashes[people[row.id]]] for row in mine if row not in free}
    _rename(session, free, people, hashes, now)
    _replace(session, list_id, known, now)
    _note(session, list_id, Counter(row.address.rpartition("@")[2] for row in mine))
    logger.info("list %d: %d addresses corrected", list_id, len(people))
    last = rows[-1].id if len(rows) == STEP else None
    return Corrected(len(free), len(known), last)


def _rename(
    session: Session,
    rows: Sequence[Any],
    people: dict[int, str],
    hashes: dict[str, bytes],
    now: datetime,
) -> None:
    """Give contacts their right address, and the verdict on it from what is known without DNS."""
    names = {people[row.id].rpartition("@")[2] for row in rows}
    domains = mail_domains.known_domains(session, names, now)
    past = verification.history(
        session, None, {people[row.id]: hashes[people[row.id]] for row in rows}
    )
    updates = []
    for row in rows:
        address = people[row.id]
        email = f"{row.email.rpartition('@')[0]}@{address.rpartition('@')[2]}"
        found = judge(email, domains.get(address.rpartition("@")[2]), past.get(address))
        updates.append(
            {
                "b_id": row.id,
                "email": email,
                "address": address,
                "address_hash": hashes[address],
                "verdict": found.verdict,
                "verdict_reason": found.reason,
                "risks": int(found.risks) or None,
                "corrected_from": row.email,
                "updated_at": now,
            }
        )
    if updates:
        update_rows(session, _CONTACTS, _CORRECTED, updates)


def _replace(session: Session, list_id: int, known: dict[int, int], now: datetime) -> None:
    """Put the contacts with the right address on the list instead of the misspelt ones."""
    if known:
        drop_members(session, list_id, list(known))
        list_members.add_contacts(session, list_id, set(known.values()), now)


def _note(session: Session, list_id: int, people: Counter[str]) -> None:
    """Take the corrected people out of what the last check found misspelt."""
    job = latest_check(session, list_id)
    if job is not None and job.result is not None:
        left = Counter(job.result.get("misspelt", ())) - people
        job.result = {**job.result, "misspelt": dict(left), "changed": True}
        session.flush()
