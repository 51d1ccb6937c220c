"""Segments by form: conditions on fields, tags, lists, engagement and outcomes, counted at once."""

from __future__ import annotations

import json
import random
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response as AnyResponse
from wtforms import FieldList, FormField, IntegerField, SelectChoice, SelectField, StringField
from wtforms import Form as PlainForm
from wtforms.validators import NumberRange, Optional, ValidationError

from audience_models import Segment
from database import writing
from domain.segments import Conditions, Deed, FieldCondition, FieldTest, TimeCondition, When
from domain.statuses import MailOutcome
from services import campaigns, contacts, lists, segment_counts, segments
from services.segment_counts import Counted
from web.context import now
from web.database import session
from web.input import at_most
from web.live import live_response
from web.wording import OUTCOME

blueprint = Blueprint("segments", __name__, url_prefix="/segments")
_FIELD_ROWS = 3
_CHANCE = random.SystemRandom()
#: Web servers take lines of about 4,000 characters; longer conditions are counted exactly at once.
_LONGEST_ADDRESS = 1200
_TESTS = {
    FieldTest.IS: "is",
    FieldTest.IS_NOT: "is not",
    FieldTest.CONTAINS: "contains",
    FieldTest.BEGINS: "begins with",
    FieldTest.FILLED: "is filled in",
    FieldTest.EMPTY: "is empty",
}
_WHEN = {
    "": "at any time, or never",
    When.WITHIN: "in the last days",
    When.NOT_WITHIN: "not in the last days",
}


class FieldRow(PlainForm):
    """One condition on a field."""

    name = SelectField("Field")
    test = SelectField("Test", choices=[SelectChoice(k, word) for k, word in _TESTS.items()])
    value = StringField("Value", validators=[at_most(500)])

    def validate_name(self, name: SelectField) -> None:
        """A value alone would ask nothing, and let in everybody."""
        if (self.value.data or "").strip() and not name.data:
            raise ValidationError("Choose the field that the value is about.")

    def validate_value(self, value: StringField) -> None:
        """An empty value is what “is empty” and “is filled in” are for."""
        bare = self.test.data in (FieldTest.FILLED, FieldTest.EMPTY)
        if self.name.data and not bare and not (value.data or "").strip():
            raise ValidationError("Write a value, or choose “is filled in” or “is empty”.")


class TimeRow(PlainForm):
    """Whether something happened lately."""

    when = SelectField("When", choices=[SelectChoice(k, word) for k, word in _WHEN.items()])
    days = IntegerField(
        "Days", validators=[Optional(), NumberRange(1, 3650, "Between 1 and 3,650 days.")]
    )

    def validate_when(self, when: SelectField) -> None:
        """Half a condition would ask nothing, or something that nobody chose."""
        if bool(when.data) != bool(self.days.data) and not self.days.errors:
            raise ValidationError(
                "Say how many days." if when.data else "Choose what is asked of these days."
            )


class SegmentForm(FlaskForm):
    """All conditions must hold; what is left alone asks nothing."""

    name = StringField("Segment name", validators=[at_most(200)])
    fields = FieldList(FormField(FieldRow), min_entries=_FIELD_ROWS, max_entries=_FIELD_ROWS)
    mailed = FormField(TimeRow)
    opened = FormField(TimeRow)
    clicked = FormField(TimeRow)
    in_list = SelectField("On the list", coerce=int)
    tag = SelectField("Has the tag")
    without_tag = SelectField("Has not the tag")
    of_campaign = SelectField("Was a recipient of", coerce=int)
    outcome = SelectField("What became of it", choices=[
        SelectChoice(known, word) for known, word in OUTCOME.items()
    ])  # fmt: skip

    def validate_of_campaign(self, of_campaign: SelectField) -> None:
        """An outcome alone would ask nothing."""
        if self.outcome.data != MailOutcome.EVERYBODY and not of_campaign.data:
            raise ValidationError("Choose the campaign that this is about.")


@blueprint.get("/")
def index() -> str:
    """All segments with their present counts."""
    found = segments.all_segments(session())
    return render_template("segments/index.html", segments=found)


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> str | tuple[str, int] | AnyResponse:
    """Make a segment."""
    return _edit(None)


@blueprint.route("/<int:segment_id>", methods=["GET", "POST"])
def edit(segment_id: int) -> str | tuple[str, int] | AnyResponse:
    """Look at a segment, count it, change it."""
    return _edit(segments.get_segment(session(), segment_id))


@blueprint.post("/<int:segment_id>/delete")
def delete(segment_id: int) -> AnyResponse:
    """Delete a segment; it is quickly made again, so nothing is asked."""
    with writing(session()) as db:
        segments.remove(db, segment_id)
    flash("The segment is deleted.")
    return redirect(url_for(".index"), code=303)


def _edit(saved: Segment | None) -> str | tuple[str, int] | AnyResponse:
    """The form; its two buttons count only, or save as well."""
    segment_id, form = saved.id if saved else None, _form(saved)
    conditions = Conditions.of_json(saved.conditions) if saved else None
    if form.validate_on_submit():
        conditions = _conditions(form)
        if request.form.get("deed") == "save":
            try:
                with writing(session()) as db:
                    kept = segments.save(db, segment_id, form.name.data or "", conditions, now())
                flash("Saved.")
                return redirect(url_for(".edit", segment_id=kept.id), code=303)
            except campaigns.Refused as refusal:
                form.name.errors = [str(refusal)]
    asked = conditions or Conditions()
    page = render_template(
        "segments/edit.html",
        form=form,
        segment_id=segment_id,
        counted=_count(asked) if conditions is not None else None,
        sample=() if asked.asks_nothing else segments.sample(session(), asked),
        exact=url_for(".exact", asked=_packed(asked)),
    )
    return page, 400 if form.errors else 200


def _count(asked: Conditions) -> Counted:
    """At once by a sample where the exact figure takes long, unless a person waits for it."""
    if request.form.get("deed") == "exact" or len(_packed(asked)) > _LONGEST_ADDRESS:
        return Counted(segment_counts.count(session(), asked), True)
    return segment_counts.count_at_once(session(), asked, _CHANCE)


def _packed(asked: Conditions) -> str:
    return json.dumps(asked.as_json(), separators=(",", ":"))


@blueprint.get("/count")
def exact() -> Response:
    """The exact figure, for the page that has shown an estimate."""
    try:
        asked = Conditions.of_json(json.loads(request.args.get("asked", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        abort(400)
    counted = Counted(segment_counts.count(session(), asked), True)
    return live_response(render_template("segments/_count.html", counted=counted, exact=""), 0)


def _form(saved: Segment | None) -> SegmentForm:
    form = SegmentForm(data=_values(saved) if saved else {})
    of_lists = lists.all_lists(session())
    names = dict.fromkeys(str(name) for one in of_lists for name in one.variables)
    chosen = [row.form.name.data for row in form.fields if row.form.name.data]
    for row in form.fields:
        row.form.name.choices = [
            SelectChoice("", "any field"), SelectChoice("email", "address"),
            *(SelectChoice(name, name) for name in dict.fromkeys([*names, *chosen])
              if name != "email"),
        ]  # fmt: skip
    form.in_list.choices = [SelectChoice(0, "any or none"),
                            *(SelectChoice(one.id, one.name) for one in of_lists)]  # fmt: skip
    tags = [SelectChoice("", "any or none"),
            *(SelectChoice(tag, tag) for tag in contacts.all_tags(session()))]  # fmt: skip
    form.tag.choices = form.without_tag.choices = tags
    others = [one for one, counters in campaigns.list_campaigns(session()) if counters.total]
    form.of_campaign.choices = [SelectChoice(0, "any campaign or none"),
                                *(SelectChoice(one.id, one.name) for one in others)]  # fmt: skip
    return form


def _values(saved: Segment) -> dict[str, Any]:
    asked = Conditions.of_json(saved.conditions)
    times = {one.deed.value: {"when": one.when.value, "days": one.days} for one in asked.times}
    rows = [{"name": one.name, "test": one.test.value, "value": one.value} for one in asked.fields]
    return {
        "name": saved.name,
        "fields": rows,
        **times,
        "in_list": asked.list_id or 0,
        "tag": asked.tag or "",
        "without_tag": asked.without_tag or "",
        "of_campaign": asked.campaign_id or 0,
        "outcome": (asked.outcome or MailOutcome.EVERYBODY).value,
    }


def _conditions(form: SegmentForm) -> Conditions:
    rows = [row.form for row in form.fields if row.form.name.data]
    times = [(deed, form[deed.value].form) for deed in Deed]
    campaign_id = form.of_campaign.data or None
    return Conditions(
        fields=tuple(
            FieldCondition(row.name.data, FieldTest(row.test.data), row.value.data or "")
            for row in rows
        ),
        times=tuple(
            TimeCondition(deed, When(row.when.data), row.days.data)
            for deed, row in times
            if row.when.data
        ),
        list_id=form.in_list.data or None,
        tag=form.tag.data or None,
        without_tag=form.without_tag.data or None,
        campaign_id=campaign_id,
        outcome=MailOutcome(form.outcome.data) if campaign_id else None,
    )
