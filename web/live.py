"""Live updates: one fragment of the page again, or 304, and how long to wait before the next."""

from __future__ import annotations

from flask import Response, request


def live_response(html: str, next_in: int) -> Response:
    """A fragment with an ETag; `next_in` seconds until the page should ask again, 0 = never."""
    response = Response(html, mimetype="text/html")
    response.headers["X-Next-In"] = str(next_in)
    response.headers["Cache-Control"] = "no-cache, private"
    response.add_etag()
    response.make_conditional(request)
    return response
