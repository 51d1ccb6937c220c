"""The list of campaigns and the page of one campaign, in all its states."""

from __future__ import annotations

from flask import Blueprint, render_template

from services.campaigns import list_campaigns
from web.database import session

blueprint = Blueprint("campaigns", __name__, url_prefix="/campaigns")


@blueprint.get("/")
def index() -> str:
    """All campaigns, newest first."""
    return render_template("campaigns/index.html", rows=list_campaigns(session()))
