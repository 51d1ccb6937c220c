"""Error pages, and what happens when a service refuses a deed: a sentence and the way back."""

from __future__ import annotations

import logging
import sqlite3

from flask import (
    Flask,
    current_app,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_login import AnonymousUserMixin, current_user
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from database import DatabaseBusy
from services.campaigns import NotFound, Refused
from web import resend
from web.database import session
from web.formatting import zone_or_utc
from web.input import Unstorable
from web.security import local_path

log = logging.getLogger(__name__)

#: Title and sentence by status code: what happened, what it means, what to do.
_WORDS = {
    400: ("That request could not be read", "Nothing was changed. Go back and try again."),
    403: ("That is not yours to see", "You are signed in, but this is not open to you."),
    404: (
        "There is nothing here",
        "The address may be mistyped, or what stood here was deleted.",
    ),
    405: ("That button belongs to another page", "Nothing was changed. Go back and try again."),
    413: (
        "That file is too large",
        "Nothing was stored. Split the file, or import it from the command line.",
    ),
    500: (
        "Something broke on our side",
        "The fault is in the server’s log. Nothing was half stored; it is safe to try again.",
    ),
    503: ("The server is busy", "Nothing was changed. Wait a moment and try again."),
}
_NO_DATABASE = (
    "The database does not answer",
    "It may be stopped, or its disk full. Wait, reload, and see whether your change is there.",
)
_CSRF = (
    "This form has gone stale",
    "Nothing was changed: you signed out or in again since. Go back, reload, and press once more.",
)
_NO_COOKIE = (
    "Your browser sent no cookie",
    "Nothing was changed. Reload the page and try again; if this comes back, allow cookies for us.",
)
_UNSTORABLE = (
    "A character in this cannot be stored",
    "Nothing was changed. It is the invisible NUL: go back, type the text anew and try again.",
)


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.register_error_handler(HTTPException, show_error)
    app.register_error_handler(NotFound, show_not_found)
    app.register_error_handler(Refused, show_refusal)
    app.register_error_handler(DatabaseBusy, show_busy)
    app.register_error_handler(OperationalError, show_no_database)


def show_error(error: HTTPException) -> tuple[str, int] | Response:
    """The page of an HTTP error; redirects and ready responses pass."""
    code = error.code or 500
    if error.response is not None or code < 400:
        return error.get_response()
    if isinstance(error, InternalServerError):
        return _broken()
    title, sentence = _WORDS.get(code, (error.name, error.description or ""))
    if isinstance(error, CSRFError):
        if current_user.is_authenticated and (kept := resend.from_request()):
            return resend.page(kept, _CSRF[0], "You signed out or in again since."), code
        has_cookie = current_app.config["SESSION_COOKIE_NAME"] in request.cookies
        title, sentence = _CSRF if has_cookie else _NO_COOKIE
    elif isinstance(error, Unstorable):
        title, sentence = _UNSTORABLE
    return _page(code, title, sentence)


def show_not_found(error: NotFound) -> tuple[str, int]:
    """A service did not find what the address names."""
    return _page(404, _WORDS[404][0], str(error))


def show_refusal(error: Refused) -> Response:
    """A service refused: say why, and go back to where the button was."""
    session().rollback()
    flash(str(error), "error")
    back = local_path(request.form.get("back"), url_for("dashboard.index"))
    return redirect(back, code=303)


def show_busy(error: DatabaseBusy) -> Response:
    """Another program holds the database for too long."""
    log.warning("%s %s could not write: %s", request.method, request.path, error.orig)
    return _later(*_WORDS[503])


def show_no_database(error: OperationalError) -> Response:
    """The database is stopped, out of reach or out of room; a wrong statement is our fault."""
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        raise error
    log.warning("%s %s: the database failed: %s", request.method, request.path, error.orig)
    return _later(*_NO_DATABASE)


def _later(title: str, sentence: str) -> Response:
    response = make_response(_without_database(503, title, sentence))
    response.headers["Retry-After"] = "10"
    return response


def _broken() -> tuple[str, int]:
    return _without_database(500, *_WORDS[500])


def _without_database(code: int, title: str, sentence: str) -> tuple[str, int]:
    """The page for a fault of ours: must not need the database, which may be the fault."""
    try:
        session().rollback()
    except SQLAlchemyError:
        log.warning("the session could not be rolled back after an error")
    g._login_user = AnonymousUserMixin()
    g.zone = zone_or_utc(None)
    return _page(code, title, sentence)


def _page(code: int, title: str, sentence: str) -> tuple[str, int]:
    layout = "base.html" if current_user.is_authenticated else "base_public.html"
    return (
        render_template("error.html", layout=layout, code=code, title=title, sentence=sentence),
        code,
    )
