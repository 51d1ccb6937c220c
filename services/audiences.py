"""Where a campaign's recipients come from beside its own files, and their copy into the ledger.

Who belongs to it is fixed as of one moment when the campaign begins; the ledger rows are made
in short steps by a scheduler, and sending begins with the first of them. A step moves the mark
in the transaction that makes its rows, so that a crash repeats nothing and leaves nobody out.
"""

from __future__ import annotations

import json
import logging
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, and_, delete, func, insert, or_, select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Audience, AudiencePart, AudienceSource, Contact, ContactList, Segment
from database import is_sqlite, writing
from domain.statuses import AudienceKind, CampaignStatus, MailOutcome
from models import Campaign, Recipient
from services import audience_query, import_batches
from services.campaigns import EDITABLE, Refused, lock_campaign
from services.import_batches import Batch, Candidate, Target
from services.row_updates import update_rows

logger = logging.getLogger(__name__)

_VERDICT = ("verdict", "verdict_reason", "risks")
#: People a row: their ids take 8 bytes each.
_PART = 2_000
_CHANCE = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Source:
    """The id of a list or a segment, or of another campaign with an outcome."""

    kind: AudienceKind
    of_id: int
    outcome: MailOutcome | None = None


def choose(
    session: Session,
    campaign_id: int,
    sources: Sequence[Source],
    now: datetime,
    *,
    percent: float = 100.0,
    leave_out: int | None = None,
) -> None:
    """Say where a draft's recipients come from; nothing = its own files only.

    The names of their fields become variables of the campaign. Raises Refused.
    """
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in EDITABLE:
        raise Refused("This campaign has been launched: its recipients can no longer change.")
    if not 0 < percent <= 100:
        raise Refused("The share must be more than 0 and at most 100 percent.")
    if leave_out is not None and session.get(Campaign, leave_out) is None:
        raise Refused("The campaign to leave out does not exist any more.")
    session.execute(delete(Audience).where(Audience.campaign_id == campaign_id))
    session.expire_all()
    if not sources:
        return
    session.add(Audience(campaign_id=campaign_id, percent=percent, leave_out=leave_out))
    session.flush()
    for source in dict.fromkeys(sources):
        names = _variables_of(session, campaign_id, source)
        new = [name for name in names if name not in campaign.variables]
        campaign.variables = [*campaign.variables, *new]
        session.add(
            AudienceSource(
                campaign_id=campaign_id,
                kind=source.kind,
                of_id=source.of_id,
                outcome=source.outcome,
            )
        )
    campaign.updated_at = now
    session.flush()


def _variables_of(session: Session, campaign_id: int, source: Source) -> list[str]:
    if source.kind is AudienceKind.LIST:
        of_list = session.get(ContactList, source.of_id)
        if of_list is None:
            raise Refused(f"There is no list {source.of_id}.")
        return [str(name) for name in of_list.variables]
    if source.kind is AudienceKind.SEGMENT:
        if session.get(Segment, source.of_id) is None:
            raise Refused(f"There is no segment {source.of_id}.")
        every = session.scalars(select(ContactList.variables).order_by(ContactList.id))
        return list(dict.fromkeys(str(name) for names in every for name in names))
    of_campaign = session.get(Campaign, source.of_id)
    if of_campaign is None or source.of_id == campaign_id:
        raise Refused("Choose another campaign, one that has been sent.")
    return [str(name) for name in of_campaign.variables]


def to_copy(session: Session) -> list[int]:
    """Campaigns that began and whose recipients are not all in the ledger yet, by id.

    Also one that was cancelled half-way: whoever was fixed ends in a named state.
    """
    begun = Audience.frozen_at.is_not(None)
    query = (
        select(Audience.campaign_id)
        .join(Campaign, Campaign.id == Audience.campaign_id)
        .where(
            Audience.copied_at.is_(None),
            or_(
                Campaign.status == CampaignStatus.SENDING,
                and_(begun, Campaign.status.in_((CampaignStatus.PAUSED, CampaignStatus.CANCELLED))),
            ),
        )
    )
    return list(session.scalars(query.order_by(Audience.campaign_id)))


def freeze(sessions: sessionmaker[Session], campaign_id: int, now: datetime) -> int:
    """Fix who belongs to a campaign's audience, once and as of one moment; how many they are.

    The people are read as one snapshot beside the writers, and written packed, a part of some
    thousand of them a row, in a short transaction of its own.
    """
    with sessions() as session:
        audience = session.get(Audience, campaign_id)
        if audience is None or audience.frozen_at is not None:
            return 0
        persons = _persons(session, audience)
        session.rollback()
        with writing(session):
            audience = _locked(session, campaign_id)
            if audience is None or audience.frozen_at is not None:  # by another scheduler
                return 0
            parts = [
                {"campaign_id": campaign_id, "start": start, "persons": part.tobytes()}
                for start in range(0, len(persons), _PART)
                for part in (persons[start : start + _PART],)
            ]
            if parts:
                session.execute(insert(AudiencePart), parts)
            audience.total = len(persons)
            audience.frozen_at = now
        logger.info("campaign=%s: %s people fixed", campaign_id, len(persons))
        return len(persons)


def _persons(session: Session, audience: Audience) -> array[int]:
    """Everybody that the sources have now, or a share of them by chance, in order."""
    query = audience_query.persons(session, audience)
    if query is None:
        return array("q")
    person = query.subquery("everybody").c.person
    in_one = func.json_group_array if is_sqlite(session) else func.json_agg  # a row each takes 1 s
    said = session.scalar(select(in_one(person))) or []
    found = array("q", json.loads(said) if isinstance(said, str) else said)
    if audience.percent < 100:
        wanted = audience_query.share(len(found), audience.percent)
        found = array("q", _CHANCE.sample(found, wanted))
    return array("q", sorted(found))


def _locked(session: Session, campaign_id: int) -> Audience | None:
    """The audience, or None if it is gone or another scheduler works on it."""
    return session.scalar(
        select(Audience)
        .where(Audience.campaign_id == campaign_id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )


def _next(session: Session, audience: Audience, limit: int) -> array[int]:
    """At most `limit` of the people whose ledger rows are to be made."""
    part = session.scalar(
        select(AudiencePart)
        .where(
            AudiencePart.campaign_id == audience.campaign_id, AudiencePart.start <= audience.copied
        )
        .order_by(AudiencePart.start.desc())
        .limit(1)
    )
    persons = array("q", part.persons if part else b"")
    first = audience.copied - part.start if part else 0
    return persons[first : first + limit]


def copy_step(session: Session, campaign_id: int, secret: bytes, now: datetime, limit: int) -> bool:
    """Make the ledger rows of the next people; True while some are left to do."""
    audience = _locked(session, campaign_id)
    if audience is None or audience.frozen_at is None or audience.copied_at is not None:
        return False
    persons = _next(session, audience, limit)
    campaign = session.get_one(Campaign, campaign_id)
    contacts = [person for person in persons if person > 0]
    wanted = audience_query.still_wanted(session, campaign_id, contacts)  # who left meanwhile?
    people = [person for person in persons if person < 0 or person in wanted]
    candidates = _candidates(session, people, [str(name) for name in campaign.variables])
    batch = Batch(rows=len(candidates), candidates=candidates)
    target = Target(campaign_id, None, "a list", secret)
    audience.copied += len(persons)
    more = audience.copied < audience.total
    if not more:
        audience.copied_at = now
        session.execute(delete(AudiencePart).where(AudiencePart.campaign_id == campaign_id))
        logger.info("campaign=%s: all recipients are in the ledger", campaign_id)
    session.flush()
    import_batches.write(session, batch, target, now)
    _take_verdicts_along(session, campaign_id, contacts)
    return more


def _take_verdicts_along(session: Session, campaign_id: int, contacts: Sequence[int]) -> None:
    """What a check of a list said of contacts; a row that was there before keeps its own."""
    query = select(Contact.address, *(Contact.__table__.c[name] for name in _VERDICT))
    said = {
        row.address: row
        for row in session.execute(
            query.where(Contact.id.in_(contacts), Contact.verdict.is_not(None))
        )
    }
    if not said:
        return
    made_here = select(Recipient.id, Recipient.address).where(
        Recipient.campaign_id == campaign_id,
        Recipient.address.in_(said),
        Recipient.import_id.is_(None),  # nor is it locked here, for it may be in hand
        Recipient.verdict.is_(None),
    )
    rows = [
        {"b_id": row.id, **{name: getattr(said[row.address], name) for name in _VERDICT}}
        for row in session.execute(made_here)
    ]
    if rows:
        update_rows(session, cast(Table, Recipient.__table__), _VERDICT, rows)


def _candidates(session: Session, persons: Sequence[int], names: Sequence[str]) -> list[Candidate]:
    """The people as they are now, in order; who was erased or taken out meanwhile is not there."""
    found: dict[int, Any] = {}
    for table, sign in ((Contact, 1), (Recipient, -1)):
        ids = [abs(person) for person in persons if person * sign > 0]
        rows = session.execute(
            select(table.id, table.email, table.address, table.address_hash, table.variables).where(
                table.id.in_(ids), table.email != ""
            )
        )
        found.update((sign * row.id, row) for row in rows)
    known = (found[person] for person in persons if person in found)
    return [
        Candidate(
            row.email, row.address, row.address_hash, _fields(row.variables, names), None, None
        )
        for row in known
    ]


def _fields(variables: str, names: Sequence[str]) -> str:
    """The fields that the campaign has, empty where a person lacks one."""
    given = json.loads(variables)
    return json.dumps({name: given.get(name, "") for name in names}, ensure_ascii=False)
