"""Which links of a campaign were clicked, by how many people and how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from lxml.etree import ParserError
from lxml.html import document_fromstring
from sqlalchemy import Integer, Select, Table, case, distinct, func, literal_column, or_, select
from sqlalchemy.orm import Session

from domain.ses_events import EventKind, link_mark
from models import Campaign, Event, Recipient
from services.delivery_events import event_of

_EVENTS = cast(Table, Event.__table__)
_ROWS = cast(Table, Recipient.__table__)
#: Literally, for the small index of clicks.
_IS_CLICK = _EVENTS.c.kind == literal_column(f"'{EventKind.CLICK}'")
_MARK_LENGTH = 8


@dataclass(frozen=True, slots=True)
class LinkClicks:
    """One link; `link` is None when it was made for one person and its raw event is purged.

    People are those who count as human clickers of the campaign; whatever machines followed, and
    the clicks of recipients of whom only machines are known, count apart. `first` and `last` are
    times of people's clicks.
    """

    link: str | None
    people: int
    clicks: int
    machine_clicks: int
    first: datetime | None
    last: datetime | None


def of_campaign(session: Session, campaign: Campaign, limit: int) -> list[LinkClicks]:
    """The links that were clicked, those of most people first; up to `limit`."""
    known = {link_mark(link): link for link in links_in(campaign.html)}
    found = session.execute(tallies(campaign.id, limit)).all()
    return [
        LinkClicks(
            known.get(row.mark) or _link_of(session, campaign.id, row.example),
            row.people,
            row.clicks,
            row.machine_clicks,
            row.first,
            row.last,
        )
        for row in found
    ]


def tallies(campaign_id: int, limit: int) -> Select[tuple[str, str, int, int, int, datetime]]:
    kind, at, row_id = _EVENTS.c.sub_kind, _EVENTS.c.happened_at, _EVENTS.c.recipient_id
    human = _ROWS.c.clicked_at.is_not(None) & kind.not_like("machine/%")
    mark = func.substr(kind, func.length(kind) - (_MARK_LENGTH - 1)).label("mark")
    people = func.count(distinct(case((human, row_id)))).label("people")
    clicks = func.count(case((human, 1))).label("clicks")
    return (
        select(
            mark,
            func.min(kind).label("example"),
            people,
            clicks,
            (func.count(literal_column("1", Integer)) - clicks).label("machine_clicks"),
            func.min(case((human, at))).label("first"),
            func.max(case((human, at))).label("last"),
        )
        .join_from(_EVENTS, _ROWS, _ROWS.c.id == row_id)
        .where(
            _EVENTS.c.campaign_id == campaign_id,
            _IS_CLICK,
            kind.like("%/%"),
            or_(_EVENTS.c.attempt_id.is_(None), _EVENTS.c.attempt_id == _ROWS.c.attempt_id),
        )
        .group_by(mark)
        .order_by(people.desc(), clicks.desc(), mark)
        .limit(limit)
    )


def _link_of(session: Session, campaign_id: int, sub_kind: str) -> str | None:
    """A link as one of its clicks had it."""
    query = select(_EVENTS.c.key, _EVENTS.c.raw).where(
        _EVENTS.c.campaign_id == campaign_id,
        _IS_CLICK,
        _EVENTS.c.sub_kind == sub_kind,
        _EVENTS.c.raw.is_not(None),
    )
    row = session.execute(query.limit(1)).one_or_none()
    event = event_of(row.key, row.raw) if row else None
    return event.link if event else None


def links_in(html: str) -> Iterator[str]:
    """The addresses of a template's links, merge tags as they stand."""
    try:
        document = document_fromstring(html)
    except (ParserError, ValueError):
        return
    for element in document.iter("a", "area"):
        if address := (element.get("href") or "").strip():
            yield address
