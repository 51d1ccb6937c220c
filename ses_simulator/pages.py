"""The pages for people: the outbox as the recipients would see it, and the switches of faults.

Plain HTML that works without a script. A mail is shown in a sandboxed frame under a policy that
lets it run nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ses_simulator import content as contents
from ses_simulator.events import wire_headers
from ses_simulator.faults import Faults, Rule
from ses_simulator.http_server import Request, Response
from ses_simulator.outbox import Mail
from ses_simulator.world import World

PAGE_SIZE: Final = 25
HERE: Final = Path(__file__).parent
TABS: Final = (
    ("mail", "Mail"),
    ("text", "Plain text"),
    ("headers", "Headers"),
    ("source", "Source"),
)
ANSWERS: Final = (
    ("Delivery", "Delivered"),
    ("DeliveryDelay", "Delayed"),
    ("Bounce Transient/MailboxFull", "Soft bounced"),
    ("Bounce Permanent/General", "Bounced"),
    ("Complaint abuse", "Complained"),
    ("Open", "Opened"),
    ("Click", "Clicked"),
)
_STATES: Final = {
    "Accepted": ("Accepted", ""),
    "Send": ("Sent", "blue"),
    "Delivery": ("Delivered", "green"),
    "DeliveryDelay": ("Delayed", "yellow"),
    "Complaint": ("Complained", "pink"),
    "Reject": ("Rejected", "red"),
    "Rendering Failure": ("Not rendered", "red"),
    "Open": ("Opened", "green"),
    "Click": ("Clicked", "green"),
    "one-click unsubscribe": ("Unsubscribed", ""),
}
_LABELS: Final = {
    "drop_before": "Close the connection, mail not taken",
    "timeout_before": "No answer, mail not taken",
    "server_error": "Server error, mail not taken",
    "throttle": "Throttled",
    "daily_quota_exceeded": "Daily quota exceeded",
    "refuse": "Content refused",
    "entry_error": "Entry of a bulk call fails",
    "drop_after": "Close the connection, mail taken",
    "timeout_after": "No answer, mail taken",
    "server_error_after": "Server error, mail taken",
    "garbled_after": "Unreadable answer, mail taken",
    "latency_ms": "Time to answer a send call, in ms",
    "unreachable": "Nothing answers",
    "max_send_rate": "Mails per second (blank: as started)",
    "daily_quota": "Mails per 24 hours (blank: as started)",
    "quota_used": "Mails of other senders in 24 hours",
    "bulk_calls_per_second": "Bulk calls per second (0: no limit)",
    "sandbox": "Account in the sandbox",
    "paused": "Sending paused",
    "suspended": "Account suspended",
    "probation": "Account on probation",
    "unverified": "Unverified identities",
    "deny": "Denied operations",
    "expired_credentials": "Credentials expired",
    "without_send": "Send events not published",
    "lose_events": "Share of events lost (0 to 1)",
    "lose_kinds": "Kinds of events lost",
    "duplicate_events": "Share of events doubled (0 to 1)",
    "delay_events": "Events later by seconds",
    "reorder_events": "Events shuffled within seconds",
    "event_before_response": "Seconds between Send event and answer",
    "legacy_notifications": "Legacy notifications as well",
    "webhook_down": "Webhook down",
}
_GROUPS: Final = (
    ("rule", "Send calls: every n-th goes wrong, 0 is none"),
    ("check", "Account, events and webhook"),
    ("number", "Figures"),
    ("list", "Lists, separated by commas"),
)
_POLICY: Final = (
    (
        "content-security-policy",
        (
            "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; "
            "form-action 'self'; base-uri 'none'"
        ),
    ),
    ("cache-control", "no-store"),
)


def _state(state: str) -> tuple[str, str]:
    if state.startswith("Bounce"):
        return ("Bounced", "red") if "Permanent" in state else ("Soft bounced", "yellow")
    return _STATES.get(state, (state, ""))


def _clock(at: float) -> str:
    """Local time of day."""
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


class Pages:
    """`/_sim/outbox`, `/_sim/behaviour` and their style sheet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )

    def handle(self, request: Request) -> Response | None:
        """The page of a path, or None."""
        if request.path in ("/_sim", "/_sim/"):
            return Response(302, headers=(("location", "/_sim/outbox"),))
        if request.path == "/_sim/outbox.css":
            css = (HERE / "outbox.css").read_bytes()
            return Response(200, css, "text/css; charset=utf-8")
        if request.path == "/_sim/outbox":
            return self._outbox(request.parameters)
        if request.path == "/_sim/behaviour":
            return self._behaviour(request)
        return None

    def _render(self, name: str, status: int = 200, **values: Any) -> Response:
        page = self._templates.get_template(name).render(**values)
        return Response(status, page.encode(), "text/html; charset=utf-8", _POLICY)

    def _outbox(self, wanted: Mapping[str, str]) -> Response:
        outbox = self._world.outbox
        search = wanted.get("q", "").strip()
        before = int(wanted["before"]) if wanted.get("before", "").isdigit() else None
        mails = list(itertools.islice(outbox.newest(before=before, search=search), PAGE_SIZE + 1))
        older = mails[PAGE_SIZE - 1].sequence if len(mails) > PAGE_SIZE else None
        mail = outbox.by_id.get(wanted.get("id", ""))
        tab = wanted.get("tab", "mail")
        faults, options = self._world.faults, self._world.options
        rate = options.max_send_rate if faults.max_send_rate is None else faults.max_send_rate

        def link(**changed: Any) -> str:
            values = {"q": search, "before": before, "tab": tab, "id": wanted.get("id")} | changed
            return "/_sim/outbox?" + urlencode({k: v for k, v in values.items() if v})

        return self._render(
            "outbox.html",
            mails=mails[:PAGE_SIZE],
            mail=mail,
            older=older,
            before=before,
            search=search,
            total=outbox.total,
            kept=len(outbox.mails),
            rate=rate,
            tab=tab,
            tabs=TABS,
            answers=ANSWERS,
            link=link,
            clock=_clock,
            word=lambda state: _state(state)[0],
            colour=lambda state: _state(state)[1],
            one_click=_one_click(mail) if mail else "",
            failure=contents.of_mail(mail).failure if mail else "",
            shown=_shown(mail, tab) if mail else "",
        )

    def _behaviour(self, request: Request) -> Response:
        faults = self._world.faults
        error = ""
        if request.method == "POST":
            form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
            try:
                faults.replace({} if "clear" in form else _from_form(form, faults))
            except ValueError as problem:
                error = str(problem)
            else:
                return Response(303, headers=(("location", "/_sim/behaviour"),))
        status = 400 if error else 200
        return self._render("behaviour.html", status, groups=_groups(faults), error=error)


def _one_click(mail: Mail) -> str:
    names = {name.lower() for name, _ in mail.headers}
    wanted = {"list-unsubscribe", "list-unsubscribe-post"}
    missing = sorted(wanted - names)
    return f"missing: {', '.join(missing)}" if missing else "both headers present"


def _shown(mail: Mail, tab: str) -> str:
    match tab:
        case "text":
            return contents.of_mail(mail).text or "(no plain-text part)"
        case "headers":
            return "\n".join(f"{name}: {value}" for name, value in wire_headers(mail))
        case "source":
            return contents.source(mail).decode("utf-8", "replace").replace("\r\n", "\n")
        case _:
            return ""


def _groups(faults: Faults) -> list[tuple[str, list[dict[str, Any]]]]:
    switches = _switches(faults)
    return [(legend, [s for s in switches if s["kind"] == kind]) for kind, legend in _GROUPS]


def _switches(faults: Faults) -> list[dict[str, Any]]:
    """Every fault as a field of the form: of a rule only how often."""
    found = []
    for item in fields(faults):
        value = getattr(faults, item.name)
        label = _LABELS[item.name]
        if isinstance(value, Rule):
            kind, value = "rule", value.every
        elif isinstance(value, bool):
            kind = "check"
        elif isinstance(value, list):
            kind, value = "list", ", ".join(value)
        else:
            kind, value = "number", "" if value is None else f"{value:g}"
        found.append({"name": item.name, "label": label, "kind": kind, "value": value})
    return found


def _from_form(form: Mapping[str, str], faults: Faults) -> dict[str, Any]:
    """Values for Faults.replace; a rule whose number stays keeps what only JSON can say.

    Raises ValueError for what is no number.
    """
    found: dict[str, Any] = {}
    for item in fields(Faults):
        text = form.get(item.name, "").strip()
        present = getattr(faults, item.name)
        if not text:
            continue
        if isinstance(present, Rule):
            found[item.name] = present if present.every == int(text) else Rule(every=int(text))
        elif isinstance(present, bool):
            found[item.name] = True
        elif isinstance(present, list):
            found[item.name] = [part.strip() for part in text.split(",") if part.strip()]
        else:
            found[item.name] = float(text)
    return found
