"""How many mails of a campaign will probably bounce: a range, from verdicts and from history.

The ranges of doubted addresses are rules of thumb, not measurements; only the share of earlier
mails is this installation's own. What comes out is a warning, never a promise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from domain.statuses import Risk

#: SES puts an account under review from 5 % hard bounces and may stop it at 10 % (SES FAQ,
#: "Sending review process").
REVIEW_PERCENT, STOP_PERCENT = 5.0, 10.0
#: So many earlier mails say more than a rule of thumb does.
ENOUGH_MAILS = 500
#: Lowest and highest share of hard bounces that is usual for addresses with such a verdict.
_USUAL = (0.003, 0.04)
_UNCHECKED_MOST = 0.15
_UNDELIVERABLE = (0.8, 1.0)
_OF_RISK = {
    Risk.TYPO: (0.2, 0.95),
    Risk.SES_DOUBTS: (0.05, 0.4),
    Risk.SOFT_BOUNCED: (0.03, 0.3),
    Risk.DISPOSABLE: (0.02, 0.3),
    Risk.UNKNOWN: (0.01, 0.2),
    Risk.ROLE: (0.005, 0.08),
    Risk.COMPLAINED: (0.003, 0.04),
    Risk.UNSUBSCRIBED: (0.003, 0.04),
}


@dataclass(frozen=True, slots=True)
class Sendable:
    """Whom a campaign would send to, by verdict; `risks` counts rows by their set of Risk."""

    deliverable: int
    unchecked: int
    undeliverable: int
    risks: Mapping[int, int]

    @property
    def total(self) -> int:
        """All of them."""
        return self.deliverable + self.unchecked + self.undeliverable + sum(self.risks.values())


@dataclass(frozen=True, slots=True)
class Outlook:
    """Percent of the mails that will bounce for good: probably between `low` and `high`."""

    low: float
    high: float
    mails: int
    earlier_mails: int  # the history behind it; 0 = rules of thumb alone

    @property
    def level(self) -> str:
        """ok, warn (may reach the review limit) or fail (reaches it even at the best)."""
        if self.low >= REVIEW_PERCENT or self.high >= 2 * STOP_PERCENT:
            return "fail"
        return "warn" if self.high >= REVIEW_PERCENT else "ok"


def outlook(sendable: Sendable, bounced: int, accepted: int) -> Outlook | None:
    """The range for a campaign; `bounced` of `accepted` earlier mails came back for good.

    None if nobody would be sent to.
    """
    if not sendable.total:
        return None
    known = accepted >= ENOUGH_MAILS
    low, high = _interval(bounced, accepted) if known else _USUAL
    parts = [
        (sendable.deliverable, low, high),
        (sendable.unchecked, low, max(high, _UNCHECKED_MOST)),
        (sendable.undeliverable, *_UNDELIVERABLE),
    ]
    for risks, amount in sendable.risks.items():
        ranges = [_OF_RISK[risk] for risk in Risk if risk & risks]
        worst = max((one[0] for one in ranges), default=low)
        parts.append((amount, max(low, worst), max([high, *(one[1] for one in ranges)])))
    return Outlook(
        low=100 * sum(amount * least for amount, least, _ in parts) / sendable.total,
        high=100 * sum(amount * most for amount, _, most in parts) / sendable.total,
        mails=sendable.total,
        earlier_mails=accepted if known else 0,
    )


def _interval(bounced: int, accepted: int) -> tuple[float, float]:
    """Between what shares the true one lies with 95 % certainty (Wilson's score interval)."""
    z = 1.96
    share = bounced / accepted
    middle = share + z * z / (2 * accepted)
    reach = z * math.sqrt(share * (1 - share) / accepted + z * z / (4 * accepted**2))
    whole = 1 + z * z / accepted
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)
