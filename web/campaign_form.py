"""The form of the editor: syntax only. What a campaign may be is services.campaigns' matter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    Field,
    FloatField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectChoice,
    SelectMultipleField,
    StringField,
    TextAreaField,
    widgets,
)
from wtforms.validators import (
    DataRequired,
    Length,
    NumberRange,
    Optional,
    Regexp,
    ValidationError,
)

from domain.addresses import AddressProblem, check_syntax
from models import Campaign
from services.campaigns import CampaignContent
from services.sending_options import SendingOptions
from web.input import at_most

#: SES takes mails of up to 40 MB; HTML beyond this is a mistake (Gmail clips at 102 KB).
LARGEST_SOURCE = 1_000_000
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLOCK = r"^(([01]\d|2[0-3]):[0-5]\d)?$"
_AS_CLOCK = "Write a time of day such as 08:00."


def _trimmed(value: str | None) -> str:
    return (value or "").strip()


def _one_line(form: FlaskForm, field: Field) -> None:
    """A line break in a header is how mail headers are forged."""
    if re.search(r"[\r\n\0]", field.data or ""):
        raise ValidationError("This must be one line.")


def _address(form: FlaskForm, field: Field) -> None:
    found = check_syntax(field.data) if field.data else None
    if isinstance(found, AddressProblem):
        raise ValidationError(str(found))


class _Days(SelectMultipleField):
    """The days of a send window as tick boxes."""

    widget = widgets.ListWidget(prefix_label=False)
    option_widget = widgets.CheckboxInput()


class CampaignForm(FlaskForm):
    """Everything a person decides about a campaign's mail and its pace."""

    content_version = HiddenField()
    name = StringField(
        "Campaign name",
        filters=[_trimmed],
        validators=[
            DataRequired("Give the campaign a name. Only you see it."),
            at_most(200),
            _one_line,
        ],
    )
    subject = StringField(
        "Email subject",
        filters=[_trimmed],
        validators=[DataRequired("Every mail needs a subject."), at_most(998), _one_line],
    )
    html = TextAreaField(
        "Email content",
        validators=[
            DataRequired("Write the mail, or start from a template."),
            Length(max=LARGEST_SOURCE, message="The source is larger than 1 MB."),
        ],
    )
    text = TextAreaField("Plain text part", validators=[at_most(LARGEST_SOURCE)])
    text_is_automatic = BooleanField("Write it from the HTML", default=True)
    from_name = StringField("Sender name", filters=[_trimmed], validators=[at_most(200), _one_line])
    from_email = StringField(
        "Sender address", filters=[_trimmed], validators=[at_most(320), _one_line, _address]
    )
    reply_to = StringField(
        "Reply-to address", filters=[_trimmed], validators=[at_most(320), _one_line, _address]
    )
    tracking = RadioField(
        "Tracking level",
        choices=[
            SelectChoice("auto", "Automatic"),
            SelectChoice("full", "Full: deliveries, opens and clicks are reported"),
            SelectChoice("critical", "Critical only: bounces, complaints and refusals"),
        ],
        default="auto",
    )
    cap_per_second = FloatField(
        "At most, mails per second",
        validators=[Optional(), NumberRange(0.01, 10_000, "Write a number from 0.01 to 10,000.")],
    )
    batch_size = IntegerField(
        "Mails per batch",
        validators=[Optional(), NumberRange(1, 10_000_000, "Write a number of at least 1.")],
    )
    batch_pause_minutes = FloatField(
        "Minutes between batches",
        validators=[Optional(), NumberRange(0.1, 10_080, "Write 0.1 to 10,080 minutes (a week).")],
    )
    window_days = _Days(
        "On these days",
        choices=[SelectChoice(str(number), day) for number, day in enumerate(DAYS)],
        coerce=int,
    )
    window_start = StringField("From", validators=[Regexp(_CLOCK, message=_AS_CLOCK)])
    window_end = StringField("Until", validators=[Regexp(_CLOCK, message=_AS_CLOCK)])
    window_zone = StringField("Time zone", filters=[_trimmed])
    send_undeliverable = BooleanField(
        "Send also to addresses that verification found undeliverable"
    )

    def validate(self, extra_validators: Any = None) -> bool:
        """The fields, and what belongs together: a window's parts, a batch and its pause."""
        valid = super().validate(extra_validators)
        for field, fault in self._faults_between_fields():
            field.errors = [*field.errors, fault]
            valid = False
        return bool(valid)

    def _faults_between_fields(self) -> Iterator[tuple[Field, str]]:
        start, end, zone = self.window_start.data, self.window_end.data, self.window_zone.data
        if bool(start) != bool(end):
            yield (self.window_end if start else self.window_start), "Give both times, or neither."
        if zone and zone not in available_timezones():
            yield self.window_zone, "Choose a time zone from the list, such as Europe/Vienna."
        elif start and not zone:
            yield self.window_zone, "A send window needs a time zone."
        if (self.batch_size.data is None) != (self.batch_pause_minutes.data is None):
            yield self.batch_pause_minutes, "Batches need both a size and a pause."

    def content(self) -> CampaignContent:
        """What the person wrote."""
        return CampaignContent(
            name=self.name.data or "",
            subject=self.subject.data or "",
            html=self.html.data or "",
            text=self.text.data or "",
            text_is_automatic=bool(self.text_is_automatic.data),
            from_email=self.from_email.data or "",
            from_name=self.from_name.data or "",
            reply_to=self.reply_to.data or "",
        )

    def options(self) -> SendingOptions:
        """How fast and when the campaign shall send."""
        pause = self.batch_pause_minutes.data
        days = sorted(self.window_days.data or range(7))
        window = {
            "window_days": ",".join(map(str, days)),
            "window_start": self.window_start.data,
            "window_end": self.window_end.data,
            "window_zone": self.window_zone.data,
        }
        return SendingOptions(
            tracking=self.tracking.data,
            cap_per_second=self.cap_per_second.data,
            batch_size=self.batch_size.data,
            batch_pause_seconds=None if pause is None else round(pause * 60),
            send_undeliverable=self.send_undeliverable.data,
            **(window if self.window_start.data else {}),
        )


def form_for(campaign: Campaign) -> CampaignForm:
    """The form as it stands for a stored campaign; what was posted wins."""
    pause = campaign.batch_pause_seconds
    form = CampaignForm(obj=campaign, batch_pause_minutes=None if pause is None else pause / 60)
    if not form.is_submitted():  # the column is a text, which the field cannot read by itself
        form.window_days.data = [int(day) for day in (campaign.window_days or "").split(",") if day]
    return form
