"""Decides how much a campaign is tracked, after it began and before its first mail goes out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from aws.topology import read_configuration_set, read_topology
from config import Settings
from database import writing
from domain.tracking import CRITICAL_SUFFIX, TrackingFacts, decide_tracking
from sender.clocks import boottime
from services import tracking
from services.tracking import Undecided

logger = logging.getLogger(__name__)

#: What was read from AWS holds this long (seconds).
_KNOWN_SECONDS = 30.0
#: Mails wait no longer than this for AWS's answers; then they count as unreadable (seconds).
PATIENCE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class _Way:
    """How events come here, as far as AWS told; None = unreadable."""

    queue_gets_events: bool | None = None
    https_flood: bool | None = None
    critical_set_exists: bool | None = None
    delivery_published: bool | None = None


class TrackingWatch:
    """One scheduler's decisions; whichever scheduler decides first, it holds for all."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        clients: AwsClients,
        *,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._clients = clients
        self._patience = patience
        self._clock = clock
        self._way: tuple[float, _Way] | None = None
        self._reading: threading.Thread | None = None

    def step(self, now: datetime) -> None:
        """Decide for every campaign that waits for it."""
        with self._sessions() as session:
            waiting = tracking.undecided(session)
        if not waiting:
            return
        way = self._known_way()
        with self._sessions() as session:
            http_events = (
                tracking.http_events_last_hour(session, now) if way.https_flood is None else 0
            )
        for campaign in waiting:
            decision = decide_tracking(campaign.choice, self._facts(campaign, way, http_events))
            with self._sessions() as session, writing(session):
                kept = tracking.keep(session, campaign.id, decision)
            if kept:
                logger.info(
                    "campaign=%s tracking=%s set=%s: %s", campaign.id, decision.level,
                    decision.configuration_set or "none", decision.reason,
                )  # fmt: skip

    def _facts(self, campaign: Undecided, way: _Way, http_events: int) -> TrackingFacts:
        polls = bool(self._settings.sqs_queue_url)
        return TrackingFacts(
            recipients=campaign.recipients,
            threshold=self._settings.disable_tracking_threshold,
            full_set=self._settings.ses_configuration_set,
            polls_queue=polls and way.queue_gets_events is not False,
            https_flood=way.https_flood,
            http_events_last_hour=http_events,
            critical_set_exists=way.critical_set_exists,
            delivery_published=way.delivery_published,
        )

    def _known_way(self) -> _Way:
        """What AWS says, read in a thread of its own: a slow answer must not hold mails back."""
        if not self._settings.ses_configuration_set:
            return _Way()
        if self._way is None or self._clock() - self._way[0] > _KNOWN_SECONDS:
            self._way = None
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self._read, name="way", daemon=True)
                self._reading.start()
            self._reading.join(self._patience)
        found: tuple[float, _Way] | None = self._way
        if found is None:
            logger.warning("AWS did not tell in time how events travel: taken as unreadable")
        return found[1] if found else _Way()

    def _read(self) -> None:
        name = self._settings.ses_configuration_set
        topology = read_topology(self._clients, name, self._settings.sqs_queue_url)
        critical = read_configuration_set(self._clients.ses, name + CRITICAL_SUFFIX)
        delivery = topology.configuration_set.topics("DELIVERY")
        way = _Way(
            queue_gets_events=topology.queue_gets("BOUNCE"),
            https_flood=topology.https_flood(),
            critical_set_exists=critical.exists,
            delivery_published=None if delivery is None else bool(delivery),
        )
        self._way = (self._clock(), way)
