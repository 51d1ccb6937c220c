"""Who opened or clicked: a person or a machine. A verdict over all opens and clicks of one mail.

Machines fetch images and links too: mail apps that load everything ahead, scanners that follow
every link. The verdict depends on the set alone, so that no order of arrival changes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import itemgetter

#: SES sends exactly this for mails that Apple's Mail Privacy Protection loads ahead.
_APPLE_PROXY_AGENT = "Mozilla/5.0"
#: Nobody reads a mail this soon after it reached the server; scanners do. Seconds.
_TOO_SOON = 3.0
#: This many different links within this time are a scanner's visit. Links, seconds.
_MANY_LINKS = 3
_AT_ONCE = 3.0


class Evidence(StrEnum):
    """What one event by itself says about who caused it."""

    MACHINE = "machine"  # SES says so, or the agent is Apple's proxy
    PERSON = "person"  # SES says that a bot is unlikely
    UNSAID = "unsaid"  # time decides


@dataclass(frozen=True, slots=True)
class Engagement:
    """One open (no link) or click (with the mark of its link)."""

    at: datetime
    evidence: Evidence
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How often and when; `first` and `last` are None when `count` is 0."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class EngagementTally:
    """Opens and clicks of one mail, people and machines apart."""

    opens: Tally
    machine_opens: Tally
    clicks: Tally
    machine_clicks: Tally


def evidence_of(is_bot_event: str, user_agent: str) -> Evidence:
    """The evidence in one event. `isBotEvent` is "Likely", "Unlikely" or absent and decides."""
    if is_bot_event == "Likely":
        return Evidence.MACHINE
    if is_bot_event == "Unlikely":
        return Evidence.PERSON
    return Evidence.MACHINE if user_agent.strip() == _APPLE_PROXY_AGENT else Evidence.UNSAID


def tally(engagements: Sequence[Engagement], delivered_at: datetime | None) -> EngagementTally:
    """Count people and machines apart. Pure: any order of `engagements` gives the same."""
    clicks = [e for e in engagements if e.link is not None]
    at_once = _every_link_at_once(clicks)
    machine = {id(e) for e in engagements if _by_machine(e, id(e) in at_once, delivered_at)}

    def count(of: Sequence[Engagement], by_machine: bool) -> Tally:
        times = [e.at for e in of if (id(e) in machine) is by_machine]
        return Tally(len(times), min(times), max(times)) if times else Tally()

    opens = [e for e in engagements if e.link is None]
    return EngagementTally(
        count(opens, False), count(opens, True), count(clicks, False), count(clicks, True)
    )


def _by_machine(engagement: Engagement, at_once: bool, delivered_at: datetime | None) -> bool:
    if engagement.evidence is not Evidence.UNSAID:
        return engagement.evidence is Evidence.MACHINE
    if delivered_at and (engagement.at - delivered_at).total_seconds() < _TOO_SOON:
        return True
    return at_once


def _every_link_at_once(clicks: Sequence[Engagement]) -> set[int]:
    """Clicks (their `id`) with many different links within moments before or after.

    A window slides over them: a link that a machine follows ten thousand times costs no more.
    """
    unsaid = [(c.at.timestamp(), c) for c in clicks if c.evidence is Evidence.UNSAID]
    unsaid.sort(key=itemgetter(0))
    near: Counter[str | None] = Counter()
    first = after = 0
    found = set()
    for at, click in unsaid:
        while after < len(unsaid) and unsaid[after][0] - at <= _AT_ONCE:
            near[unsaid[after][1].link] += 1
            after += 1
        while at - unsaid[first][0] > _AT_ONCE:
            link = unsaid[first][1].link
            near[link] -= 1
            if not near[link]:
                del near[link]
            first += 1
        if len(near) >= _MANY_LINKS:
            found.add(id(click))
    return found
