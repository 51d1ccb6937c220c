"""What a post to the webhook means: believed or refused, confirmed, or stored as events.

The order of checks is the defence: the topic costs nothing to compare, the certificate's address
nothing to read, and only then is anything fetched or computed. Answers are chosen for SNS: it
tries again after a 503 and gives up after a 4xx.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.ses_events import NotAnEvent, Unrecognised, load_text, parse_event
from domain.sns_messages import (
    NotSns,
    Refusal,
    SnsMessage,
    SnsType,
    check_age,
    check_origin,
    check_signature,
    parse_envelope,
)
from domain.token_bucket import TokenBucket
from doors.certificates import CertificateStore, Problem
from doors.confirmation import confirm_subscription
from doors.intake import Intake, utc_now
from doors.refusals import Refusals
from doors.topics import AllowedTopics
from services.dead_letters import keep_dead_letter
from services.delivery_events import Incoming
from services.installation import installation_id
from services.notices import clear_notice, raise_notice

logger = logging.getLogger(__name__)

TOPIC_NOTICE = "sns-topic-refused"
UNSUBSCRIBED_NOTICE = "sns-unsubscribed"
#: A post waits this long for others to share its commit, which costs more than they all do.
_GATHER_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP status and a word for whoever looks at the answer."""

    status: int
    text: str


class Webhook:
    """The HTTP door of one process."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        clients: AwsClients | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        certificates: CertificateStore | None = None,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._clients = clients or AwsClients(settings)
        self._clock = clock
        self._topics = AllowedTopics(settings, self._clients)
        self._certificates = certificates or CertificateStore(settings)
        self._intake = Intake(sessions, clock, gather_seconds=_GATHER_SECONDS)
        self._bucket = TokenBucket(settings.notifications_per_second)
        self._bucket_lock = threading.Lock()
        self._install: str | None = None
        self.refusals = Refusals()

    def receive(self, body: bytes) -> Answer:
        """Answer one post."""
        try:
            message = parse_envelope(body)
        except NotSns as error:
            self.refusals.count("not a message of SNS", str(error))
            return Answer(400, "This is no SNS message.")
        refusal = check_origin(message, self._topics.current())
        if refusal is not None:
            return self._refuse(refusal, message)
        certificate = self._certificates.find(message)
        if certificate is Problem.NOT_NOW:
            self.refusals.count(certificate, message.certificate_url)
            return Answer(503, "Try again.")
        if isinstance(certificate, Problem):
            return self._refuse(Refusal.CERTIFICATE, message)
        refusal = check_signature(message, certificate)
        if refusal is None:
            self._certificates.verified(message, certificate)
            refusal = check_age(message, self._clock(), self._settings.sns_max_age_seconds)
        if refusal is not None:
            return self._refuse(refusal, message)
        try:
            return self._believe(message)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("a notification could not be stored: %s", type(error).__name__)
            return Answer(503, "Try again.")

    def _refuse(self, refusal: Refusal, message: SnsMessage) -> Answer:
        detail = {
            Refusal.CERTIFICATE_URL: message.certificate_url,
            Refusal.CERTIFICATE: message.certificate_url,
        }.get(refusal, message.topic_arn)
        logged = self.refusals.count(refusal, detail)
        if refusal is Refusal.TOPIC and logged and not self._topics.is_configured:
            self._name_the_topic(message)
        return Answer(403, f"Refused: {refusal}.")

    def _name_the_topic(self, message: SnsMessage) -> None:
        """Nobody named our topics and SES does not tell them: say which one knocked."""
        if message.region is None:
            return
        text = (
            f"A message from the SNS topic {message.topic_arn} was refused, because SNS_TOPIC_ARN "
            "is empty and SES names no such topic. If the topic is yours, set SNS_TOPIC_ARN to it."
        )
        try:
            with self._sessions() as session, writing(session):
                raise_notice(session, TOPIC_NOTICE, "warn", text, self._clock())
        except SQLAlchemyError:
            logger.warning("the refused topic could not be shown: %s", message.topic_arn)

    def _believe(self, message: SnsMessage) -> Answer:
        if message.type is SnsType.SUBSCRIPTION_CONFIRMATION:
            return self._confirm(message)
        if message.type is SnsType.UNSUBSCRIBE_CONFIRMATION:
            return self._unsubscribed(message)
        payload = load_text(message.message)
        parsed = parse_event(payload)
        if isinstance(parsed, Unrecognised):
            return self._unrecognised(message, parsed)
        if any(event.tags.install not in (None, self._own_install()) for event in parsed):
            self.refusals.count("sent by another installation", message.topic_arn)
            return Answer(200, "Ignored: sent by another installation.")
        at_once = any(event.critical for event in parsed) or self._has_token()
        incoming = Incoming.of(message.message, parsed, "http", at_once=at_once, payload=payload)
        self._intake.take([incoming])
        return Answer(200, "Stored.")

    def _has_token(self) -> bool:
        with self._bucket_lock:
            return self._bucket.take(time.monotonic())

    def _own_install(self) -> str:
        if self._install is None:
            with self._sessions() as session:
                self._install = installation_id(session)
        return self._install

    def _unrecognised(self, message: SnsMessage, parsed: Unrecognised) -> Answer:
        if parsed.what is NotAnEvent.SET_UP:
            logger.info("topic %s: %s", message.topic_arn, parsed.sentence)
            return Answer(200, "Set-up message.")
        if parsed.what is NotAnEvent.FOREIGN:
            self.refusals.count("no SES event", message.topic_arn)
            return Answer(200, "Ignored: no SES event.")
        with self._sessions() as session, writing(session):
            keep_dead_letter(session, "http", message.message, parsed.sentence, self._clock())
        return Answer(200, "Kept for a person to look at.")

    def _confirm(self, message: SnsMessage) -> Answer:
        problem = confirm_subscription(self._clients, message)
        if problem is not None:
            logger.warning("topic %s was not confirmed: %s", message.topic_arn, problem)
            return Answer(503, "The subscription could not be confirmed.")
        logger.info("subscription to topic %s confirmed", message.topic_arn)
        with self._sessions() as session, writing(session):
            clear_notice(session, UNSUBSCRIBED_NOTICE)
            clear_notice(session, TOPIC_NOTICE)
        return Answer(200, "Confirmed.")

    def _unsubscribed(self, message: SnsMessage) -> Answer:
        """Somebody ended our subscription: an alarm, and never a new subscription."""
        logger.error("the subscription to topic %s was ended", message.topic_arn)
        text = (
            f"The subscription to the SNS topic {message.topic_arn} was ended: no events arrive "
            "through the webhook any more. If nobody on your side did this, look into it, then "
            "subscribe this address to the topic again."
        )
        with self._sessions() as session, writing(session):
            raise_notice(session, UNSUBSCRIBED_NOTICE, "fail", text, self._clock())
        return Answer(200, "Noted.")
