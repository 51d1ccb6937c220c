"""One page of a campaign's recipients: by state, by the start of an address, or by domain.

Keyset pages: a page begins after the last row of the one before, so that page 10,000 is as fast
as the first and rows never shift under the reader. Order is import order; a search is in the
order of addresses, or of domains and then import order, which its index gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, select, type_coerce
from sqlalchemy.orm import Session

from domain.addresses import address_key
from domain.statuses import RecipientStatus, Verdict
from models import CampaignCounters, Recipient

PAGE_SIZE = 50
#: A state with no more rows than this is looked through row by row when it is searched; in a
#: larger one the next match is near wherever the search begins.
_FEW_ROWS = 5_000
_LAST = "\U0010ffff"


@dataclass(frozen=True)
class RecipientPage:
    """Rows in order; the cursors are ids for `before` and `after`, None where nothing is more."""

    rows: Sequence[Recipient]
    before: int | None
    after: int | None


@dataclass(frozen=True)
class _Order:
    """Columns that give the order, the first of them searched for what begins with `start`."""

    columns: tuple[Any, ...]
    start: str = ""

    def ranges(
        self, edge: tuple[Any, ...] | None, *, backwards: bool
    ) -> list[list[ColumnElement[bool]]]:
        """The ranges that hold the rows beyond the edge, nearest first; one index range each."""
        first, second = self.columns[0], self.columns[-1]
        ranges = []
        if edge is not None and len(edge) > 1:
            beyond = second < edge[1] if backwards else second > edge[1]
            ranges.append([first == edge[0], beyond])
        rest = []
        if self.start and (edge is None or backwards):
            rest.append(first >= self.start)
        if self.start and (edge is None or not backwards):
            rest.append(first < self.start + _LAST)
        if edge is not None:
            rest.append(first < edge[0] if backwards else first > edge[0])
        return [*ranges, rest]


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
    text = normal_search(text)
    few = bool(text and status) and _has_few(session, campaign_id, status)
    order = _order(text, few=few)
    edge = _edge(session, campaign_id, after if before is None else before, text)
    backwards = before is not None and edge is not None
    query = (
        select(Recipient)
        .where(Recipient.campaign_id == campaign_id)
        .where(*_filter(status, verdict, searched=bool(text), few=few))
        .order_by(*(c.desc() if backwards else c for c in order.columns))
    )
    rows: list[Recipient] = []
    for bounds in order.ranges(edge, backwards=backwards):
        missing = limit + 1 - len(rows)
        rows += session.scalars(query.where(*bounds).limit(missing)) if missing else ()
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return RecipientPage([], None, None)
    earlier = more if backwards else edge is not None
    later = True if backwards else more
    return RecipientPage(rows, rows[0].id if earlier else None, rows[-1].id if later else None)


def normal_search(text: str) -> str:
    """What is searched for, as keys are spelt: `@` and the start of a domain, or of an address."""
    text = text.strip().lower()
    if text.startswith("@"):
        return "" if text == "@" else address_key(f"x{text}").removeprefix("x")
    return address_key(text) if "@" in text and not text.endswith("@") else text


def _order(text: str, *, few: bool) -> _Order:
    """By the index of addresses, of domains or of ids; `few` rows are sorted instead."""
    if not text:
        return _Order((Recipient.id,))
    if text.startswith("@"):
        return _Order((_unindexed(Recipient.domain) if few else Recipient.domain, Recipient.id),
                      text[1:])  # fmt: skip
    return _Order((_unindexed(Recipient.address) if few else Recipient.address,), text)


def _unindexed(column: Any) -> Any:
    """The same text, for which the planner knows no index."""
    return type_coerce(column, String).concat("")


def _has_few(session: Session, campaign_id: int, status: RecipientStatus | None) -> bool:
    counters = session.get(CampaignCounters, campaign_id)
    return (
        counters is not None
        and status is not None
        and (getattr(counters, status.value) <= _FEW_ROWS)
    )


def _filter(
    status: RecipientStatus | None, verdict: Verdict | None, *, searched: bool, few: bool
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if status is not None and searched and not few:
        conditions.append(_unindexed(Recipient.status) == status.value)
    elif status is not None:
        conditions.append(Recipient.status == status)
    if verdict is not None:
        # Written out, so that SQLite can see that its partial index on verdicts serves.
        written: ColumnElement[str] = bindparam(None, verdict.value, literal_execute=True)
        conditions.append(Recipient.verdict == written)
    return conditions


def _edge(
    session: Session, campaign_id: int, cursor: int | None, text: str
) -> tuple[Any, ...] | None:
    """The place of the row a page begins or ends at; None for a row that is not there."""
    if cursor is None:
        return None
    if not text:
        return (cursor,)
    columns = (Recipient.domain, Recipient.id) if text.startswith("@") else (Recipient.address,)
    found = session.execute(
        select(*columns).where(Recipient.id == cursor, Recipient.campaign_id == campaign_id)
    ).one_or_none()
    return None if found is None else tuple(found)


def find_recipient(session: Session, campaign_id: int, recipient_id: int) -> Recipient | None:
    """One recipient of a campaign."""
    return session.scalar(
        select(Recipient).where(Recipient.id == recipient_id, Recipient.campaign_id == campaign_id)
    )
