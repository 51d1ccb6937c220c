"""What becomes of claimed rows: results recorded, rows given back, the live curve.

Each function is one piece of a short transaction of the scheduler; none of them talks to SES.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Table, bindparam, text, update
from sqlalchemy.orm import Session

from domain.send_outcomes import GIVE_BACK, Outcome, SendResult
from domain.statuses import Fact, RecipientStatus, is_accepted
from models import Recipient
from services import acceptances, ledger, older_attempts
from services.acceptances import Acceptance
from services.claims import ClaimedRow
from services.ledger import FactChange

_ROWS = cast(Table, Recipient.__table__)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one claimed row, and when."""

    row: ClaimedRow
    result: SendResult
    at: datetime


def record_results(session: Session, reports: Sequence[Report], now: datetime) -> None:
    """Write what SES answered, for the rows whose attempt is still the present one.

    Accepted, refused and unknown answers are facts; after all others the row is pending again.
    """
    usual: dict[int, Report] = {}  # the first of a row; whatever else is told goes on below
    for report in reports:
        if report.result.outcome is Outcome.ACCEPTED and report.result.message_id:
            usual.setdefault(report.row.id, report)
    if len(usual) < len(reports):  # all rows before any counter, or two workers may deadlock
        ledger.lock_rows(session, {report.row.id for report in reports})
    written = acceptances.record_plain(session, [_acceptance(r) for r in usual.values()], now)
    if len(written) == len(reports):
        return
    done = {id(usual[row_id]) for row_id in written}
    left = [report for report in reports if id(report) not in done]
    changes = [_fact(report) for report in left if report.result.outcome not in GIVE_BACK]
    if changes:
        transitions = ledger.apply_changes(session, changes, now).transitions
        failed = [t.recipient_id for t in transitions if t.status_after is RecipientStatus.FAILED]
        older_attempts.take_back(session, failed, now)
    not_sent = [report for report in left if report.result.outcome in GIVE_BACK]
    if not_sent:
        release(session, not_sent, now)


def _acceptance(report: Report) -> Acceptance:
    message_id = report.result.message_id or ""
    return Acceptance(report.row.id, report.row.attempt_id, message_id, report.at)


def _fact(report: Report) -> FactChange:
    if report.result.outcome is Outcome.ACCEPTED:
        return FactChange(
            report.row.id,
            report.row.attempt_id,
            Fact.ACCEPTED,
            report.at,
            message_id=report.result.message_id,
        )
    unknown = report.result.outcome is Outcome.UNKNOWN
    return FactChange(
        report.row.id,
        report.row.attempt_id,
        Fact.DOUBTED if unknown else Fact.REFUSED,
        report.at,
        reason_code=report.result.code,
        reason=report.result.reason,
    )


def release(session: Session, reports: Sequence[Report], now: datetime) -> list[int]:
    """Give rows back that certainly were not sent: pending again, without a used-up attempt.

    A row for which an event has arrived all the same keeps what the event said.
    """
    locked = ledger.lock_rows(session, (report.row.id for report in reports))
    pairs = {(report.row.id, report.row.attempt_id) for report in reports}
    free = [pair for pair in pairs if pair[0] in locked and not is_accepted(locked[pair[0]].facts)]
    released = ledger.return_to_pending(
        session, free, "It was not handed to SES.", now, was_submitted=False
    )
    older_attempts.take_back(session, [i for i in released if locked[i].duplicates], now)
    marked = [row_id for row_id in released if locked[row_id].submitted_at is not None]
    if marked:
        statement = update(_ROWS).where(_ROWS.c.id == bindparam("b_id"))
        session.connection().execute(
            statement.values(attempts=_ROWS.c.attempts - 1),
            [{"b_id": row_id} for row_id in marked],
        )
    return released


def add_rate_samples(session: Session, accepted: Mapping[tuple[int, int], int]) -> None:
    """Add accepted mails per (campaign id, five-second slot) to the live curve."""
    session.execute(
        text(
            "INSERT INTO rate_samples (campaign_id, slot, accepted) VALUES (:c, :s, :n)"
            " ON CONFLICT (campaign_id, slot)"
            " DO UPDATE SET accepted = rate_samples.accepted + excluded.accepted"
        ),
        [{"c": c, "s": s, "n": n} for (c, s), n in sorted(accepted.items())],
    )
