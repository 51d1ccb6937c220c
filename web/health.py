"""What machines ask: is the process alive, can it work, and the figures for Prometheus."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, abort, jsonify, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from domain.statuses import CampaignStatus, EventStatus, RecipientStatus
from models import Bucket, Campaign, CampaignCounters, DeadLetter, Event
from services import schema, workers
from services.event_backlog import WAITING
from web.database import session, settings

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers; nothing else is looked at."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """503 when the database or its schema cannot serve; the scheduler's age is only told."""
    try:
        age = workers.age_seconds(session())
        version_fits = schema.is_current(session())
    except SQLAlchemyError as error:
        session().rollback()
        return jsonify(status="unavailable", reason=type(error).__name__), 503
    if not version_fits:
        return jsonify(status="unavailable", reason="schema: run python update_db_schema.py"), 503
    told = None if age is None else round(age, 1)
    return jsonify(status="ok", scheduler_age_seconds=told), 200


@blueprint.get("/metrics")
def metrics() -> Response:
    """Figures for Prometheus; 404 while METRICS_TOKEN is empty, 401 without the token."""
    expected = settings().metrics_token
    if not expected:
        abort(404)
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if not hmac.compare_digest(given.encode(), expected.encode()):
        return Response("a token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return Response(generate_latest(registry), content_type="text/plain; version=0.0.4")


class _Figures(Collector):
    """Reads the figures at the moment of asking; counters of campaigns, never a scan of rows."""

    def collect(self) -> list[GaugeMetricFamily]:
        """The metric families."""
        return [_recipients(), _campaigns(), *_bucket(), _events(), _scheduler()]


def _recipients() -> GaugeMetricFamily:
    family = GaugeMetricFamily("bes_recipients", "Recipients by state", labels=["status"])
    columns = [
        func.coalesce(func.sum(getattr(CampaignCounters, status.value)), 0)
        for status in RecipientStatus
    ]
    sums = session().execute(select(*columns)).one()
    for status, amount in zip(RecipientStatus, sums, strict=True):
        family.add_metric([status.value], float(amount))
    return family


def _campaigns() -> GaugeMetricFamily:
    family = GaugeMetricFamily("bes_campaigns", "Campaigns by state", labels=["status"])
    found = dict(
        session().execute(select(Campaign.status, func.count()).group_by(Campaign.status)).all()
    )
    for status in CampaignStatus:
        family.add_metric([status.value], float(found.get(status, 0)))
    return family


def _bucket() -> list[GaugeMetricFamily]:
    bucket = session().get(Bucket, "send")
    if bucket is None:
        return []
    values = {
        "bes_send_rate": ("Mails a second that may be sent now", bucket.rate),
        "bes_send_rate_ceiling": ("Highest rate in force", bucket.ceiling),
        "bes_quota_24_hours": ("Mails that SES allows in 24 hours", bucket.max_24_hour_send),
        "bes_quota_used": ("Mails sent in 24 hours, as SES says", bucket.sent_last_24_hours),
    }
    return [
        GaugeMetricFamily(name, help_text, value=float(value))
        for name, (help_text, value) in values.items()
        if value is not None
    ]


def _events() -> GaugeMetricFamily:
    family = GaugeMetricFamily("bes_events_waiting", "Stored events to look at", labels=["status"])
    waiting = (EventStatus.NEW, EventStatus.PARKED, EventStatus.DEAD)
    found = dict(
        session()
        .execute(
            select(Event.status, func.count())
            .where(WAITING, Event.status.in_(waiting))
            .group_by(Event.status)
        )
        .all()
    )
    for status in waiting:
        family.add_metric([status.value], float(found.get(status, 0)))
    letters = session().scalar(select(func.count()).select_from(DeadLetter)) or 0
    family.add_metric(["dead_letter"], float(letters))
    return family


def _scheduler() -> GaugeMetricFamily:
    age = workers.age_seconds(session())
    return GaugeMetricFamily(
        "bes_scheduler_age_seconds",
        "Seconds since a scheduler was last seen",
        value=float("nan") if age is None else age,
    )
