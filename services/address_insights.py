"""Asks SES about single addresses, at a pace it bears, and keeps the answers with their age.

Every question costs money: none is asked twice within `KEPT`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from aws.address_insights import CannotAsk, TooMany, ask_about
from database import is_sqlite
from domain.statuses import Verdict
from domain.verification import Insight, insight_of
from models import AddressInsight
from services.campaigns import Refused

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

#: SES is asked about an address again after this time.
KEPT = timedelta(days=30)
#: Questions a second: where it starts (AWS states no limit), and how slow it may become.
_START, _SLOWEST = 5.0, 0.1
_GIVE_UP_AFTER = 8
_AT_ONCE_IN_SQL = 500


@dataclass(slots=True)
class Asker:
    """One SES account, asked at a rate that halves when SES says that it is too much."""

    ses: SESV2Client
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    per_second: float = _START
    _next: float = field(default=0.0)

    def ask(self, email: str, now: datetime) -> Insight:
        """What SES says of an address; UNKNOWN if it does not judge it.

        Raises Refused with a sentence if SES cannot be asked at all.
        """
        for _ in range(_GIVE_UP_AFTER):
            self._wait()
            try:
                found = ask_about(self.ses, email)
            except TooMany:
                self.per_second = max(_SLOWEST, self.per_second / 2)
                continue
            except CannotAsk as problem:
                raise Refused(str(problem)) from problem
            self.per_second = min(_START, self.per_second * 1.02)
            return insight_of(found, now.date())
        raise Refused(
            "Amazon SES takes no more questions about addresses just now; what it answered is "
            "kept. Ask again later: it goes on from there."
        )

    def _wait(self) -> None:
        ahead = self._next - self.clock()
        if ahead > 0:
            self.sleep(ahead)
        self._next = max(self._next, self.clock()) + 1 / self.per_second


def known_insights(
    session: Session, hashes: Collection[bytes], now: datetime
) -> dict[bytes, Insight]:
    """What SES said of these addresses within `KEPT`."""
    found: dict[bytes, Insight] = {}
    wanted = list(hashes)
    for start in range(0, len(wanted), _AT_ONCE_IN_SQL):
        rows = session.execute(
            select(AddressInsight.address_hash, AddressInsight.verdict, AddressInsight.reason)
            .where(AddressInsight.address_hash.in_(wanted[start : start + _AT_ONCE_IN_SQL]))
            .where(AddressInsight.checked_at > now - KEPT)
        )
        found.update((row[0], Insight(row[1], row[2])) for row in rows)
    return found


def is_any_known(session: Session) -> bool:
    """Whether SES was ever asked about an address."""
    return session.scalar(select(AddressInsight.address_hash).limit(1)) is not None


def remember(session: Session, insights: dict[bytes, Insight], now: datetime) -> None:
    """Keep what SES said; what it did not judge is kept too, since it was paid for."""
    rows = [
        {"address_hash": hashed, "verdict": one.verdict, "reason": one.reason, "checked_at": now}
        for hashed, one in sorted(insights.items())
    ]
    if not rows:
        return
    table = cast(Table, AddressInsight.__table__)
    statement = (sqlite if is_sqlite(session) else postgresql).insert(table)
    new = {name: statement.excluded[name] for name in ("verdict", "reason", "checked_at")}
    session.execute(
        statement.on_conflict_do_update(index_elements=["address_hash"], set_=new), rows
    )


#: What SES can be asked about: an address that cannot receive mail is not worth a question.
ASKABLE = (Verdict.UNKNOWN, Verdict.RISKY, Verdict.DELIVERABLE)
