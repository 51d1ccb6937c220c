"""What answers mean for campaigns: stop one, stop all, explain the sandbox, wait for SES."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from config import Settings
from domain.send_outcomes import Outcome
from sender.clocks import boottime
from sender.trouble import Trouble
from services import lifecycle
from services.lifecycle import Wait
from services.sending import Report

#: So many recipients in a row that are "not verified" pause the campaign (DESIGN section 3).
_SANDBOX_IN_A_ROW = 3
#: A simulator that does not answer after so many holds is not there.
_HOLDS_UNTIL_STOP = 4
#: `first_sent_at` and `last_sent_at` are kept this fresh: the row is large (seconds).
_FRESH_SECONDS = 2.0


class Consequences:
    """Holds what has to be remembered between two flushes of one process."""

    def __init__(self, settings: Settings, trouble: Trouble) -> None:
        self._settings = settings
        self._trouble = trouble
        self._not_verified: dict[int, int] = defaultdict(int)
        self._times: dict[int, tuple[datetime, datetime]] = {}
        self._times_written_at: dict[int, float] = {}

    def apply(self, session: Session, reports: Sequence[Report], now: datetime) -> None:
        """Change campaigns as the answers demand; part of the flush that writes them."""
        for report in reports:
            if report.result.outcome is not Outcome.ACCEPTED or self._not_verified:
                self._one(session, report, now)
        self._keep_times(session, reports)
        if self._trouble.note(reports, boottime()):
            self._hold(session, now)

    def _one(self, session: Session, report: Report, now: datetime) -> None:
        campaign_id, result = report.row.campaign_id, report.result
        code, sentence = result.code or result.outcome.value, result.reason or ""
        if result.outcome is Outcome.STOP_CAMPAIGN:
            lifecycle.stop(session, [campaign_id], code, sentence, now)
        elif result.outcome is Outcome.STOP_ACCOUNT:
            lifecycle.stop(session, None, code, sentence, now)
        elif result.outcome is Outcome.RECIPIENT_NOT_VERIFIED:
            self._not_verified[campaign_id] += 1
            if self._not_verified[campaign_id] >= _SANDBOX_IN_A_ROW:
                self._not_verified[campaign_id] = 0
                lifecycle.stop(session, [campaign_id], "sandbox", sentence, now)
        elif result.outcome is Outcome.ACCEPTED:
            self._not_verified.pop(campaign_id, None)

    def _keep_times(self, session: Session, reports: Sequence[Report]) -> None:
        accepted: dict[int, list[datetime]] = defaultdict(list)
        for report in reports:
            if report.result.outcome is Outcome.ACCEPTED:
                accepted[report.row.campaign_id].append(report.at)
        for campaign_id, times in accepted.items():
            times.extend(self._times.get(campaign_id, ()))
            self._times[campaign_id] = min(times), max(times)
        now = boottime()
        due = {
            campaign_id: kept
            for campaign_id, kept in self._times.items()
            if now - self._times_written_at.get(campaign_id, 0.0) >= _FRESH_SECONDS
        }
        lifecycle.mark_first_and_last(session, due)
        for campaign_id in due:
            self._times_written_at[campaign_id] = now
            del self._times[campaign_id]

    def _hold(self, session: Session, now: datetime) -> None:
        hold = self._trouble.hold
        if hold is None:
            return
        sending = [c.id for c in lifecycle.sending_campaigns(session, with_pending=False)]
        if self._settings.uses_simulator and hold.times >= _HOLDS_UNTIL_STOP:
            sentence = f"The simulator does not answer: {hold.sentence} Start it, then resume."
            lifecycle.stop(session, sending, "simulator_down", sentence, now)
            return
        until = datetime.fromtimestamp(
            now.timestamp() + max(0.0, hold.until - boottime()), UTC
        ) + timedelta(milliseconds=1)
        sentence = f"Trying again soon. {hold.sentence}"
        lifecycle.wait_for(session, sending, Wait.UNREACHABLE, sentence, until)
