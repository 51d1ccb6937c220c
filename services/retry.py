"""Retry failed: what failed by class of reason, and putting such rows back to pending."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, case, func, or_, select
from sqlalchemy.orm import Session

from domain.statuses import CampaignStatus, Fact, RecipientStatus
from models import Recipient
from services import ledger
from services.campaigns import Refused, lock_campaign

_ROWS = cast(Table, Recipient.__table__)
_FAILED = (RecipientStatus.FAILED, RecipientStatus.REJECTED)
#: Facts that say that a copy reached a mailbox or is on its way there: never sent again.
_ON_ITS_WAY = (
    Fact.DELAYED
    | Fact.DELIVERED
    | Fact.SOFT_BOUNCED
    | Fact.MAYBE_AUTO_REPLY
    | Fact.BOUNCED
    | Fact.COMPLAINED
)
#: Of a person who asked to be erased nothing is left to send to.
_NOT_ERASED = _ROWS.c.email != ""
#: What a row without a code is listed under.
NO_CODE = "unknown"


@dataclass(frozen=True, slots=True)
class FailedClass:
    """Failed rows of one reason: how many can be retried, how many cannot (and stay).

    `example` is one of their reasons in words.
    """

    reason_code: str
    example: str
    retryable: int
    on_their_way: int


def failed_classes(session: Session, campaign_id: int) -> list[FailedClass]:
    """The failed and rejected rows of a campaign by reason, most first."""
    code = func.coalesce(_ROWS.c.reason_code, NO_CODE)
    gone = func.sum(case((_on_its_way(), 1), else_=0))
    query = (
        select(code, func.min(_ROWS.c.reason), func.count(), gone)
        .where(_ROWS.c.campaign_id == campaign_id, _ROWS.c.status.in_(_FAILED), _NOT_ERASED)
        .group_by(code)
        .order_by(func.count().desc(), code)
    )
    return [
        FailedClass(name, example or "", int(count) - int(lost), int(lost))
        for name, example, count, lost in session.execute(query)
    ]


def _on_its_way() -> ColumnElement[bool]:
    told: ColumnElement[bool] = _ROWS.c.facts.bitwise_and(int(_ON_ITS_WAY)) != 0
    return or_(told, _ROWS.c.duplicates > 0)  # a copy of an older attempt came


def retry_failed(
    session: Session,
    campaign_id: int,
    reason_codes: Collection[str],
    now: datetime,
    by: str,
    *,
    limit: int = 400,
) -> int:
    """Put up to `limit` failed rows of these classes back to pending; how many.

    Call it in one writing step after another until it returns 0. A campaign that was sent
    sends again; raises Refused for one that is cancelled or was never launched.
    """
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in (CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.SENT):
        raise Refused(f"This campaign is {campaign.status}: nothing of it can be retried.")
    code = func.coalesce(_ROWS.c.reason_code, NO_CODE)
    query = (
        select(_ROWS.c.id, _ROWS.c.attempt_id)
        .where(
            _ROWS.c.campaign_id == campaign_id,
            _ROWS.c.status.in_(_FAILED),
            code.in_(list(reason_codes)),
            ~_on_its_way(),
            _NOT_ERASED,
        )
        .order_by(_ROWS.c.id)
        .limit(limit)
    )
    rows: list[tuple[Any, Any]] = [(row.id, row.attempt_id) for row in session.execute(query)]
    changed = ledger.return_to_pending(
        session, rows, f"Failed; retried by {by}.", now, was_submitted=True
    )
    if changed and campaign.status is CampaignStatus.SENT:
        campaign.status = CampaignStatus.SENDING
        campaign.finished_at = None
        campaign.updated_at = now
        session.flush()
    return len(changed)
