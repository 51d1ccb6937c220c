"""The pages behind the links in mails: unsubscribing, without login, cookie, token or redirect.

RFC 8058: a mail program posts to the address by itself and expects a plain success. Looking (GET)
changes nothing, because scanners follow every link in a mail.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from database import writing
from domain.statuses import MemberStatus
from domain.unsubscribe_tokens import UnsubscribeClaim, read_token
from models import Campaign
from services import list_preferences
from services import unsubscribe as service
from services.installation import address_key_secret
from web.context import now
from web.database import session, settings

blueprint = Blueprint("public", __name__)
#: What a reader may answer, and how the suppression list says it.
REASONS = {
    "often": "Too many mails",
    "interest": "No longer interested",
    "never": "Never signed up",
    "other": "Another reason",
}


@blueprint.route("/u/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> str | tuple[str, int]:
    """GET shows a page with a button; POST unsubscribes at once, any number of times."""
    claim = _claim(token)
    if claim is None:
        return _page("unknown", token, None), 404
    if request.method == "POST":
        with writing(session()) as db:
            left = list_preferences.leave(db, claim, now()) if _only_lists() else []
            if not left:
                service.unsubscribe(db, claim, now())
        return _page("unsubscribed", token, claim, left=left)
    return _first_page(token, claim)


def _first_page(token: str, claim: UnsubscribeClaim) -> str:
    """What a reader sees who has pressed nothing yet, or comes back."""
    if service.look_up(session(), claim).is_unsubscribed:
        return _page("unsubscribed", token, claim)
    lists = [one.name for one in list_preferences.lists_of(session(), claim)]
    left = [] if lists else list_preferences.lists_of(session(), claim, MemberStatus.UNSUBSCRIBED)
    if left:
        return _page("unsubscribed", token, claim, left=[one.name for one in left])
    return _page("unsubscribe", token, claim, lists=lists)


def _only_lists() -> bool:
    """Whether a person chose so on the page; a mail program's own request says no such thing."""
    return request.form.get("scope") == "lists"


@blueprint.post("/u/<token>/reason")
def reason(token: str) -> str | tuple[str, int]:
    """Keep why somebody unsubscribed; nobody has to say it."""
    claim = _claim(token)
    if claim is None:
        return _page("unknown", token, None), 404
    given = REASONS.get(request.form.get("reason", ""), "")
    with writing(session()) as db:
        kept = bool(given) and service.give_reason(db, claim, given)
    return _page("unsubscribed", token, claim, thanked=True) if kept else _first_page(token, claim)


@blueprint.post("/u/<token>/undo")
def undo(token: str) -> str | tuple[str, int]:
    """Take an unsubscribe back; what another reason blocks stays blocked."""
    claim = _claim(token)
    if claim is None:
        return _page("unknown", token, None), 404
    with writing(session()) as db:
        service.take_back(db, claim)
        list_preferences.return_to(db, claim, now())
    is_back = not service.is_blocked(session(), claim)
    return _page("undone", token, claim, is_back=is_back)


def masked(email: str) -> str:
    """An address that its owner recognises and nobody else can use: q…e@coast.example."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}…{local[-1:] if len(local) > 2 else ''}@{domain}"


def _claim(token: str) -> UnsubscribeClaim | None:
    return read_token(address_key_secret(session()), token)


def _page(name: str, token: str, claim: UnsubscribeClaim | None, **values: Any) -> str:
    email, sender = None, settings().sender_name
    if claim is not None:
        email = service.look_up(session(), claim).email
        campaign = session().get(Campaign, claim.campaign_id)
        sender = (campaign.from_name if campaign else "") or sender
    return render_template(
        f"public/{name}.html",
        token=token,
        address=masked(email) if email else "",
        sender=sender,
        postal_address=settings().postal_address,
        **{"lists": [], "left": [], "thanked": False, "reasons": REASONS, **values},
    )
