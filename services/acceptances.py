"""The answer that nearly every mail gets, recorded for many rows by one statement.

What services.ledger does with ACCEPTED for a row of which nothing but its claim is known, and
only that: whatever else is known of a row, its answer takes the general way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from database import is_sqlite, text_array
from domain.statuses import Fact
from services import counters


class Acceptance(NamedTuple):
    """SES took this attempt of a row at `at`, and calls it `message_id`."""

    recipient_id: int
    attempt_id: str
    message_id: str
    at: datetime


_SET = """
UPDATE recipients SET status = 'sent', facts = :after, message_id = told.message_id,
    sent_at = told.at, reason_at = told.at, reason_code = NULL, reason = NULL,
    lease_until = NULL, updated_at = :now
FROM told WHERE recipients.id = told.id
    AND recipients.attempt_id = told.attempt AND recipients.status || '' = 'sending'
    AND recipients.facts = :before AND recipients.message_id IS NULL
    AND recipients.sent_at IS NULL AND recipients.bounced_at IS NULL
"""
_RETURNING = " RETURNING recipients.id, recipients.campaign_id"
_GIVEN_SQLITE = """WITH told AS MATERIALIZED (
    SELECT value ->> 0 AS id, value ->> 1 AS attempt, value ->> 2 AS message_id, value ->> 3 AS at
    FROM json_each(:told)
)"""
#: Rows are locked in id order before any of them is written, as everywhere; those that are left to
#: the ledger, too, for it comes when the counters are locked.
_GIVEN_POSTGRES = """WITH told AS MATERIALIZED (
    SELECT recipients.id, given.attempt, given.message_id, given.at
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS text[]), CAST(:messages AS text[]),
        CAST(:times AS double precision[])) AS given(id, attempt, message_id, at)
    JOIN recipients ON recipients.id = given.id ORDER BY recipients.id FOR UPDATE OF recipients
)"""
_SQLITE = text(_GIVEN_SQLITE + _SET + _RETURNING)
_POSTGRES = text(_GIVEN_POSTGRES + _SET + _RETURNING)
_FACTS = {"before": int(Fact.CLAIMED), "after": int(Fact.CLAIMED | Fact.ACCEPTED)}


def record_plain(session: Session, given: Sequence[Acceptance], now: datetime) -> set[int]:
    """Record what can be recorded at once, counters included; the ids of those rows.

    One answer for a row at most. Rows that are not among the ids are as they were.
    """
    if not given:
        return set()
    ordered = sorted(given)
    parameters: dict[str, object] = {**_FACTS, "now": now.timestamp()}
    if is_sqlite(session):
        parameters["told"] = json.dumps(
            [(row_id, attempt, message, at.timestamp()) for row_id, attempt, message, at in ordered]
        )
        found = session.connection().execute(_SQLITE, parameters).all()
    else:
        parameters["ids"] = text_array(str(a.recipient_id) for a in ordered)
        parameters["attempts"] = text_array(a.attempt_id for a in ordered)
        parameters["messages"] = text_array(a.message_id for a in ordered)
        parameters["times"] = text_array(repr(a.at.timestamp()) for a in ordered)
        found = session.connection().execute(_POSTGRES, parameters).all()
    campaigns = Counter(campaign_id for _, campaign_id in found)
    counters.add(
        session,
        {c: {"sending": -n, "sent": n, "reached_accepted": n} for c, n in campaigns.items()},
    )
    return {recipient_id for recipient_id, _ in found}
