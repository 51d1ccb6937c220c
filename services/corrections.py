"""Corrects misspelt mail domains of a campaign's recipients (`gmial.com`), at a person's word.

A corrected row keeps what its address was. If the campaign has the right address already, the
misspelt row keeps its own and is skipped, so that nobody gets the mail twice.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, func, insert, select
from sqlalchemy.orm import Session

from domain.addresses import key_hash
from domain.statuses import Fact, JobKind, RecipientStatus
from domain.typos import meant_domain
from domain.verification import judge
from models import AddressCorrection, Job, Recipient
from services import ledger, mail_domains, verification
from services.campaigns import EDITABLE, Refused, lock_campaign
from services.import_batches import skip_as_suppressed
from services.installation import address_key_secret
from services.ledger import FactChange
from services.row_updates import update_rows
from services.suppression import suppressed_people

logger = logging.getLogger(__name__)

#: Rows corrected in one writing step.
STEP = 200
_AT_ONCE_IN_SQL = 500
_CORRECTED = ("email", "address", "address_hash", "verdict", "verdict_reason", "risks")
_ROWS = cast(Table, Recipient.__table__)


class Kind(NamedTuple):
    """Recipients that wait under a misspelt domain, and the domain that was probably meant."""

    domain: str
    meant: str
    amount: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """What one step did; `last_id` is where the next one goes on, None = all done."""

    corrected: int
    duplicates: int  # the campaign had the right address already
    suppressed: int  # of the corrected: nothing is sent to the right address
    last_id: int | None


class _Person(NamedTuple):
    """A row with the address it is to get."""

    id: int
    was: str
    email: str
    address: str
    address_hash: bytes


def kinds(session: Session, campaign_id: int, domains: Collection[str]) -> list[Kind]:
    """The misspelt ones among `domains` that still wait, most people first."""
    meant = {domain: right for domain in domains if (right := meant_domain(domain))}
    found: list[Kind] = []
    names = sorted(meant)
    for start in range(0, len(names), _AT_ONCE_IN_SQL):
        rows = session.execute(
            select(_ROWS.c.domain, func.count())
            .where(
                _ROWS.c.campaign_id == campaign_id,
                _ROWS.c.domain.in_(names[start : start + _AT_ONCE_IN_SQL]),
                _ROWS.c.status == RecipientStatus.PENDING,
            )
            .group_by(_ROWS.c.domain)
        )
        found += [Kind(domain, meant[domain], amount) for domain, amount in rows]
    return sorted(found, key=lambda kind: (-kind.amount, kind.domain))


def correct(
    session: Session,
    campaign_id: int,
    now: datetime,
    by: str | None,
    *,
    domain: str | None = None,
    recipient_id: int | None = None,
    after: int = 0,
) -> Corrected:
    """One step of correcting all who wait under a misspelt `domain`, or one recipient.

    Call again with `after=last_id` until that is None. Raises Refused once the campaign was
    launched, or if there is nothing to correct.
    """
    if lock_campaign(session, campaign_id).status not in EDITABLE:
        raise Refused("This campaign has been launched: its addresses can no longer change.")
    c = _ROWS.c
    which = c.domain == domain if recipient_id is None else c.id == recipient_id
    rows = session.execute(
        select(c.id, c.email, c.address, c.domain)
        .where(c.campaign_id == campaign_id, which, c.status == RecipientStatus.PENDING)
        .where(c.id > after)
        .order_by(c.id)
        .limit(STEP)
        .with_for_update()
    ).all()
    people = _people(session, rows)
    if not people and not after:
        raise Refused("There is nothing to correct: it was done already, or nobody waits there.")
    taken = _lines_of(session, campaign_id, [person.address for person in people])
    new = [person for person in people if person.address not in taken]
    duplicates = [person for person in people if person.address in taken]
    _rename(session, campaign_id, new, now)
    suppressed = suppressed_people(session, {one.address_hash: one.address for one in new})
    changes = [_duplicate(person, taken[person.address], now) for person in duplicates]
    for person in new:
        if person.address_hash in suppressed:
            skip = skip_as_suppressed(suppressed[person.address_hash])
            changes.append(_skipped(person, skip.code, skip.reason, now))
    _keep(session, people, taken, now, by)
    _note(session, campaign_id)
    ledger.apply_changes(session, changes, now)
    logger.info("campaign %d: %d addresses corrected", campaign_id, len(new))
    last = rows[-1].id if len(rows) == STEP else None
    return Corrected(len(new), len(duplicates), len(suppressed), last)


def _people(session: Session, rows: Sequence[Any]) -> list[_Person]:
    secret = address_key_secret(session)
    people = []
    for row in rows:
        meant = meant_domain(row.domain)
        if meant:
            address = f"{row.address.rpartition('@')[0]}@{meant}"
            email = f"{row.email.rpartition('@')[0]}@{meant}"
            hashed = key_hash(secret, address)
            people.append(_Person(row.id, row.email, email, address, hashed))
    return people


def _lines_of(
    session: Session, campaign_id: int, addresses: Sequence[str]
) -> dict[str, int | None]:
    """Which of the addresses the campaign has, and in which line they were."""
    rows = session.execute(
        select(_ROWS.c.address, _ROWS.c.line).where(
            _ROWS.c.campaign_id == campaign_id, _ROWS.c.address.in_(addresses)
        )
    )
    return {row.address: row.line for row in rows}


def _rename(session: Session, campaign_id: int, people: Sequence[_Person], now: datetime) -> None:
    """Give rows their right address, and the verdict on it from what is known without DNS."""
    if not people:
        return
    names = {person.address.rpartition("@")[2] for person in people}
    domains = mail_domains.known_domains(session, names, now)
    past = verification.history(
        session, campaign_id, {person.address: person.address_hash for person in people}
    )
    updates = []
    for person in people:
        domain = domains.get(person.address.rpartition("@")[2])
        found = judge(person.email, domain, past.get(person.address))
        updates.append(
            {
                "b_id": person.id,
                "email": person.email,
                "address": person.address,
                "address_hash": person.address_hash,
                "verdict": found.verdict,
                "verdict_reason": found.reason,
                "risks": int(found.risks) or None,
            }
        )
    update_rows(session, _ROWS, _CORRECTED, updates)


def _duplicate(person: _Person, line: int | None, now: datetime) -> FactChange:
    where = f" (line {line:,})" if line else ""
    reason = f"Corrected, it is an address that this campaign has already{where}."
    return _skipped(person, "duplicate", reason, now)


def _skipped(person: _Person, code: str, reason: str, now: datetime) -> FactChange:
    return FactChange(person.id, None, Fact.SKIPPED, now, reason_code=code, reason=reason)


def _keep(
    session: Session,
    people: Sequence[_Person],
    taken: Collection[str],
    now: datetime,
    by: str | None,
) -> None:
    """The history: what each address was, and who had it changed."""
    if people:
        session.execute(
            insert(AddressCorrection),
            [
                {
                    "recipient_id": person.id,
                    "was": person.was,
                    "became": person.email,
                    "is_duplicate": person.address in taken,
                    "corrected_at": now,
                    "corrected_by": by,
                }
                for person in people
            ],
        )


def _note(session: Session, campaign_id: int) -> None:
    """Tell the last check that its figures are not those of the rows any more."""
    job = session.scalar(
        select(Job)
        .where(Job.campaign_id == campaign_id, Job.kind == JobKind.VERIFY)
        .order_by(Job.id.desc())
        .limit(1)
    )
    if job is not None:
        job.result = {**(job.result or {}), "changed": True}
        session.flush()
