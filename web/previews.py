"""The mail of a campaign as any of its recipients gets it."""

from __future__ import annotations

import json

from flask import Blueprint, Response, render_template, request

from domain.addresses import address_key
from models import Campaign, Recipient
from services import previews
from services.campaigns import EDITABLE, get_campaign
from services.previews import Preview
from web.database import session, settings
from web.input import row_number
from web.mail_frame import mail_frame

blueprint = Blueprint("previews", __name__, url_prefix="/campaigns/<int:campaign_id>")
VIEWS = ("desktop", "phone", "text", "headers")


@blueprint.get("/preview")
def show(campaign_id: int) -> str:
    """One recipient's mail, with the way to the next, the one before, and to any other."""
    campaign = get_campaign(session(), campaign_id)
    person = _chosen(campaign_id)
    query = request.args.get("q", "")[:320].strip()
    view = request.args.get("view", "desktop")
    before, after = previews.neighbours(session(), person) if person else (None, None)
    return render_template(
        "previews/show.html",
        campaign=campaign,
        can_edit=campaign.status in EDITABLE,
        person=person,
        values=list(json.loads(person.variables).items()) if person else [],
        mail=_mail(campaign, person),
        view=view if view in VIEWS else "desktop",
        query=query,
        found=_found(campaign_id, query),
        previous=before,
        next=after,
    )


@blueprint.get("/preview/mail")
def mail(campaign_id: int) -> Response:
    """The HTML part alone, for the frame on the page."""
    campaign = get_campaign(session(), campaign_id)
    return mail_frame(_mail(campaign, _chosen(campaign_id)))


def _chosen(campaign_id: int) -> Recipient | None:
    number = request.args.get("recipient", type=row_number)
    query = request.args.get("q", "").strip()
    if number is None and query:
        return next(iter(_found(campaign_id, query)), None) or previews.find_recipient(
            session(), campaign_id, None
        )
    return previews.find_recipient(session(), campaign_id, number)


def _found(campaign_id: int, query: str) -> list[Recipient]:
    if not query:
        return []
    return previews.people(session(), campaign_id, begins=address_key(query), limit=12)


def _mail(campaign: Campaign, person: Recipient | None) -> Preview:
    columns = list(campaign.variables) if person else None
    return previews.preview(previews.content_of(campaign), person, columns, settings())
