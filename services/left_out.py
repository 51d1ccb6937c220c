"""How many waiting recipients of a campaign would be left out if it were sent now.

Exact for lists of moderate length; of a long list evenly spread parts are looked at, so that
the page of the decision is as fast at a million recipients as at a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Integer, Select, Table, and_, case, func, select, text
from sqlalchemy.orm import Session

from domain.statuses import Verdict
from models import Campaign, Recipient, Suppression
from services.suppression import suppressed_hashes
from services.suppression_patterns import covered

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
    doubted: int = 0  # and neither: the campaign leaves out such a risk


def left_out(session: Session, campaign: Campaign, waiting: int) -> LeftOut:
    """Who of the `waiting` rows of a campaign is suppressed or left out by their verdict."""
    about = waiting > COUNTED_ROWS
    obstacle = _obstacle(campaign).label("obstacle")
    rows = select(_ROWS.c.address_hash, obstacle).where(
        _ROWS.c.campaign_id == campaign.id, _PENDING
    )
    if about:
        seen, *amounts = _sampled(session, _parts(session, campaign.id, rows))
        suppressed, dead, doubted = (round(one * waiting / max(seen, 1)) for one in amounts)
    else:
        suppressed, dead, doubted = (one or 0 for one in session.execute(_counts(rows)).one())
    return LeftOut(suppressed, dead, about, doubted)


def _obstacle(campaign: Campaign) -> ColumnElement[int]:
    """1 for an undeliverable address, 2 for a doubted one, if the campaign leaves such out; 3 for
    whom a domain or wildcard of the suppression list covers."""
    dead = 0 if campaign.send_undeliverable else 1
    doubted = _ROWS.c.risks.bitwise_and(campaign.skip_risks) != 0
    by_pattern = covered("recipients", "domain") == 1
    return case(
        (by_pattern, 3), (_ROWS.c.verdict == Verdict.UNDELIVERABLE, dead), (doubted, 2), else_=0
    )


def _sampled(session: Session, parts: Iterable[Select[bytes, int]]) -> tuple[int, int, int, int]:
    """Rows seen, suppressed, undeliverable, doubted; no join, which would read all suppressions."""
    sample = [(row[0], row[1]) for part in parts for row in session.execute(part)]
    suppressed = suppressed_hashes(session, {hashed for hashed, _ in sample})
    free = [one for hashed, one in sample if hashed not in suppressed and one != 3]
    return len(sample), len(sample) - len(free), free.count(1), free.count(2)


def _parts(
    session: Session, campaign_id: int, rows: Select[bytes, int]
) -> Iterable[Select[bytes, int]]:
    ids = select(_ROWS.c.id).where(_ROWS.c.campaign_id == campaign_id, _PENDING).limit(1)
    first = session.scalar(ids.order_by(_ROWS.c.id)) or 0
    last = session.scalar(ids.order_by(_ROWS.c.id.desc())) or 0
    for number in range(_PARTS):
        start = first + (last - first) * number // _PARTS
        yield rows.where(_ROWS.c.id >= start).order_by(_ROWS.c.id).limit(_ROWS_OF_A_PART)


def _counts(rows: Select[bytes, int]) -> Select[int, int, int]:
    part = rows.subquery()
    free = and_(_SUPPRESSIONS.c.id.is_(None), part.c.obstacle != 3)
    dead, doubted = and_(free, part.c.obstacle == 1), and_(free, part.c.obstacle == 2)
    return select(
        func.sum(case((free, 0), else_=1)).cast(Integer),
        func.sum(case((dead, 1), else_=0)).cast(Integer),
        func.sum(case((doubted, 1), else_=0)).cast(Integer),
    ).select_from(
        part.outerjoin(_SUPPRESSIONS, _SUPPRESSIONS.c.address_hash == part.c.address_hash)
    )
