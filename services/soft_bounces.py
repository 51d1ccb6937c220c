"""When soft bounces become a reason to stop writing to an address.

The rule: three in a row, over different campaigns, within 90 days, without a delivery in
between. It is judged from the ledger each time, so that the order of events does not matter;
the streak table only remembers campaigns that were deleted since.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import cast

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from domain.bounces import counts_towards_giving_up
from domain.statuses import RecipientStatus, SuppressionReason
from models import Campaign, Recipient, SoftBounceStreak
from services.suppression import suppress, withdraw

BOUNCES_IN_A_ROW = 3
WITHIN_DAYS = 90
_ROWS = cast(Table, Recipient.__table__)


def with_a_streak(session: Session, hashes: Iterable[bytes]) -> list[bytes]:
    """Those of the address hashes that have bounced since their last delivery."""
    wanted = sorted(hashes)
    found: list[bytes] = []
    for start in range(0, len(wanted), 500):  # below SQLite's limit of bound variables
        column = SoftBounceStreak.address_hash
        query = select(column).where(column.in_(wanted[start : start + 500]))
        found += session.scalars(query)
    return found


def review(session: Session, addresses: Iterable[tuple[bytes, str]], now: datetime) -> None:
    """Judge these (address hash, address) afresh: suppress, or take such a suppression back."""
    for address_hash, address in sorted(set(addresses)):
        streak = _streak(session, address_hash, address)
        _remember(session, address_hash, streak, now)
        if len(streak) >= BOUNCES_IN_A_ROW:
            campaigns = sorted(streak)
            listed = ", ".join(str(campaign) for campaign in campaigns[-BOUNCES_IN_A_ROW:])
            suppress(
                session,
                address,
                SuppressionReason.SOFT_BOUNCES,
                f"{len(campaigns)} soft bounces in a row (campaigns {listed})",
                campaigns[-1],
                now,
            )
        else:
            withdraw(session, address_hash, SuppressionReason.SOFT_BOUNCES)


def _streak(session: Session, address_hash: bytes, address: str) -> dict[int, float]:
    """Campaign id → epoch seconds of the soft bounces since the last delivery, in the window."""
    rows = session.execute(
        select(
            _ROWS.c.campaign_id,
            _ROWS.c.status,
            _ROWS.c.reason_code,
            _ROWS.c.bounced_at,
            _ROWS.c.delivered_at,
        )
        # One probe of the unique key per campaign; there is no index by address alone.
        .where(_ROWS.c.campaign_id.in_(select(Campaign.id)), _ROWS.c.address == address)
    ).all()
    stored = session.get(SoftBounceStreak, address_hash)
    here = {row.campaign_id for row in rows}
    bounces = {c: at for c, at in (stored.bounces if stored else ()) if c not in here}
    for row in rows:
        soft = row.status is RecipientStatus.SOFT_BOUNCED and row.bounced_at is not None
        if soft and counts_towards_giving_up(row.reason_code):
            bounces[row.campaign_id] = row.bounced_at.timestamp()
    delivered = max((r.delivered_at.timestamp() for r in rows if r.delivered_at), default=0.0)
    newest = max(bounces.values(), default=0.0)
    oldest = max(delivered, newest - WITHIN_DAYS * 86_400)
    return {campaign: at for campaign, at in bounces.items() if at > oldest}


def _remember(
    session: Session, address_hash: bytes, streak: dict[int, float], now: datetime
) -> None:
    stored = session.get(SoftBounceStreak, address_hash)
    bounces = sorted([campaign, at] for campaign, at in streak.items())
    if stored is None and bounces:
        session.add(SoftBounceStreak(address_hash=address_hash, bounces=bounces, updated_at=now))
    elif stored is not None and not bounces:
        session.delete(stored)
    elif stored is not None and stored.bounces != bounces:
        stored.bounces, stored.updated_at = bounces, now
    session.flush()
