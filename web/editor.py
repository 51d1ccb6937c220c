"""New Campaign and Edit campaign: the form, and what it amounts to while one types."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.rendering import TemplateProblem
from domain.schedule import zone_names
from domain.starter_templates import starter_templates
from models import Campaign
from services import previews
from services.campaigns import (
    EDITABLE,
    EditConflict,
    Refused,
    create_campaign,
    get_campaign,
    update_campaign,
)
from services.previews import Preview, Problem
from services.sending_options import set_options
from web import once
from web.campaign_form import CampaignForm, form_for
from web.context import now
from web.database import session, settings
from web.input import row_number
from web.mail_frame import mail_frame

blueprint = Blueprint("editor", __name__, url_prefix="/campaigns")


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> str | tuple[str, int] | AnyResponse:
    """Write a campaign; it becomes a draft when it is saved."""
    form = CampaignForm()
    if request.method == "GET" or _put_starter(form):
        return _page(form, None, unsaved=request.method == "POST")
    return _save(form, None)


@blueprint.route("/<int:campaign_id>/edit", methods=["GET", "POST"])
def edit(campaign_id: int) -> str | tuple[str, int] | AnyResponse:
    """Change a campaign that has not been launched."""
    campaign = get_campaign(session(), campaign_id)
    if campaign.status not in EDITABLE:
        flash("This campaign has been launched: its content can no longer change.", "error")
        return redirect(url_for("campaigns.show", campaign_id=campaign_id), code=303)
    form = form_for(campaign)
    if request.method == "GET" or _put_starter(form):
        return _page(form, campaign, unsaved=request.method == "POST")
    return _save(form, campaign)


@blueprint.post("/preview-facts")
def facts() -> str:
    """Subject, sender and hints for what is in the form right now; nothing is stored."""
    return render_template("editor/_facts.html", facts=_preview(CampaignForm()))


@blueprint.post("/preview-frame")
def frame() -> Response:
    """The mail for what is in the form right now, for the frame beside it; nothing is stored."""
    return mail_frame(_preview(CampaignForm()))


def _put_starter(form: CampaignForm) -> bool:
    """Put the chosen starter template into the form, if that is what was pressed."""
    chosen = next(
        (one for one in starter_templates() if one.key == request.form.get("starter")), None
    )
    if chosen is None:
        return False
    form.html.data = chosen.html
    form.subject.data = form.subject.data or chosen.subject
    form.text_is_automatic.data = True
    return True


def _save(form: CampaignForm, campaign: Campaign | None) -> str | tuple[str, int] | AnyResponse:
    if not form.validate():
        return _page(form, campaign, unsaved=True, code=400)
    try:
        with writing(session()) as db:
            page = once.take(db, request.form.get("once"), now())
            if page is None:
                saved = _write(form, campaign)
                page = url_for("campaigns.show", campaign_id=saved.id)
                once.keep(db, request.form.get("once"), page)
    except TemplateProblem as problem:
        found = previews.problem_of(problem, form.content())
        return _page(form, campaign, unsaved=True, problem=found, code=400)
    except EditConflict:
        present = get_campaign(session(), campaign.id) if campaign else None
        return _page(form, present, unsaved=True, conflict=True, code=409)
    except Refused as refusal:
        form.form_errors.append(str(refusal))
        return _page(form, campaign, unsaved=True, code=400)
    flash("Campaign saved.")
    return redirect(page, code=303)


def _write(form: CampaignForm, campaign: Campaign | None) -> Campaign:
    content = form.content()
    if campaign is None:
        saved = create_campaign(session(), content, settings(), now(), current_user.email)
    else:
        seen = request.form.get("overwrite") or form.content_version.data or ""
        version = int(seen) if seen.isdigit() else None
        saved = update_campaign(
            session(), campaign.id, content, settings(), now(), expected_version=version
        )
    return set_options(session(), saved.id, form.options(), now())


def _page(
    form: CampaignForm,
    campaign: Campaign | None,
    *,
    unsaved: bool = False,
    problem: Problem | None = None,
    conflict: bool = False,
    code: int = 200,
) -> tuple[str, int]:
    some = previews.people(session(), campaign.id) if campaign else []
    values: dict[str, Any] = {
        "form": form,
        "campaign": campaign,
        "unsaved": unsaved,
        "problem": problem,
        "conflict": conflict,
        "starters": starter_templates(),
        "variables": previews.variables(session(), campaign),
        "people": [previews.as_person(one) for one in some],
        "facts": _preview(form, campaign),
        "zones": zone_names(),
        "defaults": settings(),
        "show_text": bool(form.text.errors) or (problem is not None and problem.field == "text"),
    }
    return render_template("editor/edit.html", **values), code


def _preview(form: CampaignForm, campaign: Campaign | None = None) -> Preview:
    """The mail as the form stands, for the recipient chosen in it."""
    if campaign is None and (number := request.args.get("campaign_id", type=row_number)):
        campaign = get_campaign(session(), number)
    recipient = None
    if campaign is not None:
        chosen = request.form.get("recipient", type=row_number)
        recipient = previews.find_recipient(session(), campaign.id, chosen)
    columns = list(campaign.variables) if campaign is not None and recipient else None
    return previews.preview(form.content(), recipient, columns, settings())
