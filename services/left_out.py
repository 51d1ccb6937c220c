"""How many waiting recipients of a campaign would be left out if it were sent now.

Exact for lists of moderate length; of a long list evenly spread parts are looked at, so that
the page of the decision is as fast at a million recipients as at a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Integer, Select, Table, and_, case, func, select, text
from sqlalchemy.orm import Session

from domain.statuses import Verdict
from models import Campaign, Recipient, Suppression

#: Up to so many waiting rows are counted one by one.
COUNTED_ROWS = 20_000
_PARTS, _ROWS_OF_A_PART = 40, 250
_ROWS = cast(Table, Recipient.__table__)
_SUPPRESSIONS = cast(Table, Suppression.__table__)
#: Written out, so that SQLite can see that its partial index on waiting rows serves.
_PENDING = text("recipients.status = 'pending'")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Waiting recipients that get nothing; `about` = estimated from a part of them."""

    suppressed: int
    undeliverable: int  # and not suppressed
    about: bool


def left_out(session: Session, campaign: Campaign, waiting: int) -> LeftOut:
    """Who of the `waiting` rows of a campaign is suppressed or cannot receive mail."""
    about = waiting > COUNTED_ROWS
    rows = select(_ROWS.c.address_hash, _ROWS.c.verdict).where(
        _ROWS.c.campaign_id == campaign.id, _PENDING
    )
    seen = suppressed = undeliverable = 0
    parts = _parts(session, campaign.id, rows) if about else [rows]
    for part in parts:
        figures = session.execute(_counts(part)).one()
        seen += figures.seen
        suppressed += figures.suppressed or 0
        undeliverable += figures.undeliverable or 0
    if campaign.send_undeliverable:
        undeliverable = 0
    if about and seen:
        suppressed = round(suppressed * waiting / seen)
        undeliverable = round(undeliverable * waiting / seen)
    return LeftOut(suppressed, undeliverable, about)


def _parts(
    session: Session, campaign_id: int, rows: Select[bytes, Verdict]
) -> Iterable[Select[bytes, Verdict]]:
    ids = select(_ROWS.c.id).where(_ROWS.c.campaign_id == campaign_id, _PENDING).limit(1)
    first = session.scalar(ids.order_by(_ROWS.c.id)) or 0
    last = session.scalar(ids.order_by(_ROWS.c.id.desc())) or 0
    for number in range(_PARTS):
        start = first + (last - first) * number // _PARTS
        yield rows.where(_ROWS.c.id >= start).order_by(_ROWS.c.id).limit(_ROWS_OF_A_PART)


def _counts(rows: Select[bytes, Verdict]) -> Select[int, int, int]:
    part = rows.subquery()
    free = _SUPPRESSIONS.c.id.is_(None)
    dead = and_(free, part.c.verdict == Verdict.UNDELIVERABLE)
    return select(
        func.count().label("seen"),
        func.sum(case((free, 0), else_=1)).cast(Integer).label("suppressed"),
        func.sum(case((dead, 1), else_=0)).cast(Integer).label("undeliverable"),
    ).select_from(
        part.outerjoin(_SUPPRESSIONS, _SUPPRESSIONS.c.address_hash == part.c.address_hash)
    )
