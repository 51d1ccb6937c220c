"""Live updates: one fragment of the page again, or 304, and how long to wait before the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, current_app, request

from web.context import zone

#: A fragment is shown again to whoever asks for the same within this time (seconds): many open
#: pages of a campaign cost hardly more than one. Below the two seconds between two looks, so that
#: no page sees older figures than before, whichever process answers.
KEPT_SECONDS = 1.9
_MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class _Kept:
    html: str
    etag: str
    next_in: int
    until: float


def init_app(app: Flask) -> None:
    """Give an application its memory of fragments."""
    app.config.setdefault("LIVE_KEPT_SECONDS", KEPT_SECONDS)
    app.extensions["bes_fragments"] = {}


def shared_fragment(make: Callable[[], tuple[str, int]]) -> Response:
    """The fragment that this address stands for, made anew unless it just was.

    `make` gives the HTML and the seconds until the page should ask again. The HTML may depend on
    nothing but the address, the viewer's zone and the database: everybody signed in may see it.
    """
    kept: dict[tuple[str, str], _Kept] = current_app.extensions["bes_fragments"]
    key = (request.full_path, zone().key)
    found = kept.get(key)
    if found is None or time.monotonic() >= found.until:
        html, next_in = make()
        until = time.monotonic() + current_app.config["LIVE_KEPT_SECONDS"]
        response = live_response(html, next_in)
        etag, _ = response.get_etag()
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = _Kept(html, etag or "", next_in, until)
        return response
    return live_response(found.html, found.next_in, found.etag)


def live_response(html: str, next_in: int, etag: str | None = None) -> Response:
    """A fragment with an ETag; `next_in` seconds until the page should ask again, 0 = never."""
    response = Response(html, mimetype="text/html")
    response.headers["X-Next-In"] = str(next_in)
    response.headers["Cache-Control"] = "no-cache, private"
    if etag:
        response.set_etag(etag)
    else:
        response.add_etag()
    response.make_conditional(request)
    return response
