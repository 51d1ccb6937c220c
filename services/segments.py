"""Saved segments: made, changed, counted and looked at before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audience_models import Contact, Segment
from domain.segments import Conditions
from services.campaigns import NotFound, Refused
from services.segment_counts import PATIENCE_SECONDS, within
from services.segment_query import matching


def all_segments(session: Session) -> list[Segment]:
    """Every segment by name."""
    return list(session.scalars(select(Segment).order_by(Segment.name)))


def get_segment(session: Session, segment_id: int) -> Segment:
    """The segment, read afresh; raises NotFound."""
    found = session.get(Segment, segment_id, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no segment {segment_id}.")
    return found


def save(
    session: Session, segment_id: int | None, name: str, conditions: Conditions, now: datetime
) -> Segment:
    """Make a segment, or change one; raises Refused for a name that is missing or taken."""
    name = " ".join(name.split())
    if not name:
        raise Refused("The segment needs a name.")
    if len(name) > 200:
        raise Refused("The name is longer than 200 characters: shorten it.")
    same = session.scalar(select(Segment.id).where(func.lower(Segment.name) == name.lower()))
    if same is not None and same != segment_id:
        raise Refused(f"There is a segment “{name}” already: choose another name.")
    found = get_segment(session, segment_id) if segment_id else Segment(created_at=now)
    found.name, found.conditions, found.updated_at = name, conditions.as_json(), now
    session.add(found)
    session.flush()
    return found


def remove(session: Session, segment_id: int) -> None:
    """Delete a segment; a draft that takes its recipients from it says so and does not start."""
    session.delete(get_segment(session, segment_id))
    session.flush()


def sample(session: Session, conditions: Conditions, limit: int = 10) -> Sequence[Contact]:
    """The newest of them; nobody where finding them takes longer than a page may."""
    query = select(Contact).where(matching(session, conditions)).order_by(Contact.id.desc())
    return (
        within(session, PATIENCE_SECONDS, lambda: session.scalars(query.limit(limit)).all()) or ()
    )
