"""A form that was sent after its session had ended: what was typed is kept, to be sent once more.

It travels inside the pages, from the refused form through the sign-in page to a button; nothing
is stored. Only what a page of this site sent is kept, never a file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import render_template, request

from web.input import FORM_TYPE

#: What forms carry without anybody's doing; a form of nothing else is a mere press.
_NOT_TYPED = {"csrf_token", "once", "back"}


@dataclass(frozen=True)
class Kept:
    """A form as it was sent: where to, and its fields without the token."""

    path: str
    fields: tuple[tuple[str, str], ...]

    def packed(self) -> str:
        """The text that `unpacked` reads."""
        return json.dumps([self.path, self.fields])


def from_request() -> Kept | None:
    """What was typed into the form of this request; None if another site or a script sent it."""
    site = urlsplit(request.headers.get("Origin", "")).netloc
    is_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if request.method != "POST" or request.mimetype != FORM_TYPE:
        return None
    if site != request.host or not is_page or request.headers.get("X-Live"):
        return None
    if not request.form.keys() - _NOT_TYPED:
        return None
    fields = ((name, text) for name, text in request.form.items(multi=True) if name != "csrf_token")
    return Kept(request.full_path.rstrip("?"), tuple(fields))


def unpacked(text: str) -> Kept | None:
    """What `Kept.packed` wrote; None for anything else."""
    try:
        path, fields = json.loads(text)
        return Kept(str(path), tuple((str(name), str(value)) for name, value in fields))
    except (ValueError, TypeError):
        return None


def page(kept: Kept, title: str, sentence: str) -> str:
    """The page that sends it once more at a press, with the token of the present session."""
    return render_template("auth/resend.html", kept=kept, title=title, sentence=sentence)
