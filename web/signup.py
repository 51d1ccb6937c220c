"""The public pages of a sign-up: the form, the link in the mail, the way out; no login, no cookie.

A form may be pasted into any site, so that its post carries no proof of ours. Such a post does
nothing but show our own page, filled in; only that page's post, which carries the time it was
shown at, sends a mail. Looking at the link (GET) confirms nothing: scanners follow every link.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, render_template, request, url_for

from audience_models import ContactList, Signup, SignupForm
from database import writing
from domain.signup_tokens import make_stamp, read_confirm_token, read_stamp
from services import signup_forms, signups
from services.campaigns import Refused
from services.installation import address_key_secret
from web.context import now
from web.database import session, settings
from web.public import masked

blueprint = Blueprint("signup", __name__, url_prefix="/s")
#: A person needs longer than that to read a form (seconds), and does not leave it open for a day.
_QUICKEST, _LONGEST = 2.0, 86_400.0
_ONE_MORE = "One more press, and the mail is on its way."
_TOO_QUICK = "That was very quick. Please press the button once more."


@blueprint.route("/<public_id>", methods=["GET", "POST"])
def form(public_id: str) -> str | tuple[str, int]:
    """The form; its answer is the same whether the address is known or not."""
    found = signup_forms.open_form(session(), public_id, settings())
    if found is None:
        return _page("closed"), 404
    if request.method == "GET":
        return _form(found)
    if request.form.get("website"):  # no person sees that field
        return _page("asked", form=found)
    shown_at = read_stamp(address_key_secret(session()), public_id, request.form.get("shown", ""))
    age = now().timestamp() - (shown_at or 0.0)
    if shown_at is None or age > _LONGEST:
        return _form(found, said=_ONE_MORE)
    if age < _QUICKEST:
        return _form(found, said=_TOO_QUICK, shown=request.form["shown"]), 400
    return _ask(found)


def _ask(found: SignupForm) -> str | tuple[str, int]:
    fields = {name: request.form.get(name, "") for name, _ in signup_forms.fields_of(found)}
    page = _plain_page(request.form.get("page", "")) or _own_page(found)
    email = request.form.get("email", "")
    asked = signups.Request(email, fields, request.remote_addr or "-", page)
    try:
        with writing(session()) as db:
            signups.ask(db, found, asked, now())
    except Refused as refusal:
        return _form(found, problem=str(refusal)), 400
    except signups.TooMany as limit:
        return _form(found, said=str(limit)), 429
    return _page("asked", form=found)


@blueprint.route("/confirm/<token>", methods=["GET", "POST"])
def confirm(token: str) -> str | tuple[str, int]:
    """GET shows a button; POST puts the person on the list, once."""
    if request.method == "GET":
        signup = _signup(token, lock=False)
    else:
        with writing(session()) as db:
            signup = _signup(token, lock=True)
            if signup is not None:
                signups.confirm(db, signup, request.remote_addr or "-", now())
    if signup is None:
        return _page("unknown"), 404
    name = "confirm" if signup.confirmed_at is None else "confirmed"
    return _about(name, signup, token)


@blueprint.post("/leave/<token>")
def leave(token: str) -> str | tuple[str, int]:
    """The way out, for who has just confirmed."""
    with writing(session()) as db:
        signup = _signup(token, lock=True)
        if signup is not None and signup.confirmed_at is not None:
            signups.leave(db, signup, now())
    if signup is None or signup.confirmed_at is None:
        return _page("unknown"), 404
    return _about("confirmed", signup, token)


def _signup(token: str, *, lock: bool) -> Signup | None:
    claim = read_confirm_token(address_key_secret(session()), token)
    return signups.find(session(), claim, now(), lock=lock)


def _about(name: str, signup: Signup, token: str) -> str:
    saved = signup_forms.form_of(session(), signup.list_id)
    of_list = session().get_one(ContactList, signup.list_id)
    return _page(
        name,
        form=saved,
        title=saved.title if saved else of_list.name,
        token=token,
        address=masked(signup.email),
        is_on=signups.is_on_list(session(), signup),
    )


def _form(found: SignupForm, *, said: str = "", problem: str = "", shown: str | None = None) -> str:
    """The form with what was typed, also on another site."""
    secret = address_key_secret(session())
    stamp = make_stamp(secret, found.public_id, now().timestamp())
    posted = request.method == "POST"
    page = request.form.get("page", request.referrer or "") if posted else ""
    return _page(
        "form",
        form=found,
        fields=signup_forms.fields_of(found),
        typed=request.form,
        said=said,
        problem=problem,
        shown=shown or stamp,
        page=_plain_page(page),
    )


def _own_page(found: SignupForm) -> str:
    return f"{settings().base_url}{url_for('.form', public_id=found.public_id)}"


def _plain_page(text: str) -> str:
    """The address of a page without what may be personal in it; nothing for what is none."""
    try:
        parts = urlsplit(text)
        place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return ""
    return f"{parts.scheme}://{place}{parts.path}" if parts.scheme in ("http", "https") else ""


def _page(name: str, **values: Any) -> str:
    return render_template(
        f"signup/{name}.html",
        sender=settings().sender_name,
        postal_address=settings().postal_address,
        days=signups.LINK_DAYS,
        **values,
    )
