"""What every template can use: filters in the viewer's zone, the frame's figures, addresses.

Formatting itself lives in `web.formatting`; here it meets the request.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, current_app, g, request, url_for
from flask_login import current_user
from jinja2 import StrictUndefined

from config import Settings
from domain.statuses import CampaignStatus, RecipientStatus
from models import Bucket
from web import attention, charts, formatting, once, wording
from web.database import session, settings

THEMES = ("system", "light", "dark")


@dataclass(frozen=True)
class NavEntry:
    """One line of the sidebar; `section` is the blueprint whose pages light it up."""

    label: str
    endpoint: str
    icon: str
    sections: tuple[str, ...]


NAVIGATION: tuple[tuple[str, tuple[NavEntry, ...]], ...] = (
    (
        "",
        (
            NavEntry("Dashboard", "dashboard.index", "grid-1x2", ("dashboard",)),
            NavEntry(
                "Campaigns",
                "campaigns.index",
                "envelope-paper",
                (
                    "campaigns",
                    "campaign_actions",
                    "audiences",
                    "editor",
                    "imports",
                    "import_steps",
                    "previews",
                    "test_mails",
                    "verification",
                ),
            ),
            NavEntry(
                "Lists",
                "lists.index",
                "people",
                ("lists", "list_verification", "contacts", "segments", "signup_settings"),
            ),
            NavEntry(
                "Suppression list",
                "suppressions.index",
                "person-x",
                ("suppressions", "suppression_files", "account_list"),
            ),
        ),
    ),
    (
        "Delivery",
        (
            NavEntry(
                "Notification log", "notifications.index", "broadcast-pin", ("notifications",)
            ),
            NavEntry("Diagnostics", "diagnostics.index", "heart-pulse", ("diagnostics",)),
        ),
    ),
)


@dataclass(frozen=True)
class Health:
    """The small box at the foot of the sidebar."""

    used: float | None
    quota: float | None  # None = unknown, -1 = unlimited
    css: str
    sentence: str


def init_app(app: Flask) -> None:
    """Give templates their filters and globals."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        wording=wording.wording,
        refusal_words=wording.REFUSAL,
        refusal_advice=wording.refusal_advice,
        recipient_states=wording.BAR_ORDER,
        RecipientStatus=RecipientStatus,
        CampaignStatus=CampaignStatus,
        charts=charts,
        now=now,
        zone_name=lambda: zone().key,
        new_once=once.new_key,
        count=formatting.count,
        percent=formatting.percent,
        moment_wording=wording.moment_wording,
    )
    app.jinja_env.filters.update(
        number=formatting.number,
        rate=formatting.rate,
        per_second=formatting.per_second,
        duration=formatting.duration,
        moment=lambda value: formatting.moment(value, zone(), now()),
        day=lambda value: formatting.day(value, zone(), now()),
        long_day=lambda value: formatting.long_day(value, zone()),
        clock=lambda value: formatting.clock(value, zone()),
        clock_seconds=lambda value: formatting.clock(value, zone(), seconds=True),
        log_time=lambda value: formatting.log_time(value, zone(), now()),
        exact=lambda value: formatting.exact(value, zone()),
        ago=lambda value: formatting.ago(value, now()),
        iso=lambda value: value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    app.url_defaults(partial(_add_version, app))
    app.context_processor(_frame)


def now() -> datetime:
    """The present moment, one for the whole request, so that a page agrees with itself."""
    if "now" not in g:
        g.now = datetime.now(UTC)
    moment: datetime = g.now
    return moment


def zone() -> ZoneInfo:
    """The viewer's zone: as saved with the person, else as the browser said, else UTC."""
    if "zone" not in g:
        saved = getattr(current_user, "time_zone", None)
        g.zone = formatting.zone_or_utc(saved or request.cookies.get("tz"))
    found: ZoneInfo = g.zone
    return found


def theme() -> str:
    """The chosen theme; "system" leaves it to the browser and needs no script."""
    chosen = request.cookies.get("theme", "system")
    return chosen if chosen in THEMES else "system"


@cache
def _file_version(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=5).hexdigest()


def _add_version(app: Flask, endpoint: str, values: dict[str, Any]) -> None:
    """Put a hash of the content into addresses of static files, so that they may be kept."""
    if endpoint not in ("static", "bootstrap.static") or "v" in values or app.debug:
        return
    owner = app if endpoint == "static" else app.blueprints["bootstrap"]
    path = Path(owner.static_folder or "") / values["filename"]
    if path.is_file():
        values["v"] = _file_version(path)


def _frame() -> dict[str, Any]:
    """What base.html shows around every page; two small queries for people signed in."""
    values: dict[str, Any] = {"theme": theme(), "zone": zone(), "mail_goes_to": _mail_goes_to()}
    values["here"] = request.full_path.rstrip("?")
    values["simulator_url"] = settings().simulator_url
    values["mail_endpoint"] = settings().aws_endpoint_url
    if current_user.is_authenticated:
        values["navigation"] = _navigation()
        values["health"] = _health()
        values["needs_you"] = len(attention.things())
        values["can_create"] = "editor.new" in current_app.view_functions
    return values


def _navigation() -> list[tuple[str, list[tuple[NavEntry, str, bool]]]]:
    blueprint = request.blueprint or ""
    return [
        (
            title,
            [
                (entry, url_for(entry.endpoint), blueprint in entry.sections)
                for entry in entries
                if entry.endpoint in current_app.view_functions
            ],
        )
        for title, entries in NAVIGATION
    ]


def _mail_goes_to() -> str:
    """Which banner the pages carry: simulator, endpoint or aws."""
    found: Settings = settings()
    if found.uses_simulator:
        return "simulator"
    return "aws" if found.mails_real_people else "endpoint"


def _health() -> Health:
    bucket = session().get(Bucket, "send")
    if bucket is None or bucket.max_24_hour_send is None:
        return Health(None, None, "is-warn", "Quota not read yet")
    used = (bucket.sent_last_24_hours or 0) + bucket.sent_here
    if bucket.sending_enabled is False or bucket.enforcement_status == "SHUTDOWN":
        return Health(used, bucket.max_24_hour_send, "is-fail", "SES stopped sending")
    if bucket.enforcement_status == "PROBATION":
        return Health(used, bucket.max_24_hour_send, "is-warn", "SES on probation")
    if bucket.production_access is False:
        return Health(used, bucket.max_24_hour_send, "is-warn", "SES sandbox")
    if bucket.account_error:
        return Health(used, bucket.max_24_hour_send, "is-warn", "SES not readable")
    return Health(used, bucket.max_24_hour_send, "is-ok", "SES healthy")
