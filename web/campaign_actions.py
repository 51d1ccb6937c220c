"""What a person does with a campaign: start, schedule, pause, resume, cancel, retry, copy, delete.

Deeds that can be taken back happen at the press of a button; those that cannot have a page that
says what will happen. All are refused in words when the campaign has moved on meanwhile.
"""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response
from wtforms import DateField, Field, StringField, TimeField
from wtforms.validators import DataRequired, ValidationError

from database import writing
from domain.schedule import UnknownZone, moment_of, zone_names
from domain.windows import parse_window
from models import Campaign
from services import campaigns, doubt, progress
from services import retry as retries
from services.ledger import read_counters
from web import once
from web.context import now, zone
from web.database import session, settings
from web.formatting import clock, count, day, zone_or_utc
from web.input import row_number

blueprint = Blueprint("campaign_actions", __name__, url_prefix="/campaigns/<int:campaign_id>")


class ScheduleForm(FlaskForm):
    """When a campaign starts, in a named zone."""

    date = DateField("Date", validators=[DataRequired("Choose a day.")])
    time = TimeField("Time", validators=[DataRequired("Choose a time of day.")])
    zone = StringField("Time zone", validators=[DataRequired("Choose a time zone.")])

    def validate_zone(self, field: Field) -> None:
        """Only zones that exist."""
        try:
            moment_of(datetime(2000, 1, 1), field.data.strip())  # noqa: DTZ001 - a local time
        except UnknownZone:
            raise ValidationError(
                "There is no such time zone. Write it as Europe/Madrid, or UTC."
            ) from None


def _page_of(campaign_id: int) -> Response:
    return redirect(url_for("campaigns.show", campaign_id=campaign_id), code=303)


def _decision(campaign: Campaign, start: datetime | None = None) -> dict[str, object]:
    """The figures of the decision to send: who, who not, until when, at what cost."""
    counters = read_counters(session(), campaign.id)
    audience = progress.audience(session(), campaign, counters)
    to_come = audience.receives - counters["pending"]
    pace = progress.pace(session(), campaign, settings(), now(), start=start, to_come=to_come)
    return {
        "campaign": campaign,
        "audience": audience,
        "pace": pace,
        "problems": campaigns.launch_problems(session(), campaign, settings()),
        "window": parse_window(
            campaign.window_days, campaign.window_start, campaign.window_end, campaign.window_zone
        ),
    }


@blueprint.get("/start")
def start(campaign_id: int) -> str | Response:
    """The decision: exact audience, who is left out, and when it would be over."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    if campaign.status not in campaigns.EDITABLE:
        return _page_of(campaign_id)
    return render_template("campaigns/start.html", **_decision(campaign))


@blueprint.post("/start")
def start_now(campaign_id: int) -> Response:
    """Launch. A second press finds the campaign sending and changes nothing."""
    with writing(session()) as db:
        if campaigns.get_campaign(db, campaign_id).status in campaigns.EDITABLE:
            campaigns.launch(db, campaign_id, settings(), now(), current_user.email)
            flash("Sending has started. This page follows it by itself.")
    return _page_of(campaign_id)


@blueprint.route("/schedule", methods=["GET", "POST"])
def schedule(campaign_id: int) -> str | tuple[str, int] | Response:
    """Choose when it starts."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    if campaign.status not in campaigns.EDITABLE:
        return _page_of(campaign_id)
    form = _schedule_form(campaign)
    if form.validate_on_submit():
        problem = _schedule(campaign_id, form)
        if not problem:
            return _page_of(campaign_id)
        form.form_errors.append(problem)
        campaign = campaigns.get_campaign(session(), campaign_id)
    page = render_template(
        "campaigns/schedule.html", form=form, zones=zone_names(), **_decision(campaign)
    )
    return page, 400 if form.errors else 200


def _schedule_form(campaign: Campaign) -> ScheduleForm:
    if campaign.scheduled_at is None:
        return ScheduleForm(zone=zone().key)
    name = campaign.scheduled_zone or zone().key
    local = campaign.scheduled_at.astimezone(zone_or_utc(name))
    return ScheduleForm(date=local.date(), time=local.time(), zone=name)


def _schedule(campaign_id: int, form: ScheduleForm) -> str:
    name = form.zone.data.strip()
    at = moment_of(datetime.combine(form.date.data, form.time.data), name)
    try:
        with writing(session()) as db:
            campaigns.launch(
                db, campaign_id, settings(), now(), current_user.email, at=at, zone=name
            )
    except campaigns.Refused as refusal:
        return str(refusal)
    flash(f"Scheduled for {day(at, zone(), now())}, {clock(at, zone())} ({zone().key}).")
    return ""


@blueprint.post("/unschedule")
def unschedule(campaign_id: int) -> Response:
    """Make a scheduled campaign a draft again."""
    with writing(session()) as db:
        campaigns.unschedule(db, campaign_id, now())
    flash("It is a draft again and starts only when you say so.")
    return _page_of(campaign_id)


@blueprint.post("/pause")
def pause(campaign_id: int) -> Response:
    """Stop sending within two seconds."""
    with writing(session()) as db:
        campaigns.pause(db, campaign_id, now(), by=current_user.email)
    flash("Paused. Mails already handed to SES are not called back.")
    return _page_of(campaign_id)


@blueprint.post("/resume")
def resume(campaign_id: int) -> Response:
    """Go on."""
    with writing(session()) as db:
        campaigns.resume(db, campaign_id, now())
    flash("Resumed.")
    return _page_of(campaign_id)


@blueprint.route("/cancel", methods=["GET", "POST"])
def cancel(campaign_id: int) -> str | Response:
    """End it for good, after a page that says what that means."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    if request.method == "GET":
        if campaign.status not in campaigns.CAN_CANCEL:
            return _page_of(campaign_id)
        counters = read_counters(session(), campaign_id)
        return render_template("campaigns/cancel.html", campaign=campaign, counters=counters)
    with writing(session()) as db:
        campaigns.cancel(db, campaign_id, now(), current_user.email)
    flash("Cancelled. Nobody who was waiting gets this mail.")
    return _page_of(campaign_id)


@blueprint.post("/duplicate")
def duplicate(campaign_id: int) -> Response:
    """A new draft with the same mail and no recipients; the same press makes only one."""
    key = request.form.get("once")
    with writing(session()) as db:
        location = once.take(db, key, now())
        if location is None:
            copy = campaigns.duplicate_campaign(db, campaign_id, now(), current_user.email)
            location = url_for("campaigns.show", campaign_id=copy.id)
            once.keep(db, key, location)
            flash("This is the copy: the same mail, no recipients yet.")
    return redirect(location, code=303)


@blueprint.route("/delete", methods=["GET", "POST"])
def delete(campaign_id: int) -> str | Response:
    """Delete a draft, after a page that names what is lost."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    name = campaign.name
    if request.method == "GET":
        counters = read_counters(session(), campaign_id)
        return render_template("campaigns/delete.html", campaign=campaign, counters=counters)
    recipients = read_counters(session(), campaign_id)["total"]
    with writing(session()) as db:
        campaigns.delete_draft(db, campaign_id)
    flash(f"The draft “{name}” with {count(recipients, 'recipient')} was deleted.")
    return redirect(url_for("campaigns.index"), code=303)


@blueprint.route("/retry", methods=["GET", "POST"])
def retry(campaign_id: int) -> str | Response:
    """Choose which failures to try again; what reached a mailbox is never among them."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    classes = retries.failed_classes(session(), campaign_id)
    if request.method == "GET":
        return render_template("campaigns/retry.html", campaign=campaign, classes=classes)
    chosen = request.form.getlist("reason")
    total, part = 0, 1
    while chosen and part:
        with writing(session()) as db:
            part = retries.retry_failed(db, campaign_id, chosen, now(), current_user.email)
        total += part
    if total:
        flash(f"{count(total, 'recipient')} back in the queue.")
    else:
        flash("Nothing was retried: choose at least one kind of failure.", "error")
    return _page_of(campaign_id)


@blueprint.get("/doubt/again")
def confirm_again(campaign_id: int) -> str:
    """What sending a mail in doubt again risks, before it is done."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    chosen = _recipient(request.args)
    after_id = 0 if chosen is None else chosen - 1
    rows = doubt.rows_in_doubt(session(), campaign_id, after_id=after_id, limit=5)
    if chosen is None:
        total = read_counters(session(), campaign_id)["in_doubt"]
    else:
        rows = [row for row in rows if row.id == chosen]
        total = len(rows)
    return render_template(
        "campaigns/again.html", campaign=campaign, rows=rows, total=total, recipient=chosen or ""
    )


@blueprint.post("/doubt/<decision>")
def settle(campaign_id: int, decision: str) -> Response:
    """A person decides about mails in doubt: all of them, or the one named."""
    try:
        decided = doubt.Decision(decision)
    except ValueError:
        abort(404)
    chosen = _recipient(request.form)
    by, at = current_user.email, now()
    settled = 0
    after_id: int | None = 0
    while after_id is not None:
        with writing(session()) as db:
            step = doubt.settle(
                db, campaign_id, decided, at, by, recipient_id=chosen, after_id=after_id
            )
        settled, after_id = settled + step.rows, step.after_id
    if settled:
        done = "taken for sent" if decided is doubt.Decision.SENT else "back in the queue"
        flash(f"{count(settled, 'mail')} {done}.")
    else:
        flash("Nothing to decide any more: an event from SES has settled it.")
    return _page_of(campaign_id)


def _recipient(values: MultiDict[str, str]) -> int | None:
    """The one recipient that a form or an address names; None = all of them."""
    if not values.get("recipient"):
        return None
    found = values.get("recipient", type=row_number)
    if found is None or not 0 < found < 2**63:
        abort(404)  # a name that is none must not mean all
    return found
