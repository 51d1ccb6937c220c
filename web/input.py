"""What people may send: numbers of rows, text that can be stored, and how long it may be."""

from __future__ import annotations

from flask import request
from flask_login import current_user
from werkzeug.exceptions import BadRequest
from wtforms.validators import Length

from web.formatting import number

FORM_TYPE = "application/x-www-form-urlencoded"
_LARGEST_NUMBER = 2**63 - 1


class Unstorable(BadRequest):
    """A NUL character, which PostgreSQL keeps in no text."""


def row_number(text: str) -> int:
    """A number that the database can compare; ValueError, so that others count as absent."""
    found = int(text)
    if not -1 < found <= _LARGEST_NUMBER:
        raise ValueError(text)
    return found


def at_most(most: int) -> Length:
    """A rule for text of at most so many characters that says what to do."""
    return Length(max=most, message=f"Shorten it: at most {number(most)} characters fit.")


def refuse_unstorable() -> None:
    """Before a view: refuse NUL characters. Bodies of strangers are read only if they are small."""
    texts = [text for values in request.args.listvalues() for text in values]
    texts += [text for text in (request.view_args or {}).values() if isinstance(text, str)]
    # Who it is asks the database, which styles and pictures do without.
    if request.mimetype == FORM_TYPE or (request.method != "GET" and current_user.is_authenticated):
        texts += [text for values in request.form.listvalues() for text in values]
        texts += [file.filename or "" for file in request.files.values()]
    if any("\0" in text for text in texts):
        raise Unstorable
