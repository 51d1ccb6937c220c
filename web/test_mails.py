"""Send Test Email: to any address, as any recipient, with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse
from wtforms import Field, StringField
from wtforms.validators import DataRequired, ValidationError

from database import writing
from domain.addresses import AddressProblem, check_syntax
from models import Event, TestMail
from services import previews, test_mails
from services.campaigns import Refused, get_campaign
from services.delivery_events import event_of
from web import once
from web.context import now
from web.database import session
from web.input import at_most, row_number
from web.live import live_response
from web.wording import Wording, moment_wording

blueprint = Blueprint("test_mails", __name__, url_prefix="/campaigns/<int:campaign_id>/test")
_SHOWN = 8
#: Seconds after which no event is expected soon, and the page stops asking.
_PATIENCE = 180

#: How the state of a mail outside of campaigns is said.
STATES = {
    "queued": Wording("Waiting", "clock", "st-pending", "Waits for the scheduler to take it up."),
    "sending": Wording("Sending", "send", "st-sending", "Is being handed to SES right now."),
    "in_doubt": Wording("In doubt", "question-diamond", "st-in_doubt", "The answer was lost."),
    "sent": Wording("Sent", "check2", "st-sent", "SES accepted it."),
    "delayed": Wording("Delayed", "hourglass-split", "st-delayed", "SES keeps trying."),
    "delivered": Wording("Delivered", "check2-all", "st-delivered", "The server took it."),
    "opened": Wording("Opened", "envelope-open", "st-accent", "It was opened."),
    "clicked": Wording("Clicked", "cursor", "st-accent", "A link was followed."),
    "failed": Wording("Failed", "x-circle", "st-failed", "It could not be sent."),
    "bounced": Wording("Bounced", "x-octagon", "st-bounced", "It came back."),
    "rejected": Wording("Rejected", "shield-x", "st-rejected", "SES refused it."),
    "complained": Wording("Complained", "hand-thumbs-down", "st-complained", "Reported as spam."),
}
_OPEN_STATES = ("queued", "sending", "sent", "delayed", "in_doubt")


@dataclass(frozen=True)
class SimulatorAddress:
    """An address of SES's mailbox simulator and what happens to mails to it."""

    address: str
    said: Wording


#: SES developer guide, "Using the mailbox simulator".
SIMULATOR = tuple(
    SimulatorAddress(f"{name}@simulator.amazonses.com", said)
    for name, said in (
        ("success", Wording("Success", "check2-all", "st-delivered", "It is delivered.")),
        ("bounce", Wording("Bounce", "x-octagon", "st-bounced", "It bounces for good.")),
        ("complaint", Wording("Complaint", "hand-thumbs-down", "st-complained",
                              "It is delivered, then reported as spam.")),
        ("suppressionlist", Wording("Suppressed", "person-x", "st-skipped",
                                    "SES treats the address as one that bounced before.")),
        ("ooto", Wording("Out of office", "reply", "st-sent",
                         "It is delivered and answered automatically.")),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """One event of a test mail."""

    said: Wording
    sentence: str
    at: datetime


@dataclass(frozen=True)
class Result:
    """A test mail with what has come of it so far."""

    mail: TestMail
    said: Wording
    events: list[Happening]


class TestMailForm(FlaskForm):
    """Where the test mail goes."""

    __test__ = False  # not a pytest class

    email = StringField("Address", validators=[DataRequired("Write an address."), at_most(320)])

    def validate_email(self, field: Field) -> None:
        """One address."""
        found = check_syntax(field.data or "")
        if isinstance(found, AddressProblem):
            raise ValidationError(str(found))


@blueprint.route("", methods=["GET", "POST"])
def new(campaign_id: int) -> str | tuple[str, int] | AnyResponse:
    """Ask for an address, queue the mail, and show what became of the last ones."""
    form = TestMailForm()
    if request.method == "GET":
        form.email.data = current_user.email
        return _page(campaign_id, form)
    if address := request.form.get("simulator", ""):
        form.email.data = address
    if not form.validate():
        return _page(campaign_id, form), 400
    try:
        with writing(session()) as db:
            if once.take(db, request.form.get("once"), now()) is None:
                chosen = request.form.get("recipient", type=row_number)
                test_mails.queue(db, campaign_id, form.email.data or "", by=current_user.email,
                                 now=now(), as_recipient=chosen,
                                 in_bulk="in_bulk" in request.form)  # fmt: skip
                once.keep(db, request.form.get("once"), url_for(".new", campaign_id=campaign_id))
    except Refused as refusal:
        form.email.errors = [str(refusal)]
        return _page(campaign_id, form), 400
    flash(f"Test mail to {form.email.data} is on its way.")
    return redirect(
        url_for(".new", campaign_id=campaign_id, recipient=request.form.get("recipient")), code=303
    )


@blueprint.get("/results")
def results(campaign_id: int) -> Response:
    """The fragment that follows the last test mails while something may still come."""
    tests = _results(campaign_id)
    waiting = _waits(tests)
    campaign = get_campaign(session(), campaign_id)
    html = render_template(
        "test_mails/_results.html", campaign=campaign, tests=tests, waiting=waiting
    )
    return live_response(html, int(waiting))


def _page(campaign_id: int, form: TestMailForm) -> str:
    campaign = get_campaign(session(), campaign_id)
    chosen = request.values.get("recipient", type=row_number)
    some = previews.people(session(), campaign_id)
    if chosen is not None and chosen not in {one.id for one in some}:
        found = previews.find_recipient(session(), campaign_id, chosen)
        some = [found, *some] if found and found.id == chosen else some
    tests = _results(campaign_id)
    return render_template(
        "test_mails/new.html",
        campaign=campaign,
        form=form,
        people=[previews.as_person(one) for one in some],
        chosen=chosen,
        simulator=SIMULATOR,
        lately=list(dict.fromkeys(test.mail.email for test in tests)),
        tests=tests,
        waiting=_waits(tests),
    )


def _waits(tests: list[Result]) -> bool:
    """Whether something is still expected of the newest test mail soon."""
    return bool(tests) and any(
        test.mail.status in _OPEN_STATES
        and (now() - test.mail.created_at).total_seconds() < _PATIENCE
        for test in tests
    )


def _results(campaign_id: int) -> list[Result]:
    mails = test_mails.latest(session(), campaign_id, _SHOWN)
    happened: dict[str, list[Happening]] = {mail.attempt_id: [] for mail in mails}
    events = session().scalars(
        select(Event)
        .where(
            Event.recipient_id.is_(None),
            Event.attempt_id.is_not(None),
            Event.attempt_id.in_(list(happened)),
        )
        .order_by(Event.happened_at, Event.received_at)
    )
    for event in events:
        read = event_of(event.key, event.raw)
        said = moment_wording(event.kind, event.sub_kind)
        sentence = (read.reason if read and read.reason else said.sentence) or ""
        happened[event.attempt_id or ""].append(
            Happening(said, sentence, event.happened_at or event.received_at)
        )
    return [Result(mail, STATES[mail.status], happened[mail.attempt_id]) for mail in mails]
