"""One claim round: rows of every campaign that may send, in equal shares, and a slot for each.

A single transaction: rows, counters, what campaigns say, and the shared bucket last. Without a
slot all of it is rolled back.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from config import Settings
from database import is_sqlite, reading_sessions, writing
from domain import bulk_pacing, pacing
from domain.bulk_template import MAX_ENTRIES
from rate_limiter import BucketState, Slots
from sender.calls import CallPlanner
from sender.clocks import DatabaseClock, boottime
from sender.mails import CannotMake, MailMaker
from sender.pool import MOST_THREADS, Work, last_submission
from services import claims, counters, lifecycle, quota
from services.claims import Claim, ClaimedRow
from services.lifecycle import SendingCampaign, Wait

logger = logging.getLogger(__name__)

#: Rounds are at least so far apart (seconds): each costs some queries, however few rows it brings.
_SHORTEST_WAIT = 0.02
#: They are at most so far apart while slots are handed out (seconds).
_LONGEST_WAIT = 0.5
#: Each time that others took the slot this process came for, it comes later, up to so much
#: (seconds): idle senders cost little, and one that is missing is replaced in a quarter second.
_LATER_EACH_TIME, _LATEST = 0.05, 0.2
#: Waits that are over as soon as a campaign sends again.
_PASSING = (Wait.QUOTA, Wait.WINDOW, Wait.BATCH, Wait.UNREACHABLE)


class _NoSlot(Exception):
    """Others drew first: roll back."""


@dataclass
class Round:
    """What a round brought; `next_in` is when to come again (seconds)."""

    works: list[Work] = field(default_factory=list)
    next_in: float = 0.5


class Claimer:
    """Claims for one sender process."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        maker: MailMaker,
        worker: str,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._reading = reading_sessions(sessions)
        self._maker = maker
        self._calls = CallPlanner(settings, maker)
        self._worker = worker
        self._clock = DatabaseClock()
        self._floors: dict[int, int] = {}
        self._look_at: dict[int, int] = {}
        self._turn = 0
        #: Empty-handed processes of one installation draw one after another, in a fixed order.
        self._step_in = random.uniform(pacing.STEP_IN_SECONDS, pacing.HORIZON_SECONDS)  # noqa: S311
        self._next_slot = 0.0
        self._taken_by_others = 0
        #: As the last round found them.
        self._rate, self._in_bulk = 1.0, False

    def round(self, missed: list[Work], in_hand: int, call_seconds: float) -> Round:
        """Claim what the next tenth of a second may send, and new slots for `missed` works.

        `in_hand` is how many rows this process holds already, `call_seconds` what a call takes.
        """
        any_calls = bulk_pacing.MOST_IN_HAND if self._in_bulk else None
        if in_hand and self._wanted(missed, in_hand, call_seconds, any_calls) is None:
            return Round(next_in=_SHORTEST_WAIT)  # nothing has to be asked to know this
        with self._reading() as session:
            asked_at = boottime()
            bucket = rate_limiter.read(session)
            if bucket is None:
                return Round()
            self._clock.observe(bucket.now, asked_at)
            busy = bool(in_hand or missed)
            if not bucket.slots_in_reach(pacing.HORIZON_SECONDS if busy else self._step_in):
                return Round(next_in=self._until_slots(bucket, busy=busy))
            ready = self._ready(session, bucket)
            ready, capped_for = self._within_caps(session, ready)
            calls = self._calls.in_reach(session, ready)
        if not ready and not missed:
            return Round() if capped_for is None else Round(next_in=capped_for)
        self._rate, self._in_bulk = bucket.pace.rate, calls is not None
        wanted = self._wanted(missed, in_hand, call_seconds, calls)
        if wanted is None:
            return Round(next_in=_SHORTEST_WAIT)
        left = bucket.quota_left(self._settings.ses_quota_reserve_percent)
        works = self._claim(
            ready, missed, wanted if left is None else min(wanted, left), calls or 0
        )
        return Round(works, self._until_slots_after(works) if works else _SHORTEST_WAIT)

    def _wanted(
        self, missed: list[Work], in_hand: int, call_seconds: float, calls: int | None
    ) -> int | None:
        """How many slots to draw at the present rate; None with full hands: many rows at once cost
        less. `calls` is how many bulk calls may be made, None where mails go out singly."""
        rate = self._rate
        most = pacing.most_in_hand(rate, call_seconds)
        singly, at_once = min(MOST_THREADS, most), pacing.most_slots(rate)
        room = singly - in_hand
        if calls is not None:
            full = min(bulk_pacing.MOST_IN_HAND, most + MAX_ENTRIES)
            room = max(room, min(calls * MAX_ENTRIES, full - in_hand))
            at_once = bulk_pacing.mails_of_a_round(rate)
        wanted = min(at_once, max(room, 0) + sum(map(_slots_of, missed)))
        return None if wanted < 1 or wanted < min(at_once, singly // 3) else wanted

    def _ready(self, session: Session, bucket: BucketState) -> list[SendingCampaign]:
        """The campaigns that may send now; the others say what they wait for."""
        now = datetime.fromtimestamp(bucket.now, UTC)
        due = lifecycle.sending_campaigns(session)
        ready = [c for c in due if c.tracking_decided and not c.waits(now)]
        closed = [c for c in due if c.window is not None and not c.window.is_open(now)]
        spent = bucket.quota_left(self._settings.ses_quota_reserve_percent) == 0
        unsaid = [c for c in closed if c.reason_code != Wait.WINDOW]
        if unsaid or (spent and ready):
            with self._sessions() as other, writing(other):
                for campaign in unsaid:
                    self._say_closed(other, campaign, now)
                if spent:
                    quota.say_used_up(other, [c.id for c in ready], bucket, now)
        return [] if spent else self._prepared(session, ready, now)

    def _say_closed(self, session: Session, campaign: SendingCampaign, now: datetime) -> None:
        window = campaign.window
        if window is None:
            return
        opens = window.next_opening(now)
        sentence = f"Waiting for its send window: {window.sentence()}."
        lifecycle.wait_for(session, [campaign.id], Wait.WINDOW, sentence, opens)

    def _prepared(
        self, session: Session, ready: list[SendingCampaign], now: datetime
    ) -> list[SendingCampaign]:
        """Those whose mail compiles; one that does not is paused with the reason."""
        prepared = []
        for campaign in ready:
            try:
                self._maker.prepare(session, campaign.id, campaign.content_version)
                prepared.append(campaign)
            except CannotMake as problem:
                with self._sessions() as other, writing(other):
                    lifecycle.stop(other, [campaign.id], "template", str(problem), now)
        unsaid = self._calls.undecided(prepared)
        if not unsaid:
            return prepared
        with self._sessions() as other, writing(other):
            decided = {c.id: self._calls.decide(other, c) for c in unsaid}
        return [decided.get(campaign.id, campaign) for campaign in prepared]

    def _within_caps(
        self, session: Session, ready: list[SendingCampaign]
    ) -> tuple[list[SendingCampaign], float | None]:
        """Those whose own rate lets something out now, and when the first of the others may send
        (seconds from now; None = there are none)."""
        free, waits = [], []
        for campaign in ready:
            bucket = None
            if campaign.cap_per_second is not None:
                bucket = rate_limiter.read(session, _bucket_name(campaign.id))
            if bucket is None or bucket.slots_in_reach():
                free.append(campaign)
            else:
                waits.append(bucket.next_slot - pacing.HORIZON_SECONDS - bucket.now)
        soonest = min(max(min(waits), _SHORTEST_WAIT), _LONGEST_WAIT) if waits else None
        return free, soonest

    def _claim(
        self, ready: list[SendingCampaign], missed: list[Work], wanted: int, calls: int
    ) -> list[Work]:
        missed, again = _within(missed, wanted)
        with self._sessions() as session:
            before = boottime()
            try:
                with writing(session):
                    found = self._take(session, ready, wanted - again)
                    counters.write(session)  # the buckets last: everybody waits for them
                    self._draw_caps(session, ready, found)
                    new = sum(len(claim.rows) for claim in found.values())
                    groups, call_slots = self._calls.draw(session, found, ready, calls)
                    slots = self._draw(session, again, new) if again or new else None
            except _NoSlot:
                return []
        self._remember(ready, found)
        if slots is None:
            return []
        works = self._works(missed, found, slots, before)
        return self._calls.join(works, groups, call_slots, self._clock)

    def _take(
        self, session: Session, ready: list[SendingCampaign], wanted: int
    ) -> dict[int, Claim]:
        """Equal shares; what one campaign cannot use goes to those after it in turn."""
        self._turn += 1
        turn = self._turn % len(ready) if ready else 0
        found: dict[int, Claim] = {}
        left = wanted
        in_turn = ready[turn:] + ready[:turn]
        for place, campaign in enumerate(in_turn):
            share = -(-left // (len(in_turn) - place))
            share = self._within_cap(session, campaign, share)
            if share > 0:
                found[campaign.id] = self._claim_of(session, campaign, share)
                left -= len(found[campaign.id].rows)
        claims.count_claims(session, found)
        sending = [c for c in ready if c.id in found and found[c.id].rows]
        self._say_going_on(session, sending, found)
        return found

    def _within_cap(self, session: Session, campaign: SendingCampaign, share: int) -> int:
        """The share under the campaign's own batch and rate; its bucket is drawn in `_draw`."""
        if campaign.batch_size:
            share = min(share, campaign.batch_left or campaign.batch_size)
        if campaign.cap_per_second is None:
            return share
        rate_limiter.ensure_bucket(session, _bucket_name(campaign.id), campaign.cap_per_second)
        return min(share, pacing.most_slots(campaign.cap_per_second))

    def _claim_of(self, session: Session, campaign: SendingCampaign, share: int) -> Claim:
        floor = self._floors.get(campaign.id, 0)
        most = 400 if is_sqlite(session) else 2000

        def claim(above: int) -> Claim:
            return claims.claim(
                session,
                campaign_id=campaign.id,
                limit=share,
                worker=self._worker,
                lease_seconds=self._settings.claim_lease_seconds,
                send_undeliverable=campaign.send_undeliverable,
                floor=above,
                look_at=min(most, max(share, self._look_at.get(campaign.id, 0))),
            )

        found = claim(floor)
        if floor and not found.rows and not found.skipped:
            return claim(0)  # what was given back lies below
        return found

    def _say_going_on(
        self, session: Session, sending: list[SendingCampaign], found: dict[int, Claim]
    ) -> None:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        said = [c.id for c in sending if c.reason_code in _PASSING]
        if said:
            lifecycle.go_on(session, said, _PASSING)
        for campaign in sorted(sending, key=lambda c: c.id):
            if not lifecycle.spend_batch(session, campaign, len(found[campaign.id].rows), now):
                raise _NoSlot

    def _draw_caps(
        self, session: Session, ready: list[SendingCampaign], found: dict[int, Claim]
    ) -> None:
        for campaign in sorted(ready, key=lambda c: c.id):
            rows = len(found[campaign.id].rows) if campaign.id in found else 0
            if rows and campaign.cap_per_second is not None:
                name = _bucket_name(campaign.id)
                if rate_limiter.draw(session, rows, name=name) is None:
                    raise _NoSlot

    def _draw(self, session: Session, again: int, new: int) -> Slots:
        """Slots for all; mails that missed theirs have used their place in the quota already."""
        asked_at = boottime()
        slots = rate_limiter.draw(
            session,
            again + new,
            reserve_percent=self._settings.ses_quota_reserve_percent,
            quota=new,
        )
        if slots is None:
            raise _NoSlot
        self._clock.observe(slots.database_now, asked_at)
        return slots

    def _remember(self, ready: list[SendingCampaign], found: dict[int, Claim]) -> None:
        """Where to look next time; a run of skipped rows is passed in longer strides."""
        for campaign_id, claim in found.items():
            self._floors[campaign_id] = claim.last_id
            stride = 4 * max(10, claim.skipped) if claim.skipped else 0
            self._look_at[campaign_id] = stride
        alive = {campaign.id for campaign in ready}
        for campaign_id in [known for known in self._floors if known not in alive]:
            del self._floors[campaign_id]

    def _works(
        self, missed: list[Work], found: dict[int, Claim], slots: Slots, before: float
    ) -> list[Work]:
        rows: list[ClaimedRow] = _interleaved([claim.rows for claim in found.values()])
        submit_until = last_submission(before, self._settings.claim_lease_seconds)
        ahead = self._clock.local(0.0)
        due = [slot + ahead for slot in slots.draw.slots()]
        rate = 1.0 / slots.draw.spacing
        again: list[Work] = []
        place = 0
        for work in missed:
            count = _slots_of(work)
            spare = (count - 1) * slots.draw.spacing
            again.append(work._replace(due=due[place], spare=spare))
            place += count
        new = [
            Work(row, at, submit_until, before, rate)
            for row, at in zip(rows, due[place:], strict=True)
        ]
        return again + new

    def _until_slots(self, bucket: BucketState, *, busy: bool) -> float:
        """How long until this process would draw the next free slot (seconds)."""
        if busy:
            self._taken_by_others = 0
        elif bucket.next_slot > self._next_slot:
            self._taken_by_others += 1
        self._next_slot = bucket.next_slot
        horizon = pacing.HORIZON_SECONDS if busy else self._step_in
        later = min(max(0, self._taken_by_others - 1) * _LATER_EACH_TIME, _LATEST)
        ahead = bucket.next_slot - horizon - self._clock.now() + later
        return min(max(ahead, _SHORTEST_WAIT), _LONGEST_WAIT)

    def _until_slots_after(self, works: list[Work]) -> float:
        self._taken_by_others = 0
        last = works[-1].due + works[-1].spare + 1.0 / works[-1].rate
        ahead = last - pacing.HORIZON_SECONDS - boottime()
        return min(max(ahead, _SHORTEST_WAIT), _LONGEST_WAIT)


def _slots_of(work: Work) -> int:
    return pacing.slots_of_a_mail(work.rate, work.misses)


def _within(missed: list[Work], most: int) -> tuple[list[Work], int]:
    """The first of these that take `most` slots together, but at least one; and their slots."""
    taken: list[Work] = []
    slots = 0
    for work in missed:
        if taken and slots + _slots_of(work) > most:
            break
        taken.append(work)
        slots += _slots_of(work)
    return taken, slots


def _bucket_name(campaign_id: int) -> str:
    return f"campaign:{campaign_id}"


def _interleaved(lists: list[list[ClaimedRow]]) -> list[ClaimedRow]:
    """Rows of several campaigns in turn, so that each gets its share of every moment."""
    longest = max((len(rows) for rows in lists), default=0)
    return [rows[place] for place in range(longest) for rows in lists if place < len(rows)]
