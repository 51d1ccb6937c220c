"""Where a campaign's recipients come from beside its own files, and their copy into the ledger.

Who belongs to it is fixed as of one moment when the campaign begins; the ledger rows are made
in short steps by a scheduler, and sending begins with the first of them. A step moves the mark
in the transaction that makes its rows, so that a crash repeats nothing and leaves nobody out.
"""

from __future__ import annotations

import json
import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Audience, AudienceMember, AudienceSource, Contact, ContactList, Segment
from database import alone, is_sqlite, writing
from domain.statuses import AudienceKind, CampaignStatus, MailOutcome
from models import Campaign, Recipient
from services import audience_query, import_batches
from services.campaigns import EDITABLE, Refused, lock_campaign
from services.import_batches import Batch, Candidate, Target
from services.row_updates import update_rows

logger = logging.getLogger(__name__)

_MEMBERS = cast(Table, AudienceMember.__table__)
_VERDICT = ("verdict", "verdict_reason", "risks")
#: People that a step on SQLite fixes, in one statement, which takes some 10 ms.
_FROZEN_AT_ONCE = 10_000
_PUT = (
    "INSERT OR REPLACE INTO audience_members (campaign_id, position, person)"
    " SELECT ?1, ?2 + key, value FROM json_each(?3)"
)


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

    Makes writing steps of its own. SQLite has one writer: there the people are read as one
    snapshot beside it and written in short steps, and count as fixed with the last of them. What
    a crash leaves of these is overwritten by the next snapshot; nothing was sent to it.
    """
    with sessions() as session:
        if not is_sqlite(session):
            with writing(session):
                audience = _to_freeze(session, campaign_id)
                return _freeze_at_once(session, audience, now) if audience else 0
        with alone(session, "freezing") as mine:
            audience = _to_freeze(session, campaign_id) if mine else None
            return _freeze_in_steps(session, audience, now) if audience else 0


def _to_freeze(session: Session, campaign_id: int) -> Audience | None:
    """The audience, unless it is fixed, gone, or in another scheduler's hands."""
    audience = _locked(session, campaign_id)
    return audience if audience is not None and audience.frozen_at is None else None


def _chosen(session: Session, audience: Audience) -> Select[int] | None:
    """One person a row; None = nobody."""
    query = audience_query.people(session, audience)
    if query is None:
        return None
    found = query.subquery("found")
    persons = select(found.c.person)
    if audience.percent < 100:
        every = session.scalar(select(func.count()).select_from(found)) or 0
        wanted = audience_query.share(every, audience.percent)
        persons = persons.order_by(func.random()).limit(wanted)
    return persons


def _freeze_at_once(session: Session, audience: Audience, now: datetime) -> int:
    """In one statement."""
    query = _chosen(session, audience)
    if query is not None:
        chosen = query.subquery("chosen")
        place = func.row_number().over(order_by=chosen.c.person)
        session.execute(
            insert(_MEMBERS).from_select(
                ["campaign_id", "position", "person"],
                select(literal(audience.campaign_id), place, chosen.c.person),
            )
        )
    return _frozen(session, audience, now)


def _freeze_in_steps(session: Session, audience: Audience, now: datetime) -> int:
    campaign_id, query = audience.campaign_id, _chosen(session, audience)
    persons = array("q", session.scalars(query) if query is not None else ())
    ordered = array("q", sorted(persons))
    for start in range(0, len(ordered), _FROZEN_AT_ONCE):
        with writing(session):
            if _to_freeze(session, campaign_id) is None:  # deleted meanwhile
                return 0
            part = json.dumps(ordered[start : start + _FROZEN_AT_ONCE].tolist())
            session.connection().exec_driver_sql(_PUT, (campaign_id, start + 1, part))
    with writing(session):
        found = _to_freeze(session, campaign_id)
        if found is None:
            return 0
        beyond = AudienceMember.position > len(ordered)
        session.execute(
            delete(AudienceMember).where(AudienceMember.campaign_id == campaign_id, beyond)
        )
        return _frozen(session, found, now)


def _frozen(session: Session, audience: Audience, now: datetime) -> int:
    audience.total = session.scalar(_count_of(audience.campaign_id)) or 0
    audience.frozen_at = now
    session.flush()
    logger.info("campaign=%s: %s people fixed", audience.campaign_id, audience.total)
    return audience.total


def _count_of(campaign_id: int) -> Any:
    return select(func.count()).where(AudienceMember.campaign_id == campaign_id)


def _locked(session: Session, campaign_id: int) -> Audience | None:
    """The audience, or None if it is gone or another scheduler works on it."""
    return session.scalar(
        select(Audience)
        .where(Audience.campaign_id == campaign_id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )


def copy_step(session: Session, campaign_id: int, secret: bytes, now: datetime, limit: int) -> bool:
    """Make the ledger rows of the next people; True while some are left to do."""
    audience = _locked(session, campaign_id)
    if audience is None or audience.frozen_at is None or audience.copied_at is not None:
        return False
    persons = session.scalars(
        select(AudienceMember.person)
        .where(AudienceMember.campaign_id == campaign_id, AudienceMember.position > audience.copied)
        .order_by(AudienceMember.position)
        .limit(limit)
    ).all()
    campaign = session.get_one(Campaign, campaign_id)
    contacts = [person for person in persons if person > 0]
    wanted = audience_query.still_wanted(session, campaign_id, contacts)  # who left meanwhile?
    people = [person for person in persons if person < 0 or person in wanted]
    candidates = _candidates(session, people, [str(name) for name in campaign.variables])
    batch = Batch(rows=len(candidates), candidates=candidates)
    target = Target(campaign_id, None, "a list", secret)
    audience.copied += len(persons)
    if len(persons) < limit:
        audience.copied_at = now
        logger.info("campaign=%s: all recipients are in the ledger", campaign_id)
    session.flush()
    import_batches.write(session, batch, target, now)
    _take_verdicts_along(session, campaign_id, contacts)
    return len(persons) == limit


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
