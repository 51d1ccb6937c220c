"""When silence proves that a mail never left: the four conditions, judged on what was read.

A mail in doubt was handed to SES without an answer. Any event of its attempt settles it; that
none comes means something only if the events of its neighbours came and nothing is on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: So many mails accepted just before, and just after, must have told of themselves.
NEIGHBOURS = 20
#: The queue must be seen empty so often, spread over min(this, grace) seconds.
EMPTY_READINGS = 3
SPREAD_SECONDS = 60.0
#: A mail is accepted within this time of its submission, by clocks that agree (seconds): the
#: longest call, the wait for its slot and the flush of its result.
CLOCKS_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class QueueReading:
    """What the event queue held at `at` (database time, epoch s); None = it could not be read.

    `dead_letters` counts the messages in the dead-letter queue: whose they are would show only
    on receiving them, so all count as ours.
    """

    at: float
    visible: int | None
    in_flight: int | None
    delayed: int | None
    dead_letters: int | None

    @property
    def empty(self) -> bool:
        """Whether nothing was on its way."""
        return (self.visible, self.in_flight, self.delayed) == (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Mails accepted just before and after the one in doubt, and how many told of themselves.

    `probe_answered` is whether a probe sent after it had its Send event (None = no probe).
    `out_of_order` counts those whose submission (database time) contradicts the side they are on
    by `sent_at` (the time of SES or of the host): the clocks disagree, and who is near is unknown.
    """

    before: int
    before_told: int
    after: int
    after_told: int
    probe_answered: bool | None = None
    out_of_order: int = 0


@dataclass(frozen=True, slots=True)
class Unheard:
    """What came and says nothing yet, though it may be about the mail in doubt.

    `unapplied` events wait or could not be applied; `unreadable` messages came after the mail was
    submitted; `named` events carry its attempt with an address that is not its own.
    """

    unapplied: int = 0
    unreadable: int = 0
    named: int = 0

    def sentence(self) -> str:
        """What of it there is; "" when there is nothing."""
        if self.named:
            return f"{_count(self.named, 'event names', 'events name')} it with another address"
        if self.unapplied:
            return f"{_count(self.unapplied, 'event is', 'events are')} not applied yet"
        if self.unreadable:
            return f"{_count(self.unreadable, 'message', 'messages')} since then cannot be read"
        return ""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: met or not, and the figures in a sentence."""

    met: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was known when a row's silence was judged."""

    judged_at: float  # database time, epoch s
    send_published: Condition
    neighbours: Condition
    queue_empty: Condition
    grace_over: Condition

    @property
    def presumed_unsent(self) -> bool:
        """Whether silence counts: every single condition is met."""
        return all(condition.met for condition in self._all().values())

    def _all(self) -> dict[str, Condition]:
        return {
            "send_published": self.send_published,
            "neighbours": self.neighbours,
            "queue_empty": self.queue_empty,
            "grace_over": self.grace_over,
        }

    def as_json(self) -> dict[str, Any]:
        """For the row's record and the page."""
        conditions = {
            name: {"met": condition.met, "detail": condition.detail}
            for name, condition in self._all().items()
        }
        return {
            "judged_at": self.judged_at,
            "presumed_unsent": self.presumed_unsent,
            "conditions": conditions,
        }


def judge_neighbours(found: Neighbours) -> Condition:
    """Every neighbour had its Send event; without one after it, a probe must have had."""
    before = f"{found.before_told} of the {found.before} mails accepted just before"
    if found.out_of_order:
        sentence = (
            "The clocks of the database, the senders and SES disagree: who is near is unknown."
        )
        return Condition(False, sentence)
    if found.after:
        met = found.before_told == found.before and found.after_told == found.after
        after = f"{found.after_told} of the {found.after} just after"
        return Condition(met, f"{before} and {after} have their Send event.")
    met = found.before_told == found.before and found.probe_answered is True
    probe = {
        None: "a probe to the mailbox simulator is needed",
        False: "a probe to the mailbox simulator has not told of itself yet",
        True: "a probe to the mailbox simulator has told of itself",
    }[found.probe_answered]
    return Condition(met, f"{before} have their Send event; none was accepted after it: {probe}.")


def judge_queue(
    readings: Sequence[QueueReading], unheard: Unheard, submitted_at: float, grace_seconds: float
) -> Condition:
    """Three empty readings since the submission, nothing unapplied, no dead letter of ours."""
    run: list[QueueReading] = []
    for reading in readings:
        if reading.at < submitted_at:
            continue
        run = [*run, reading] if reading.empty else []
    spread = run[-1].at - run[0].at if run else 0.0
    needed = min(SPREAD_SECONDS, grace_seconds)
    dead = run[-1].dead_letters if run else None
    seen = f"The queue was seen empty {_count(len(run), 'time', 'times')} over {spread:.0f} s"
    if len(run) < EMPTY_READINGS or spread < needed:
        return Condition(False, f"{seen}; three times over {needed:.0f} s are needed.")
    if sentence := unheard.sentence():
        return Condition(False, f"{seen}, but {sentence}.")
    if dead is None:
        return Condition(False, f"{seen}, but the dead-letter queue cannot be read.")
    if dead:
        messages = _count(dead, "message", "messages")
        return Condition(
            False, f"{seen}, but the dead-letter queue holds {messages}, any of which may be ours."
        )
    return Condition(True, f"{seen}, nothing waits to be applied, no dead letter.")


def judge_grace(submitted_at: float, now: float, grace_seconds: float) -> Condition:
    """Time enough has passed for an event to come."""
    age, needed = _span(now - submitted_at), _span(grace_seconds)
    return Condition(
        now - submitted_at >= grace_seconds, f"Submitted {age} ago; {needed} are needed."
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _span(seconds: float) -> str:
    """Seconds up to two minutes, then minutes; rounded down, as what is not over is not over."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{int(seconds // 60)} minutes"
