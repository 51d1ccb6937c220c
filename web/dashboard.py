"""The dashboard: what needs a person, what runs, how the account is, what was finished."""

from __future__ import annotations

from flask import Blueprint, render_template

blueprint = Blueprint("dashboard", __name__)


@blueprint.get("/")
def index() -> str:
    """The first page after signing in."""
    return render_template("dashboard/index.html")
