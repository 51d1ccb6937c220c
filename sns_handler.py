"""Where SES events come in: the webhook's blueprint, the queue's poller, the background applier.

Both doors believe only AWS, store first, and acknowledge after the commit. The parts live in the
package doors/; what an event does to a row is services.delivery_events.
"""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request

from doors.event_applier import EventApplier
from doors.sqs_poller import QueueDepth, SqsPoller
from doors.webhook import Webhook

__all__ = ["EventApplier", "QueueDepth", "SqsPoller", "Webhook", "blueprint", "webhook_of"]

#: SNS publishes 256 KB at most; written as JSON inside JSON that can double.
MAX_BODY_BYTES = 1024 * 1024
_EXTENSION = "bes_webhook"

blueprint = Blueprint("sns", __name__)
_making = threading.Lock()


@blueprint.post("/sns-notifications")
def notifications() -> Response:
    """A post by SNS: 200 stored or ignored, 400 no SNS, 403 not believed, 503 try again."""
    body = request.stream.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        return _plain(400, "This is too large for an SNS message.")
    answer = webhook_of(current_app._get_current_object()).receive(body)  # type: ignore[attr-defined]
    return _plain(answer.status, answer.text)


def webhook_of(app: Flask) -> Webhook:
    """The application's webhook, made at the first post."""
    with _making:
        webhook: Webhook | None = app.extensions.get(_EXTENSION)
        if webhook is None:
            wiring: Any = app.extensions["bes"]
            webhook = app.extensions[_EXTENSION] = Webhook(wiring.settings, wiring.sessions)
        return webhook


def _plain(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain; charset=utf-8")
