"""Diagnostics: the whole way of a mail and of its events, checked, with what to do."""

from __future__ import annotations

from flask import Blueprint, render_template

from aws.clients import AwsClients
from services.diagnosis import Level, diagnose
from web.context import now
from web.database import session, wiring

blueprint = Blueprint("diagnostics", __name__, url_prefix="/diagnostics")
_ORDER = (Level.FAIL, Level.WARN, Level.OK)


@blueprint.get("/")
def index() -> str:
    """The checks, worst first."""
    wired = wiring()
    session().rollback()  # AWS is asked: no transaction stays open meanwhile
    checks = diagnose(wired.settings, wired.sessions, AwsClients(wired.settings), now())
    checks.sort(key=lambda check: (_ORDER.index(check.level), check.number))
    counts = {level.value: sum(check.level is level for check in checks) for level in _ORDER}
    return render_template("diagnostics/index.html", checks=checks, counts=counts)
