"""Looks at the whole way of a mail and of its events, and says what to do where it is broken.

Everything is asked once and nothing is changed. It works when the database is down, when AWS
cannot be reached and when the credentials are wrong: those are findings, not errors.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from botocore.exceptions import BotoCoreError
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from aws.account import read_account, read_identity
from aws.clients import AwsClients, Goal, why_not
from aws.topology import read_topology
from config import Settings
from domain.outgoing import Unsendable, ascii_address
from models import Campaign, Event, Notice
from services import schema, workers
from services.diagnosis_checks import judge
from services.diagnosis_facts import Check, DatabaseFacts, Facts, Level

__all__ = ["Check", "Level", "diagnose"]


def diagnose(
    settings: Settings, sessions: sessionmaker[Session], clients: AwsClients, now: datetime
) -> list[Check]:
    """All checks in order. Takes a dozen AWS calls; call it without an open transaction."""
    facts = Facts(
        settings=settings,
        now=now,
        destination=clients.destination,
        database=_read_database(sessions),
        credentials=None,
    )
    return judge(_ask_aws(facts, clients))


def _read_database(sessions: sessionmaker[Session]) -> DatabaseFacts:
    try:
        with sessions() as session:
            version = schema.current_version(session)
            facts = DatabaseFacts(schema_version=version, needed_version=schema.NEEDED_VERSION)
            if not facts.readable:
                return facts
            last = session.execute(
                select(Event.received_at, Event.door).order_by(Event.received_at.desc()).limit(1)
            ).one_or_none()
            notices = session.execute(select(Notice.severity, Notice.text).order_by(Notice.code))
            return replace(
                facts,
                scheduler_age=workers.age_seconds(session),
                last_sent_at=session.scalar(select(func.max(Campaign.last_sent_at))),
                last_event_at=last.received_at if last else None,
                last_event_door=last.door if last else None,
                notices=tuple((row.severity, row.text) for row in notices),
            )
    except (SQLAlchemyError, OSError) as error:
        return DatabaseFacts(error=" ".join(str(error).splitlines()[:1])[:300])


def _ask_aws(facts: Facts, clients: AwsClients) -> Facts:
    settings = facts.settings
    try:
        found = replace(facts, credentials=clients.credentials_source())
        if found.credentials is None and facts.destination.goal is not Goal.SIMULATOR:
            return found
        account = read_account(clients.ses)
        found = replace(found, account=account)
        # With no right to read the account the rest may still be readable; with no answer at
        # all every further call would only wait for its time-out.
        if account.error and "AccessDenied" not in account.error:
            return found
        if settings.sender_email:
            identity = read_identity(clients.ses, ascii_address(settings.sender_email))
            found = replace(found, identity=identity)
        if settings.ses_configuration_set:
            way = read_topology(clients, settings.ses_configuration_set, settings.sqs_queue_url)
            found = replace(found, topology=way)
        return found
    except (BotoCoreError, Unsendable) as error:
        return replace(facts, aws_error=why_not(error))
