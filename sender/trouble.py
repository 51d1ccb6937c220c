"""When SES cannot be reached or answers with nothing but errors: wait longer and longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.send_outcomes import Outcome
from services.sending import Report

#: Codes of mails that this process gave back itself: they say nothing about SES.
OWN_CODES = frozenset({"stopping", "stale", "database", "lease_over"})
#: So many answers of one kind in a row, without a single good one, are trouble.
_IN_A_ROW = 10
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Claim nothing until `until` (the clock of `note`); `sentence` is what SES or the net said."""

    until: float
    sentence: str
    times: int  # how often in a row it was met


class Trouble:
    """Counts bad answers in a row; a good one ends the trouble."""

    def __init__(self) -> None:
        self.hold: Hold | None = None
        self._bad = 0
        self._times = 0

    def note(self, reports: Sequence[Report], now: float) -> bool:
        """Take in what a flush brought; whether a (longer) hold began with it."""
        sentence = ""
        for report in reports:
            outcome, code = report.result.outcome, report.result.code
            if outcome in (Outcome.NOT_SUBMITTED, Outcome.UNKNOWN):
                if code not in OWN_CODES:
                    self._bad += 1
                    sentence = report.result.reason or "SES could not be reached."
            else:
                self._bad = self._times = 0
                self.hold = None
        holding = self.hold is not None and now < self.hold.until
        needed = _IN_A_ROW if self._times == 0 else 1
        if not sentence or self._bad < needed or holding:
            return False
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**self._times)
        self._times += 1
        self._bad = 0
        self.hold = Hold(now + wait, sentence, self._times)
        return True

    def holds(self, now: float) -> bool:
        """Whether nothing should be claimed now."""
        return self.hold is not None and now < self.hold.until
