"""Taking rows to send: the claim, the mark before the call, and the sweep of lost workers.

The claim is the only place besides services.ledger that changes a recipient's state. Each
function is one piece of a short transaction of the scheduler; none of them talks to SES.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, TextClause, select, text
from sqlalchemy.orm import Session

from database import epoch_now, is_sqlite, text_array
from domain.statuses import Fact, RecipientStatus
from models import Recipient
from services import counters, ledger
from services.ledger import FactChange
from services.suppression_patterns import covered_sql

_ROWS = cast(Table, Recipient.__table__)
_SENDING = RecipientStatus.SENDING.value


class ClaimedRow(NamedTuple):
    """A row this worker holds under a lease until `lease_until` (database time, epoch s)."""

    id: int
    campaign_id: int
    email: str
    address_hash: bytes
    variables: str  # a JSON object of strings
    attempt_id: str
    lease_until: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim brought: rows to send, rows it skipped, and where to look next time."""

    rows: list[ClaimedRow]
    skipped: int
    last_id: int  # the highest id it looked at; a hint for the next claim's `floor`


_CLAIM = """
WITH candidates AS MATERIALIZED (
    SELECT id, address_hash, verdict, risks FROM recipients
    WHERE campaign_id = :campaign_id AND status = 'pending' AND id > :floor
    ORDER BY id LIMIT :look_at {lock}
), judged AS MATERIALIZED (
    SELECT c.id AS id, CASE
        WHEN s.reason IS NOT NULL THEN s.reason
        {covered}
        WHEN c.verdict = 'undeliverable' AND NOT :send_undeliverable THEN 'undeliverable'
        WHEN c.risks & (SELECT skip_risks FROM campaigns WHERE id = :campaign_id) <> 0
            THEN 'left_out'
    END AS obstacle
    FROM candidates c LEFT JOIN suppressions s ON s.address_hash = c.address_hash
), numbered AS (
    SELECT id, obstacle,
        row_number() OVER (PARTITION BY obstacle IS NULL ORDER BY id) AS number
    FROM judged
), picked AS (
    SELECT id, obstacle, number FROM numbered WHERE obstacle IS NOT NULL OR number <= :limit
)
UPDATE recipients SET
    status = CASE WHEN picked.obstacle IS NULL THEN 'sending' ELSE 'skipped' END,
    facts = CASE WHEN picked.obstacle IS NULL THEN {claimed} ELSE {skipped} END,
    attempt_id = CASE WHEN picked.obstacle IS NULL THEN {attempt} END,
    lease_until = CASE WHEN picked.obstacle IS NULL THEN {now} + :lease END,
    worker = :worker,
    reason_code = CASE picked.obstacle WHEN 'undeliverable' THEN 'undeliverable'
        WHEN 'unsubscribed' THEN 'unsubscribed' WHEN 'left_out' THEN 'left_out'
        ELSE CASE WHEN picked.obstacle IS NOT NULL THEN 'suppressed' END END,
    reason = CASE picked.obstacle
        WHEN 'undeliverable' THEN 'Verification found that this address cannot receive mail.'
        WHEN 'left_out' THEN 'Verification doubts this address; the campaign leaves such ones out.'
        WHEN 'unsubscribed' THEN 'This person has unsubscribed.'
        WHEN 'complained' THEN 'On the suppression list: complained about an earlier mail.'
        WHEN 'bounced' THEN 'On the suppression list: an earlier mail bounced for good.'
        WHEN 'soft_bounces' THEN 'On the suppression list: earlier mails bounced too often.'
        WHEN 'account_list' THEN 'On the suppression list: SES has it on its own list.'
        WHEN 'covered' THEN 'On the suppression list: a domain or wildcard covers this address.'
        ELSE CASE WHEN picked.obstacle IS NOT NULL THEN 'On the suppression list.' END END,
    reason_at = CASE WHEN picked.obstacle IS NOT NULL THEN {now} END,
    updated_at = {now}
FROM picked WHERE recipients.id = picked.id
RETURNING recipients.id, recipients.status, recipients.email, recipients.address_hash,
    recipients.variables, recipients.attempt_id, recipients.lease_until
"""


_COVERED = f"""WHEN EXISTS (SELECT 1 FROM suppressed_patterns) AND EXISTS
            (SELECT 1 FROM recipients r WHERE r.id = c.id
                AND {covered_sql("r.address", "r.domain")}) THEN 'covered'"""  # noqa: S608 - constants


def _claim_statement(*, sqlite: bool) -> TextClause:
    if sqlite:
        now = "((julianday('now') - 2440587.5) * 86400.0)"
        attempt = "lower(hex(substr(:random, 16 * picked.number - 15, 16)))"
        lock = ""
    else:
        now = "(SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision))"  # once
        start = "CAST(16 * picked.number - 15 AS int)"
        attempt = f"encode(substr(CAST(:random AS bytea), {start}, 16), 'hex')"
        lock = "FOR UPDATE SKIP LOCKED"
    return text(
        _CLAIM.format(
            now=now,
            attempt=attempt,
            lock=lock,
            covered=_COVERED,
            claimed=int(Fact.CLAIMED),
            skipped=int(Fact.SKIPPED),
        )
    )


_CLAIM_SQLITE = _claim_statement(sqlite=True)
_CLAIM_POSTGRES = _claim_statement(sqlite=False)


def claim(
    session: Session,
    *,
    campaign_id: int,
    limit: int,
    worker: str,
    lease_seconds: float,
    send_undeliverable: bool = False,
    floor: int = 0,
    look_at: int | None = None,
) -> Claim:
    """Take up to `limit` pending rows of a campaign, each with a new attempt id and a lease.

    One statement. Suppressed rows among the candidates become `skipped`, and so do undeliverable
    ones unless the campaign sends to them; `look_at` (at least `limit`) says how many candidates
    to look at, so that a long run of suppressed rows passes quickly. `floor` is a hint: only
    ids above it are looked at, which steps over what is already sent.
    """
    found = (
        session.connection()
        .execute(
            _CLAIM_SQLITE if is_sqlite(session) else _CLAIM_POSTGRES,
            {
                "campaign_id": campaign_id,
                "floor": floor,
                "look_at": max(limit, look_at or limit),
                "send_undeliverable": send_undeliverable,
                "limit": limit,
                "random": os.urandom(16 * limit),  # 128 bits for each attempt's id
                "lease": lease_seconds,
                "worker": worker,
            },
        )
        .all()
    )
    rows = [
        ClaimedRow(row_id, campaign_id, email, address_hash, variables, attempt_id, lease_until)
        for row_id, status, email, address_hash, variables, attempt_id, lease_until in found
        if status == _SENDING
    ]
    rows.sort(key=itemgetter(0))
    skipped = len(found) - len(rows)
    return Claim(rows, skipped, max((r[0] for r in found), default=floor))


def count_claims(session: Session, claims: dict[int, Claim]) -> None:
    """Move the counters for what claims took, in campaign order (after all claims)."""
    counters.add(
        session,
        {
            campaign_id: {
                "pending": -len(claim.rows) - claim.skipped,
                "sending": len(claim.rows),
                "skipped": claim.skipped,
            }
            for campaign_id, claim in claims.items()
        },
    )


#: The sign after `status` keeps PostgreSQL from going through the small index of open rows, which
#: has all that were sent since the last vacuum in it.
_MARK_SQLITE = text(
    "WITH told AS MATERIALIZED"
    " (SELECT value ->> 0 AS id, value ->> 1 AS attempt FROM json_each(:told))"
    " UPDATE recipients SET submitted_at = ((julianday('now') - 2440587.5) * 86400.0),"
    " attempts = attempts + 1 FROM told"
    " WHERE recipients.id = told.id AND recipients.attempt_id = told.attempt"
    " AND recipients.status || '' = 'sending' AND recipients.submitted_at IS NULL"
    " RETURNING recipients.id"
)
_MARK_POSTGRES = text(
    "UPDATE recipients SET submitted_at ="
    " CAST(extract(epoch FROM clock_timestamp()) AS double precision),"
    " attempts = attempts + 1"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS text[])) AS m(id, attempt)"
    " WHERE recipients.id = m.id AND recipients.attempt_id = m.attempt"
    " AND recipients.status || '' = 'sending' AND recipients.submitted_at IS NULL"
    " RETURNING recipients.id"
)


def mark_submitted(session: Session, rows: Iterable[ClaimedRow]) -> set[int]:
    """Note that these rows are about to be handed to SES; only the returned ids may be.

    Must be committed before the call: from then on a lost answer is doubt, not a free retry.
    """
    wanted = sorted(rows, key=itemgetter(0))
    if not wanted:
        return set()
    parameters: dict[str, Any]
    if is_sqlite(session):
        statement = _MARK_SQLITE
        parameters = {"told": json.dumps([(row.id, row.attempt_id) for row in wanted])}
    else:
        statement = _MARK_POSTGRES
        parameters = {
            "ids": text_array(str(row.id) for row in wanted),
            "attempts": text_array(row.attempt_id for row in wanted),
        }
    found = session.connection().execute(statement, parameters)
    return set(found.scalars())


def sweep_expired_leases(session: Session, now: datetime, limit: int = 500) -> tuple[int, int]:
    """Take rows from workers whose lease is over: (made pending, put in doubt).

    Never submitted means that nobody can have sent it, so it is free again; a submitted one may
    have left, so it waits for an event.
    """
    query = (
        select(_ROWS.c.id, _ROWS.c.attempt_id, _ROWS.c.submitted_at)
        .where(
            text("status IN ('sending', 'in_doubt')"),
            _ROWS.c.status == RecipientStatus.SENDING,
            _ROWS.c.lease_until < epoch_now(),
        )
        # The sign keeps SQLite from reading the whole table in this order, which it holds to be
        # cheaper than the small index of open rows; 0.2 s in a million, and that every second.
        .order_by(text("+recipients.id"))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    expired = session.execute(query).all()
    free = [(row.id, row.attempt_id) for row in expired if row.submitted_at is None]
    lost = [
        FactChange(
            row.id,
            row.attempt_id,
            Fact.DOUBTED,
            now,
            reason_code="worker_lost",
            reason="The worker that was sending this mail stopped before it could say how it went.",
        )
        for row in expired
        if row.submitted_at is not None
    ]
    if free:
        ledger.return_to_pending(
            session, free, "Its worker stopped before sending.", now, was_submitted=False
        )
    if lost:
        ledger.apply_changes(session, lost, now)
    return len(free), len(lost)
