"""Where the processor time of a mail goes: a sender's functions measured from outside.

Only a benchmark's own sender process wraps them, so that the product carries nothing of this.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from aws.signing import JsonSigner
from email_service import EmailService
from sender.claiming import Claimer
from sender.engine import SendEngine
from sender.mails import MailMaker
from services import claims, sending

#: Step by step, in the order of a mail's way. What one calls of the others is not its own.
_WRAPPED: tuple[tuple[Any, str, str], ...] = (
    (claims, "claim", "claim, suppression check"),
    (Claimer, "round", "slots, counters, commit of the claim"),
    (claims, "mark_submitted", "mark before the call"),
    (MailMaker, "make", "render"),
    (MailMaker, "make_entry", "render"),
    (JsonSigner, "headers", "sign"),
    (EmailService, "send", "write the request, read the answer"),
    (EmailService, "send_bulk", "write the request, read the answer"),
    (sending, "record_results", "record"),
    (SendEngine, "_flush", "curve, bucket, commit of the results"),
)
STEPS = tuple(dict.fromkeys(step for _, _, step in _WRAPPED))


class Steps:
    """Processor seconds of this process by step, each without the steps within."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._of_threads: list[defaultdict[str, float]] = []
        for owner, name, step in _WRAPPED:
            setattr(owner, name, self._timed(getattr(owner, name), step))

    def seconds(self) -> dict[str, float]:
        """So far, of all threads."""
        total: Counter[str] = Counter()
        for times in list(self._of_threads):
            total.update(dict(times))
        return dict(total)

    def _timed(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        own = self._own

        def timed(*arguments: Any, **named: Any) -> Any:
            if not hasattr(own, "times"):
                own.times, own.within = defaultdict(float), 0.0
                self._of_threads.append(own.times)
            outside, own.within = own.within, 0.0
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                took = time.thread_time() - began
                own.times[step] += took - own.within
                own.within = outside + took

        return timed
