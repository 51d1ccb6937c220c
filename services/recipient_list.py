"""One page of a campaign's recipients: by state, by the start of an address, or by domain.

Keyset pages: a page begins after the last row of the one before, so that page 10,000 is as fast
as the first and rows never shift under the reader. Order is import order; a search for an
address is in the order of addresses, which its index gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.orm import Session

from domain.addresses import address_key
from domain.statuses import RecipientStatus, Verdict
from models import Recipient
from services.suppression import prefix_range

PAGE_SIZE = 50


@dataclass(frozen=True)
class RecipientPage:
    """Rows in order; the cursors are ids for `before` and `after`, None where nothing is more."""

    rows: Sequence[Recipient]
    before: int | None
    after: int | None


def recipient_page(
    session: Session,
    campaign_id: int,
    *,
    status: RecipientStatus | None = None,
    verdict: Verdict | None = None,
    text: str = "",
    after: int | None = None,
    before: int | None = None,
    limit: int = PAGE_SIZE,
) -> RecipientPage:
    """The page that follows the row `after`, or the one that ends before the row `before`.

    `text` is the start of an address, or `@` and the start of a domain, in capitals or not.
    """
    text = _normal(text)
    by_address = bool(text) and not text.startswith("@")
    key: Any = Recipient.address if by_address else Recipient.id
    query = select(Recipient).where(
        Recipient.campaign_id == campaign_id, *_filter(status, verdict, text)
    )
    cursor = after if before is None else before
    edge = _edge(session, campaign_id, cursor, by_address=by_address)
    backwards = before is not None and edge is not None
    if edge is not None:
        query = query.where(key < edge if backwards else key > edge)
    query = query.order_by(key.desc() if backwards else key).limit(limit + 1)
    rows = list(session.scalars(query))
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return RecipientPage([], None, None)
    earlier = more if backwards else edge is not None
    later = True if backwards else more
    return RecipientPage(rows, rows[0].id if earlier else None, rows[-1].id if later else None)


def _normal(text: str) -> str:
    text = text.strip().lower()
    return address_key(text) if "@" in text[1:] and not text.endswith("@") else text


def _filter(
    status: RecipientStatus | None, verdict: Verdict | None, text: str
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if status is not None:
        conditions.append(Recipient.status == status)
    if verdict is not None:
        # Written out, so that SQLite can see that its partial index on verdicts serves.
        written: ColumnElement[str] = bindparam(None, verdict.value, literal_execute=True)
        conditions.append(Recipient.verdict == written)
    if text.startswith("@"):
        conditions.append(Recipient.address.contains(text, autoescape=True))
    elif text:
        conditions.append(prefix_range(Recipient.address, text))
    return conditions


def _edge(session: Session, campaign_id: int, cursor: int | None, *, by_address: bool) -> Any:
    """The key of the row a page begins or ends at; None for a row that is not there."""
    if cursor is None or not by_address:
        return cursor
    return session.scalar(
        select(Recipient.address).where(
            Recipient.id == cursor, Recipient.campaign_id == campaign_id
        )
    )


def find_recipient(session: Session, campaign_id: int, recipient_id: int) -> Recipient | None:
    """One recipient of a campaign."""
    return session.scalar(
        select(Recipient).where(Recipient.id == recipient_id, Recipient.campaign_id == campaign_id)
    )
