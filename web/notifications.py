"""The notification log, a message opened, and those that could not be used."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.statuses import EventStatus
from models import Event
from services import event_health, event_log
from services.dead_letters import try_again
from services.delivery_events import apply_stored
from services.event_log import Figures, LogEntry
from web.context import now
from web.database import session
from web.formatting import count, number
from web.log_filter import DOORS, choices, chosen_of_log, in_address
from web.security import local_path
from web.wording import Wording, moment_wording, wording

log = logging.getLogger(__name__)
blueprint = Blueprint("notifications", __name__, url_prefix="/notifications")
_FILTERS = (
    EventStatus.APPLIED,
    EventStatus.PARKED,
    EventStatus.DEAD,
    EventStatus.IGNORED,
    EventStatus.EXPIRED,
)
_CAN_RETRY = (EventStatus.DEAD, EventStatus.PARKED, EventStatus.NEW)


@dataclass(frozen=True)
class Row:
    """A stored event as the log shows it."""

    event: Event
    key: str
    address: str | None
    campaign: str | None
    said: Wording
    result: Wording


@dataclass(frozen=True)
class Details:
    """An opened event: the row, what it means, where its recipient is, and its raw form."""

    row: Row
    sentence: str
    recipient_link: str | None
    raw: str | None
    can_retry: bool


@blueprint.get("/")
def index() -> str:
    """The log, newest first."""
    return _page(None)


@blueprint.get("/<string(length=32):key>")
def show(key: str) -> str:
    """The log with one message opened beside it."""
    return _page(_open(key))


@blueprint.get("/<string(length=32):key>/raw")
def raw(key: str) -> Response:
    """The message as it came, as plain text, which no browser runs."""
    response = Response(_open(key).raw or abort(404), mimetype="text/plain")
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@blueprint.post("/<string(length=32):key>/apply")
def apply(key: str) -> AnyResponse:
    """Try an event again that was parked or could not be applied."""
    found = event_log.open_event(session(), key) or abort(404)
    _apply([found.entry.event.key])
    return _back()


@blueprint.get("/dead")
def dead() -> str:
    """What could not be used, with the reason."""
    return render_template(
        "notifications/dead.html",
        events=event_log.dead_events(session()),
        letters=event_log.dead_letters(session()),
        doors=DOORS,
    )


@blueprint.post("/dead/<int:letter_id>")
def try_letter(letter_id: int) -> AnyResponse:
    """Read a message again that could not be read."""
    with writing(session()) as db:
        refusal = try_again(db, letter_id, now())
    if refusal:
        flash(f"Still not usable: {refusal}", "error")
    else:
        flash("Read and applied.")
    return _back()


@blueprint.post("/dead/all")
def try_all() -> AnyResponse:
    """Try everything again that could not be used, in short steps."""
    events = [event.key for event in event_log.dead_events(session())]
    letters = [letter.id for letter in event_log.dead_letters(session())]
    for key in events:
        _apply([key], quiet=True)
    for letter_id in letters:
        with writing(session()) as db:
            try_again(db, letter_id, now())
    left = len(event_log.dead_events(session())) + len(event_log.dead_letters(session()))
    mended = len(events) + len(letters) - left
    flash(
        f"{number(mended)} used now." + (f" {count(left, 'is', 'are')} still not." if left else "")
    )
    return redirect(url_for(".dead"), code=303)


def _apply(keys: list[bytes], *, quiet: bool = False) -> None:
    try:
        with writing(session()) as db:
            applied = apply_stored(db, keys, now())
    except Exception:
        log.exception("a stored event could not be applied")
        if not quiet:
            flash("It still cannot be applied; the reason is in the server’s log.", "error")
        return
    if not quiet:
        said = "Applied." if applied else "Nothing changed: it still finds no mail of ours."
        flash(said, "message" if applied else "error")


def _back() -> AnyResponse:
    return redirect(local_path(request.form.get("back"), url_for(".index")), code=303)


def _page(opened: Details | None) -> str:
    wanted = chosen_of_log()
    before = request.args.get("before")
    page = event_log.log_page(session(), wanted, before=before)
    figures = event_log.figures(session(), now())
    here = in_address(wanted)
    filtered = any(here.values())
    shown = number(len(page.entries))
    return render_template(
        "notifications/index.html",
        rows=[_row(entry) for entry in page.entries],
        opened=opened,
        figures=figures,
        backlog=event_health.backlog(session(), now()),
        by_minute=event_health.events_by_minute(session(), now()),
        doors=DOORS,
        here=here,
        filtered=filtered,
        before=before,
        chips=_chips(figures),
        choices=choices(wanted),
        looked_back_to=page.looked_back_to,
        position=f"{'Older' if before else 'Newest'} {shown}" + (" that match" if filtered else ""),
        newest=url_for(".index", **here) if before else None,
        older=url_for(".index", before=page.before, **here) if page.before else None,
    )


def _chips(figures: Figures) -> list[tuple[str, str, int | None, str, str]]:
    amounts = {EventStatus.PARKED: figures.parked, EventStatus.DEAD: figures.dead or None}
    return [("", "All", None, "", "")] + [
        (status.value, wording(status).word, amounts.get(status), wording(status).css,
         wording(status).icon)
        for status in _FILTERS
    ]  # fmt: skip


def _row(entry: LogEntry) -> Row:
    event = entry.event
    said = moment_wording(event.kind, event.sub_kind)
    return Row(event, entry.key, entry.address, entry.campaign, said, wording(event.status))


def _open(key: str) -> Details:
    found = event_log.open_event(session(), key) or abort(404)
    row, event = _row(found.entry), found.entry.event
    link = None
    if event.recipient_id and event.campaign_id and found.entry.campaign:
        link = url_for(
            "campaigns.show",
            campaign_id=event.campaign_id,
            r=event.recipient_id,
            _anchor="recipients",
        )
    return Details(
        row=row,
        sentence=(found.parsed.reason if found.parsed else None) or row.said.sentence,
        recipient_link=link,
        raw=found.raw,
        can_retry=event.status in _CAN_RETRY,
    )
