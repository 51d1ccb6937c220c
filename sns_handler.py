"""Where SES events come in: the webhook, the queue's poller, the background applier.

Both doors believe only AWS, store first, and acknowledge after the commit. The parts live in the
package doors/; what an event does to a row is services.delivery_events.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.wsgi import get_input_stream

from doors.event_applier import EventApplier
from doors.pages_first import PagesFirst
from doors.second_poller import SecondPoller
from doors.sqs_poller import COLLECT_AFTER, QueueDepth, SqsPoller
from doors.webhook import Answer, Webhook

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = [
    "COLLECT_AFTER",
    "EventApplier",
    "QueueDepth",
    "SecondPoller",
    "SqsPoller",
    "Webhook",
    "init_app",
    "webhook_of",
]

logger = logging.getLogger(__name__)
PATH = "/sns-notifications"
#: SNS publishes 256 KB at most; written as JSON inside JSON that can double.
MAX_BODY_BYTES = 1024 * 1024
_EXTENSION = "bes_webhook"
_HEADERS = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'"),
    ("Cache-Control", "no-store"),
)
_making = threading.Lock()


class NotificationsDoor:
    """The webhook in front of Flask, whose handling of a request costs more than the message.

    200 stored or ignored, 400 no SNS, 403 not believed, 503 try again; 405 for anything but POST.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._pages = app.wsgi_app
        self._pages_first = PagesFirst()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what is for the webhook; the rest is for the pages."""
        if environ.get("PATH_INFO") != PATH:
            with self._pages_first.page():
                return self._pages(environ, start_response)
        answer = self._answer(environ)
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else f"{answer.text}\n".encode()
        headers = [*_HEADERS, ("Content-Length", str(len(body)))]
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "POST"))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return Answer(405, "Only SNS posts here.")
        webhook = webhook_of(self._app)
        try:
            body = get_input_stream(environ).read(MAX_BODY_BYTES + 1)
        except Exception as error:  # whatever the server raises when a body ends too early
            webhook.refusals.count("body could not be read", type(error).__name__)
            return Answer(400, "The message did not arrive whole.")
        if len(body) > MAX_BODY_BYTES:
            webhook.refusals.count("body too large")
            return Answer(400, "This is too large for an SNS message.")
        self._pages_first.let_pass()
        try:
            return webhook.receive(body)
        except Exception:
            logger.exception("a notification could not be answered")
            return Answer(503, "Try again.")


def init_app(app: Flask) -> None:
    """Put the webhook in front of the application."""
    app.wsgi_app = NotificationsDoor(app)  # type: ignore[method-assign]


def webhook_of(app: Flask) -> Webhook:
    """The application's webhook, made at the first post."""
    webhook: Webhook | None = app.extensions.get(_EXTENSION)
    if webhook is not None:
        return webhook
    with _making:
        webhook = app.extensions.get(_EXTENSION)
        if webhook is None:
            wiring: Any = app.extensions["bes"]
            webhook = app.extensions[_EXTENSION] = Webhook(wiring.settings, wiring.sessions)
        return webhook
