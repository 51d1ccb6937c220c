"""Counting a campaign's figures afresh from its rows, to prove the stored counters (I7)."""

from __future__ import annotations

from typing import cast

from sqlalchemy import ColumnElement, Integer, Table, and_, case, func, or_, select
from sqlalchemy.orm import Session

from domain.statuses import EVENT_FACTS, Fact, RecipientStatus
from models import Recipient
from services.ledger import PEOPLE, counter_names

_ROWS = cast(Table, Recipient.__table__)


def recount(session: Session, campaign_id: int) -> dict[str, int]:
    """The same figures counted afresh from the ledger rows."""
    facts = _ROWS.c.facts

    def has(bits: Fact) -> ColumnElement[bool]:
        return facts.bitwise_and(int(bits)) != 0

    soft = or_(has(Fact.SOFT_BOUNCED), and_(has(Fact.MAYBE_AUTO_REPLY), ~has(Fact.DELIVERED)))
    conditions: dict[str, ColumnElement[bool]] = {
        **{str(status): _ROWS.c.status == status for status in RecipientStatus},
        "reached_accepted": has(EVENT_FACTS),
        "reached_delivered": has(Fact.DELIVERED),
        "reached_delayed": has(Fact.DELAYED),
        "reached_soft_bounced": soft,
        "reached_bounced": has(Fact.BOUNCED),
        "reached_complained": has(Fact.COMPLAINED),
        **{name: _ROWS.c[column].is_not(None) for name, column in PEOPLE.items()},
    }
    figures = {
        "total": func.count(),
        "duplicates": func.coalesce(func.sum(_ROWS.c.duplicates), 0),
        **{
            name: func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
            for name, condition in conditions.items()
        },
    }
    row = session.execute(
        select(*(f.cast(Integer).label(n) for n, f in figures.items())).where(
            _ROWS.c.campaign_id == campaign_id
        )
    ).one()
    return {name: int(getattr(row, name)) for name in counter_names()}
