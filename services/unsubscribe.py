"""What a person's click on "unsubscribe" does: the address is suppressed for good, the campaign
counts it once, and nothing about it depends on rows that may be gone by then. A reader of a mail
that went to lists may leave those lists alone instead (services.list_preferences).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from domain.statuses import Fact, SuppressionReason
from domain.unsubscribe_tokens import UnsubscribeClaim
from models import Campaign, Recipient, Suppression
from services import counters, ledger, suppression
from services.ledger import FactChange

_ROWS = cast(Table, Recipient.__table__)


@dataclass(frozen=True, slots=True)
class Unsubscriber:
    """Who a link belongs to, as far as it is still known, for the page."""

    email: str | None
    campaign_name: str | None
    is_unsubscribed: bool


def look_up(session: Session, claim: UnsubscribeClaim) -> Unsubscriber:
    """What to show before the button is pressed; changes nothing."""
    row = row_of(session, claim)
    campaign = session.get(Campaign, claim.campaign_id)
    known = _suppression(session, claim)
    email = row.email if row is not None else known.address if known is not None else None
    return Unsubscriber(email, campaign.name if campaign else None, known is not None)


def is_blocked(session: Session, claim: UnsubscribeClaim) -> bool:
    """Whether the reader gets nothing for whatever reason, a blocked domain among them.

    Such a reader may still unsubscribe: the domain may be taken off the list one day.
    """
    row = row_of(session, claim)
    covered = row is not None and suppression.find(session, row.address) is not None
    return covered or _suppression(session, claim) is not None


def unsubscribe(session: Session, claim: UnsubscribeClaim, now: datetime) -> bool:
    """Suppress the address and count it for the campaign once; any number of times.

    True if the address was not suppressed before. `claim` must come from
    `domain.unsubscribe_tokens.read_token`, which checks that the link is ours. A test mail's
    link (recipient 0) suppresses as well: whoever clicks means it.
    """
    row = row_of(session, claim, lock=True)
    campaign = session.get(Campaign, claim.campaign_id)
    title = f"“{campaign.name}”" if campaign else f"campaign {claim.campaign_id}"
    added = suppression.suppress(
        session,
        row.address if row is not None else claim.address_hash,
        SuppressionReason.UNSUBSCRIBED,
        f"Unsubscribed with the link in {title}.",
        claim.campaign_id,
        now,
    )
    count_once(session, claim, now)
    return added


def count_once(session: Session, claim: UnsubscribeClaim, now: datetime) -> None:
    """Note with the campaign's row, if it is there, that its reader wants no more."""
    row = row_of(session, claim, lock=True)
    if row is not None and row.unsubscribed_at is None:
        fact = FactChange(row.id, None, Fact(0), now, earliest={"unsubscribed_at": now})
        ledger.apply_changes(session, [fact], now)


def give_reason(session: Session, claim: UnsubscribeClaim, reason: str) -> bool:
    """Keep why somebody unsubscribed, for the suppression list; False if they did not."""
    known = _suppression(session, claim)
    if known is None or known.reason is not SuppressionReason.UNSUBSCRIBED:
        return False
    known.note = reason
    session.flush()
    return True


def take_back(session: Session, claim: UnsubscribeClaim) -> bool:
    """Undo an unsubscribe (the person pressed the wrong button); False if there was none.

    Only a suppression that an unsubscribe made goes; a bounce or a complaint stays.
    """
    row = row_of(session, claim, lock=True)
    undone = suppression.withdraw(session, claim.address_hash, SuppressionReason.UNSUBSCRIBED)
    if undone:
        uncount(session, row)
    return undone


def uncount(session: Session, row: Recipient | None) -> None:
    """The campaign's row, if it is there, counts as unsubscribed no more."""
    if row is not None and row.unsubscribed_at is not None:
        session.execute(update(_ROWS).where(_ROWS.c.id == row.id).values(unsubscribed_at=None))
        counters.add(session, {row.campaign_id: {"unsubscribed": -1}})


def row_of(session: Session, claim: UnsubscribeClaim, *, lock: bool = False) -> Recipient | None:
    """The recipient row, if it is still there and still that address."""
    if not claim.recipient_id:
        return None
    query = select(Recipient).where(
        Recipient.id == claim.recipient_id,
        Recipient.campaign_id == claim.campaign_id,
        Recipient.address_hash == claim.address_hash,
    )
    return session.scalar(query.with_for_update() if lock else query)


def _suppression(session: Session, claim: UnsubscribeClaim) -> Suppression | None:
    return session.scalar(select(Suppression).where(Suppression.address_hash == claim.address_hash))
