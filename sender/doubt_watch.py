"""Settles doubt: reads the way of the events, watches the queue, judges silent rows.

All that AWS says is read with no transaction open. Any number of schedulers may judge; each
goes by its own readings.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from aws.topology import Topology, read_queue, read_topology
from config import InDoubtPolicy, SendEvents, Settings
from database import epoch_now, writing
from domain.doubt import SPREAD_SECONDS, Condition, Evidence, QueueReading
from models import TestMail
from sender.clocks import boottime
from services import doubt
from services.doubt import InDoubt, Witness

logger = logging.getLogger(__name__)

#: Rows that one look judges; where there are more, the next goes on behind them.
_ROWS_OF_A_LOOK = 1000
_TOPOLOGY_SECONDS = 60.0
#: A probe that told nothing is followed by another after this (seconds).
_PROBE_AGAIN_SECONDS = 60.0
#: Mails to this address are accepted and delivered and cost no reputation (SES, "Mailbox
#: simulator").
PROBE_ADDRESS = "success@simulator.amazonses.com"


class DoubtWatch:
    """One process's watch over rows in doubt. `send_probe` sends a stored test mail by its id."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        clients: AwsClients,
        send_probe: Callable[[int], None],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._clients = clients
        self._send_probe = send_probe
        self._clock = clock
        self._readings: deque[QueueReading] = deque(maxlen=64)
        self._topologies: dict[str, tuple[float, Topology]] = {}
        self._after_id = 0
        spread = min(SPREAD_SECONDS, settings.in_doubt_grace_seconds)
        #: Time between two looks at the queue (seconds).
        self.every_seconds = min(max(spread / 3, 0.5), 15.0)

    def step(self, now: datetime) -> None:
        """Look once: read the queue and judge rows in doubt, all of them in turn."""
        with self._sessions() as session:
            rows = doubt.rows_in_doubt(session, after_id=self._after_id, limit=_ROWS_OF_A_LOOK)
            if not rows and self._after_id:
                rows = doubt.rows_in_doubt(session, limit=_ROWS_OF_A_LOOK)
            database_now = session.scalar(select(epoch_now())) or 0.0
        self._after_id = rows[-1].id if len(rows) == _ROWS_OF_A_LOOK else 0
        if not rows:
            self._readings.clear()
            return
        self._read_queue(database_now)
        names = {row.configuration_set or "" for row in rows}
        publishes = {name: self._publishes(name) for name in names}
        witness = Witness(publishes.__getitem__, list(self._readings))
        for start in range(0, len(rows), 50):
            self._judge(rows[start : start + 50], witness, database_now, now)

    def _judge(
        self, rows: list[InDoubt], witness: Witness, database_now: float, now: datetime
    ) -> None:
        grace = self._settings.in_doubt_grace_seconds
        with self._sessions() as session:
            judged = [(r, doubt.judge(session, r, witness, grace, database_now)) for r in rows]
        unsent = [row for row, evidence in judged if evidence.presumed_unsent]
        with self._sessions() as session, writing(session):
            for row, evidence in judged:
                doubt.keep_evidence(session, row, evidence, now)
            if self._settings.in_doubt_policy is InDoubtPolicy.RETRY_UNSENT and unsent:
                ids = doubt.retry_presumed_unsent(session, unsent, now)
                logger.info("%s mails presumed unsent wait to be sent again", len(ids))
        # By the database's clock: a host's may say that a probe is older than the mail.
        probe_at = datetime.fromtimestamp(database_now, UTC)
        for row in {row.campaign_id: row for row, e in judged if _only_probe_lacks(e)}.values():
            self._probe(row, probe_at)

    def _read_queue(self, database_now: float) -> None:
        """One look; what cannot be read counts as not empty."""
        url = self._settings.sqs_queue_url
        if not url:
            return
        queue = read_queue(self._clients.sqs, url)
        dead: int | None = 0
        if queue.error or queue.dead_letter_arn:
            dead = self._dead_letters(queue.dead_letter_url)
        self._readings.append(
            QueueReading(database_now, queue.visible, queue.in_flight, queue.delayed, dead)
        )

    def _dead_letters(self, url: str | None) -> int | None:
        """Messages there; all count as ours, since only receiving them would tell."""
        if url is None:
            return None
        facts = read_queue(self._clients.sqs, url)
        if facts.error or facts.visible is None or facts.in_flight is None:
            return None
        return facts.visible + facts.in_flight

    def _publishes(self, configuration_set: str) -> Condition:
        """Condition (a), from SES or from the person who set SEND_EVENTS."""
        if not self._settings.sqs_queue_url:
            return Condition(False, "No event queue is polled (SQS_QUEUE_URL is empty).")
        said = self._settings.send_events
        if said is not SendEvents.AUTO:
            return Condition(said is SendEvents.YES, f"SEND_EVENTS={said} says so.")
        if not configuration_set:
            return Condition(False, "The mail was sent without a configuration set.")
        gets = self._topology(configuration_set).queue_gets("SEND")
        told = {
            True: "publishes Send to a topic whose queue is polled",
            False: "does not publish Send to the queue that is polled",
            None: "could not be read from AWS, so nothing is known of its Send events",
        }[gets]
        return Condition(gets is True, f"The configuration set {configuration_set} {told}.")

    def _topology(self, configuration_set: str) -> Topology:
        known = self._topologies.get(configuration_set)
        if known is None or self._clock() - known[0] > _TOPOLOGY_SECONDS:
            read = read_topology(self._clients, configuration_set, self._settings.sqs_queue_url)
            known = self._topologies[configuration_set] = (self._clock(), read)
        return known[1]

    def _probe(self, row: InDoubt, now: datetime) -> None:
        """Send a mail to the mailbox simulator, to see whether events come at all."""
        with self._sessions() as session, writing(session):
            last = doubt.last_probe(session, row)
            if last is not None and (now - last.created_at).total_seconds() < _PROBE_AGAIN_SECONDS:
                return
            probe = TestMail(
                campaign_id=row.campaign_id,
                email=PROBE_ADDRESS,
                attempt_id=secrets.token_hex(16),
                status="queued",
                created_at=now,
                created_by=doubt.PROBE_BY,
            )
            session.add(probe)
            session.flush()
            probe_id = probe.id
        self._send_probe(probe_id)


def _only_probe_lacks(evidence: Evidence) -> bool:
    """Whether everything but the neighbours speaks for silence: then a probe can complete it."""
    others = evidence.send_published.met and evidence.queue_empty.met and evidence.grace_over.met
    return others and "probe" in evidence.neighbours.detail and not evidence.neighbours.met
