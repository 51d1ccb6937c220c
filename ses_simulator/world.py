"""Everything the simulator holds, and the clockwork that makes events happen.

All of it lives on one event loop's thread: nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ses_simulator.faults import Faults
from ses_simulator.outbox import Outbox
from ses_simulator.outcomes import Mix
from ses_simulator.queues import Message
from ses_simulator.regions import Region
from ses_simulator.signing import Signer
from ses_simulator.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Options:
    """How a simulator starts. Rates are recipients per second, quotas per 24 hours."""

    host: str = "127.0.0.1"
    port: int = 0
    region: str = "us-east-1"
    max_send_rate: float = 20_000.0
    daily_quota: float = 50_000_000.0
    event_speed: float = 1.0
    """Delays of events are divided by this."""
    mix: Mix = field(default_factory=Mix)
    keep: int = 50_000
    """Mails kept whole; of older ones only addresses, counts and times remain."""
    queue_limit: int = 1_000_000
    """Visible messages per queue; beyond it the oldest are dropped and counted."""
    webhooks: tuple[str, ...] = ()
    sns_retry_seconds: float = 2.0
    """Between attempts of a webhook; AWS waits 20."""
    seed: int = 0


class Timeline:
    """Things that are due later, in order of time, driven by one timer."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        """Call `what` in so many seconds."""
        due = time.monotonic() + seconds
        heapq.heappush(self._heap, (due, next(self._order), what, arguments))
        if self._timer is None or due < self._timer.when():
            self._set_timer()

    def clear(self) -> None:
        """Nothing is due any more."""
        self._heap.clear()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A little slack lets one wake-up do for many.
        when = max(self._heap[0][0], time.monotonic() + 0.002)
        self._timer = asyncio.get_running_loop().call_at(when, self._run)

    def _run(self) -> None:
        self._timer = None
        now = time.monotonic()
        # Requests wait a few milliseconds at most for events, unless events fall far behind.
        late = now - self._heap[0][0] if self._heap else 0.0
        stop = now + min(0.05, max(0.005, late / 4))
        while self._heap and self._heap[0][0] <= now and time.monotonic() < stop:
            _, _, what, arguments = heapq.heappop(self._heap)
            what(*arguments)
        if self._heap and self._timer is None:
            self._set_timer()


class World:
    """The state of one simulator."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started = time.time()
        self.faults = Faults()
        self.outbox = Outbox(options.keep)
        self.signer = Signer()
        self.timeline = Timeline()
        self.stats: Counter[str] = Counter()
        self.random = random.Random(options.seed)
        self.regions: dict[str, Region] = {}
        self.webhooks = Webhooks(
            self.signer,
            self.faults,
            self.stats,
            options.sns_retry_seconds,
            self.dead_letter,
            options.queue_limit,
        )
        self.region(options.region)

    def region(self, name: str) -> Region:
        """The account in a region, with the default topology at first sight."""
        if name not in self.regions:
            self.regions[name] = Region(name, self.options.queue_limit)
        return self.regions[name]

    def dead_letter(self, queue_arn: str, message: Message) -> None:
        """Put a message that could not be delivered into a queue, if there is that queue."""
        queue = self.region(queue_arn.split(":")[3]).queue_by_arn(queue_arn)
        if queue is not None:
            queue.send(message, 0)

    def reset(self, keep_faults: bool = False, keep_setup: bool = True) -> None:
        """Forget mails, events, messages, suppressions and faults.

        Topics, queues, subscriptions, configuration sets and identities stay, unless all is to
        be as it was at the start.
        """
        if not keep_faults:
            self.faults.clear()
        self.outbox.clear()
        self.timeline.clear()
        self.webhooks.clear()
        self.stats.clear()
        self.random.seed(self.options.seed)
        for region in self.regions.values():
            region.forget_traffic()
        if not keep_setup:
            self.regions.clear()
            self.region(self.options.region)
