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
from services.suppression import suppressed_hashes

#: Up to so many waiting rows are counted one by one.
COUNTED_ROWS = 20_000
_PARTS, _ROWS_OF_A_PART = 20, 200
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
    if about:
        seen, suppressed, undeliverable = _sampled(session, _parts(session, campaign.id, rows))
        share = waiting / max(seen, 1)
        suppressed, undeliverable = round(suppressed * share), round(undeliverable * share)
    else:
        figures = session.execute(_counts(rows)).one()
        suppressed, undeliverable = figures.suppressed or 0, figures.undeliverable or 0
    return LeftOut(suppressed, 0 if campaign.send_undeliverable else undeliverable, about)


def _sampled(session: Session, parts: Iterable[Select[bytes, Verdict]]) -> tuple[int, int, int]:
    """Rows seen, suppressed and undeliverable; no join, which would read all suppressions."""
    sample = [(row[0], row[1]) for part in parts for row in session.execute(part)]
    suppressed = suppressed_hashes(session, {hashed for hashed, _ in sample})
    free = [verdict for hashed, verdict in sample if hashed not in suppressed]
    return len(sample), len(sample) - len(free), free.count(Verdict.UNDELIVERABLE)


def _parts(
    session: Session, campaign_id: int, rows: Select[bytes, Verdict]
) -> Iterable[Select[bytes, Verdict]]:
    ids = select(_ROWS.c.id).where(_ROWS.c.campaign_id == campaign_id, _PENDING).limit(1)
    first = session.scalar(ids.order_by(_ROWS.c.id)) or 0
    last = session.scalar(ids.order_by(_ROWS.c.id.desc())) or 0
    for number in range(_PARTS):
        start = first + (last - first) * number // _PARTS
        yield rows.where(_ROWS.c.id >= start).order_by(_ROWS.c.id).limit(_ROWS_OF_A_PART)


def _counts(rows: Select[bytes, Verdict]) -> Select[int, int]:
    part = rows.subquery()
    free = _SUPPRESSIONS.c.id.is_(None)
    dead = and_(free, part.c.verdict == Verdict.UNDELIVERABLE)
    return select(
        func.sum(case((free, 0), else_=1)).cast(Integer).label("suppressed"),
        func.sum(case((dead, 1), else_=0)).cast(Integer).label("undeliverable"),
    ).select_from(
        part.outerjoin(_SUPPRESSIONS, _SUPPRESSIONS.c.address_hash == part.c.address_hash)
    )
