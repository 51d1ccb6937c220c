"""Who an audience is made of, as SQL: for the snapshot, for counts, and for the launch checks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from audience_models import (
    Audience,
    AudienceSource,
    Contact,
    ContactList,
    ListMember,
    Segment,
)
from domain.segments import Conditions
from domain.statuses import AudienceKind, MailOutcome, MemberStatus, Verdict
from models import Campaign, Recipient, Suppression
from services.segment_counts import PATIENCE_SECONDS, Counted, by_sample, estimate, within
from services.segment_query import OUTCOMES, matching
from services.suppression_patterns import any_there, covering

#: Up to twice as many people are looked at one by one for whom a pattern covers.
_LOOKED_AT = 5_000
#: How long the page before a launch waits for exact figures (seconds).
_PATIENCE = 1.0
_LISTED = exists().where(Suppression.address_hash == Contact.address_hash)
#: As its index has it, so that SQLite sees that it serves.
_DOUBTED = text("contacts.verdict IN ('risky', 'undeliverable', 'unknown')")

#: What a source's id is the id of.
OF: dict[AudienceKind, tuple[str, type[ContactList] | type[Segment] | type[Campaign]]] = {
    AudienceKind.LIST: ("list", ContactList),
    AudienceKind.SEGMENT: ("segment", Segment),
    AudienceKind.OUTCOME: ("campaign", Campaign),
}


def sources_of(session: Session, campaign_id: int) -> list[AudienceSource]:
    """What a campaign's audience is made of, in the order it was chosen."""
    query = select(AudienceSource).where(AudienceSource.campaign_id == campaign_id)
    return list(session.scalars(query.order_by(AudienceSource.id)))


def people(session: Session, audience: Audience) -> Select[int, bytes] | None:
    """One row a person: `person` (contact id, or minus a recipient id) and `hash`; None = nobody.

    A person of several sources comes once, as a contact where one is among them.
    """
    parts = _parts(session, audience)
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    every = union_all(*parts).subquery("every_source")
    return select(func.max(every.c.person).label("person"), every.c.hash).group_by(every.c.hash)


def persons(session: Session, audience: Audience) -> Select[int] | None:
    """`people` without their hashes; of a list alone by its own index, without its contacts."""
    sources = sources_of(session, audience.campaign_id)
    if [one.kind for one in sources] == [AudienceKind.LIST] and audience.leave_out is None:
        return select(ListMember.contact_id.label("person")).where(
            ListMember.list_id == sources[0].of_id, ListMember.status == MemberStatus.SUBSCRIBED
        )
    query = people(session, audience)
    return None if query is None else select(query.subquery("found").c.person)


def _parts(session: Session, audience: Audience) -> list[Select[int, bytes]]:
    sources = sources_of(session, audience.campaign_id)
    return [_part(session, source, audience) for source in sources]


def _part(session: Session, source: AudienceSource, audience: Audience) -> Select[int, bytes]:
    if source.kind is AudienceKind.LIST:
        query = (
            select(Contact.id.label("person"), Contact.address_hash.label("hash"))
            .join(ListMember, ListMember.contact_id == Contact.id)
            .where(ListMember.list_id == source.of_id, ListMember.status == MemberStatus.SUBSCRIBED)
        )
        return query.where(*_left_out(audience, Contact.address))
    if source.kind is AudienceKind.SEGMENT:
        saved = session.get(Segment, source.of_id)
        wanted = Conditions.of_json(saved.conditions) if saved else None
        asked = matching(session, wanted, of_many=True) if wanted else false()
        query = select(Contact.id.label("person"), Contact.address_hash.label("hash"))
        return query.where(asked, *_left_out(audience, Contact.address))
    conditions = OUTCOMES[source.outcome or MailOutcome.EVERYBODY]
    query = select((-Recipient.id).label("person"), Recipient.address_hash.label("hash")).where(
        Recipient.campaign_id == source.of_id, Recipient.email != "", *conditions
    )
    return query.where(*_left_out(audience, Recipient.address))


def _left_out(audience: Audience, address: Any) -> Iterable[ColumnElement[bool]]:
    if audience.leave_out is None:
        return ()
    other = aliased(Recipient)
    there = exists().where(other.campaign_id == audience.leave_out, other.address == address)
    return (~there,)


def share(count: int, percent: float) -> int:
    """How many a share of `count` people is: at least one, if there is anybody."""
    return count if percent >= 100 else min(count, max(1, round(count * percent / 100)))


def size(session: Session, campaign_id: int) -> int:
    """How many people the audience has at this moment, suppressed ones included."""
    audience = session.get(Audience, campaign_id)
    sources = sources_of(session, campaign_id)
    if audience and len(sources) == 1 and audience.leave_out is None:
        of_list = session.get(ContactList, sources[0].of_id)
        if sources[0].kind is AudienceKind.LIST and of_list is not None:
            return share(of_list.members, audience.percent)
    query = people(session, audience) if audience else None
    if audience is None or query is None:
        return 0
    found = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    return share(found, audience.percent)


def size_at_once(
    session: Session, campaign_id: int, chance: random.Random, patience: float = PATIENCE_SECONDS
) -> Counted:
    """`size`, if the database has it within `patience` seconds, else an estimate."""
    exact = within(session, patience, lambda: size(session, campaign_id))
    if exact is not None:
        return Counted(exact, True)
    return Counted(_estimate(session, campaign_id, chance), False)


def _estimate(session: Session, campaign_id: int, chance: random.Random) -> int:
    """About how many people the sources have together; who is in two of them counts twice."""
    found = 0
    for source in sources_of(session, campaign_id):
        if source.kind is AudienceKind.LIST:
            of_list = session.get(ContactList, source.of_id)
            found += of_list.members if of_list else 0
        elif source.kind is AudienceKind.SEGMENT:
            saved = session.get(Segment, source.of_id)
            asked = Conditions.of_json(saved.conditions) if saved else None
            found += estimate(session, asked, chance) if asked else 0
        else:
            mine = Recipient.campaign_id == source.of_id
            asked_of = and_(*OUTCOMES[source.outcome or MailOutcome.EVERYBODY], true())
            found += by_sample(session, Recipient.id, mine, asked_of, chance)
    return share(found, session.get_one(Audience, campaign_id).percent)


@dataclass(frozen=True, slots=True)
class ToCome:
    """Before a campaign begins: people of its audience, and who of them gets nothing.

    `about`: some of the figures are estimates.
    """

    people: int = 0
    suppressed: int = 0
    undeliverable: int = 0  # and not suppressed; by the check of a list
    doubted: int = 0  # the same, and left out by the campaign's choice
    about: bool = False


def to_come(session: Session, campaign: Campaign, chance: random.Random) -> ToCome:
    """Who would come from lists and the like now; counted for a second at most, then estimated."""
    audience = session.get(Audience, campaign.id)
    query = people(session, audience) if audience and audience.frozen_at is None else None
    if audience is None or query is None:
        return ToCome()
    every = size_at_once(session, campaign.id, chance)
    part = audience.percent / 100
    whole = round(every.people / part)
    found = query.subquery()
    blocked = within(session, _PATIENCE, lambda: _blocked(session, campaign, found, whole))
    if blocked is None:  # as many as among all contacts
        rows = session.scalar(select(func.max(Contact.id))) or 1
        some = by_sample(session, Contact.id, true(), _LISTED, chance)
        blocked = (round(some * whole / rows), 0, 0)
        every = replace(every, is_exact=False)
    listed, dead, doubted = (round(amount * part) for amount in blocked)
    about = not every.is_exact or (whole >= 2 * _LOOKED_AT and any_there(session))
    return ToCome(every.people, listed, dead, doubted, about)


def _blocked(session: Session, campaign: Campaign, found: Any, every: int) -> tuple[int, int, int]:
    """Suppressed, undeliverable and doubted people among those found."""
    listed = session.scalar(
        select(func.count())
        .select_from(found)
        .join(Suppression, Suppression.address_hash == found.c.hash)
    )
    free = (
        select(func.count())
        .select_from(Contact)
        .join(found, found.c.person == Contact.id)
        .where(_DOUBTED, ~_LISTED)
    )
    dead = Contact.verdict == Verdict.UNDELIVERABLE
    risky = and_(~dead, Contact.risks.bitwise_and(campaign.skip_risks) != 0)
    undeliverable = 0 if campaign.send_undeliverable else session.scalar(free.where(dead))
    doubted = session.scalar(free.where(risky)) if campaign.skip_risks else 0
    covered = _covered(session, found, every)
    return (listed or 0) + covered, undeliverable or 0, doubted or 0


def _covered(session: Session, found: Any, every: int) -> int:
    """Whom domains and wildcards of the suppression list cover alone; of many, an estimate."""
    if not any_there(session):
        return 0
    part = max(1, every // _LOOKED_AT)
    person = found.c.person
    contact = select(Contact.address).where(Contact.id == person).scalar_subquery()
    recipient = select(Recipient.address).where(Recipient.id == -person).scalar_subquery()
    addresses = session.scalars(
        select(case((person > 0, contact), else_=recipient)).where(
            func.abs(person) % part == 0,
            ~exists().where(Suppression.address_hash == found.c.hash),
        )
    )
    return part * len(covering(session, addresses))


def problems(session: Session, campaign_id: int) -> list[str] | None:
    """What stands against taking the audience, a sentence each; None if there is no audience."""
    audience = session.get(Audience, campaign_id)
    if audience is None:
        return None
    found = []
    for source in sources_of(session, campaign_id):
        word, table = OF[source.kind]
        if session.get(table, source.of_id) is None:
            found.append(f"A {word} that the recipients come from is deleted: choose them again.")
    parts = _parts(session, audience)
    if not found and not any(session.execute(part.limit(1)).first() for part in parts):
        found.append("The chosen lists, segments and outcomes have nobody in them at present.")
    return found


def preparing(session: Session, campaign_id: int) -> str | None:
    """How far the copy of a launched campaign's audience is; None if none is being made."""
    audience = session.get(Audience, campaign_id)
    if audience is None or audience.frozen_at is None or audience.copied_at is not None:
        return None
    return f"Preparing recipients: {audience.copied:,} of {audience.total:,} copied."


def still_wanted(session: Session, campaign_id: int, contact_ids: Sequence[int]) -> set[int]:
    """Of these contacts, those that a list of the campaign still has as subscribed.

    All of them where the campaign has sources beside lists: those go by other conditions.
    """
    sources = session.execute(
        select(AudienceSource.kind, AudienceSource.of_id).where(
            AudienceSource.campaign_id == campaign_id
        )
    ).all()
    if any(source.kind is not AudienceKind.LIST for source in sources):
        return set(contact_ids)
    return set(
        session.scalars(
            select(ListMember.contact_id).where(
                ListMember.list_id.in_([source.of_id for source in sources]),
                ListMember.contact_id.in_(contact_ids),
                ListMember.status == MemberStatus.SUBSCRIBED,
            )
        )
    )
