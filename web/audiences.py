"""Where a campaign's recipients come from beside its own files: lists and outcomes, chosen."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import FloatField, SelectChoice, SelectField, SelectMultipleField, widgets
from wtforms.validators import NumberRange, Optional, ValidationError

from audience_models import Audience
from database import writing
from domain.statuses import AudienceKind, CampaignStatus, MailOutcome
from models import Campaign
from services import audience_query, audiences, campaigns, lists, segments
from services.audiences import Source
from services.segment_counts import PATIENCE_SECONDS, Counted
from web.context import now
from web.database import session
from web.formatting import count
from web.live import live_response
from web.wording import OUTCOME

blueprint = Blueprint("audiences", __name__, url_prefix="/campaigns/<int:campaign_id>/audience")
_CHANCE = random.SystemRandom()
_LAUNCHED = (CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.SENT,
             CampaignStatus.CANCELLED)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a campaign's page says about its audience."""

    words: list[str]  # one for each source, then the share and who is left out
    audience: Audience
    size: Counted  # people now, or those that were fixed


class AudienceForm(FlaskForm):
    """Lists by tick, one other campaign by what became of it, a share, and who is left out."""

    lists = SelectMultipleField(
        "Lists", coerce=int, option_widget=widgets.CheckboxInput(),
        widget=widgets.ListWidget(prefix_label=False),
    )  # fmt: skip
    segments = SelectMultipleField(
        "Segments", coerce=int, option_widget=widgets.CheckboxInput(),
        widget=widgets.ListWidget(prefix_label=False),
    )  # fmt: skip
    of_campaign = SelectField("Recipients of another campaign", coerce=int)
    outcome = SelectField(
        "Which of them", choices=[SelectChoice(known, word) for known, word in OUTCOME.items()]
    )
    percent = FloatField(
        "Share in percent",
        validators=[Optional(), NumberRange(0.01, 100, "A share is more than 0, at most 100.")],
    )
    leave_out = SelectField("Leave out everybody of", coerce=int)

    def validate_of_campaign(self, of_campaign: SelectField) -> None:
        """An outcome alone would add nobody."""
        if self.outcome.data != MailOutcome.EVERYBODY and not of_campaign.data:
            raise ValidationError("Choose the campaign that this is about.")


@blueprint.route("/", methods=["GET", "POST"])
def edit(campaign_id: int) -> str | tuple[str, int] | Response:
    """Choose, and see how many people that is."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    page = url_for("campaigns.show", campaign_id=campaign_id)
    if campaign.status not in campaigns.EDITABLE:
        flash("This campaign has been launched: its recipients are fixed.", "error")
        return redirect(page, code=303)
    form = _form(campaign_id)
    if form.validate_on_submit():
        try:
            with writing(session()) as db:
                audiences.choose(
                    db, campaign_id, _sources(form), now(), percent=form.percent.data or 100.0,
                    leave_out=form.leave_out.data or None,
                )  # fmt: skip
            flash("Saved.")
            return redirect(url_for(".edit", campaign_id=campaign_id), code=303)
        except campaigns.Refused as refusal:
            form.lists.errors = [str(refusal)]
            campaign = campaigns.get_campaign(session(), campaign_id)
    page = render_template(
        "audiences/edit.html", form=form, campaign=campaign, chosen=chosen(campaign)
    )
    return page, 400 if form.errors else 200


def _form(campaign_id: int) -> AudienceForm:
    audience = session().get(Audience, campaign_id)
    sources = audience_query.sources_of(session(), campaign_id)
    values: dict[str, Any] = {
        "lists": [one.of_id for one in sources if one.kind is AudienceKind.LIST],
        "segments": [one.of_id for one in sources if one.kind is AudienceKind.SEGMENT],
    }
    for source in sources:
        if source.kind is AudienceKind.OUTCOME and source.outcome:
            values |= {"of_campaign": source.of_id, "outcome": source.outcome.value}
    if audience is not None:
        percent = audience.percent
        shown = int(percent) if percent.is_integer() else percent
        values |= {"percent": shown, "leave_out": audience.leave_out or 0}
    form = AudienceForm(data={"percent": 100, **values})
    form.lists.choices = [
        SelectChoice(one.id, f"{one.name} ({count(one.members, 'person', 'people')})")
        for one in lists.all_lists(session())
    ]
    form.segments.choices = [
        SelectChoice(one.id, one.name) for one in segments.all_segments(session())
    ]
    others = [
        SelectChoice(one.id, one.name)
        for one, counters in campaigns.list_campaigns(session())
        if one.id != campaign_id and one.status in _LAUNCHED and counters.total
    ]
    form.of_campaign.choices = [SelectChoice(0, "none"), *others]
    form.leave_out.choices = [SelectChoice(0, "nobody"), *others]
    return form


def _sources(form: AudienceForm) -> list[Source]:
    found = [Source(AudienceKind.LIST, list_id) for list_id in form.lists.data or []]
    found += [Source(AudienceKind.SEGMENT, one) for one in form.segments.data or []]
    if form.of_campaign.data:
        outcome = MailOutcome(form.outcome.data)
        found.append(Source(AudienceKind.OUTCOME, form.of_campaign.data, outcome))
    return found


@blueprint.get("/size")
def size(campaign_id: int) -> Response:
    """The exact figure, for the page that has shown an estimate."""
    campaigns.get_campaign(session(), campaign_id)
    people = Counted(audience_query.size(session(), campaign_id), True)
    return live_response(render_template("audiences/_size.html", size=people, exact=""), 0)


def chosen(campaign: Campaign, patience: float = PATIENCE_SECONDS) -> Chosen | None:
    """The audience in words; None for a campaign that has its own files only.

    Its size is exact if the database has it within `patience` seconds.
    """
    audience = session().get(Audience, campaign.id)
    if audience is None:
        return None
    words = []
    for source in audience_query.sources_of(session(), campaign.id):
        kind, table = audience_query.OF[source.kind]
        found: Any = session().get(table, source.of_id)
        name = f"{kind.capitalize()} {found.name}" if found else f"A {kind} that is deleted"
        outcome = f": {OUTCOME[source.outcome].lower()}" if source.outcome else ""
        words.append(name + outcome)
    if audience.percent < 100:
        words.append(f"{audience.percent:g}% of them, by chance")
    if audience.leave_out:
        without = session().get(Campaign, audience.leave_out)
        words.append(f"nobody of {without.name}" if without else "nobody of a deleted campaign")
    if audience.frozen_at is not None:
        return Chosen(words, audience, Counted(audience.total, True))
    people = audience_query.size_at_once(session(), campaign.id, _CHANCE, patience)
    return Chosen(words, audience, people)
