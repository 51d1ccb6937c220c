"""Looking into the simulator and switching its faults: everything under `/_sim/`.

The pages for people are in `pages.py`. For programs:


- `GET /_sim/outbox.json`: kept mails, newest first; `to`, `tag=name:value`, `q`, `message_id`,
  `before` (sequence), `limit` (1000), `bodies=1`, `counts=1` (mails per address, of all mails)
- `GET /_sim/counts.json`: mails per address of all mails, and those with more than one
- `GET /_sim/received.json`: receive times (epoch seconds) of all recipients, `after=INDEX`
- `GET /_sim/mails/ID.json`, `/html`, `/text`, `/source`; `POST /_sim/mails/ID/events` makes
  something happen to a mail (`{"kind": "Bounce", "detail": "Permanent/General"}`)
- `GET|PUT|POST|DELETE /_sim/faults`: all, replace, change some, none
- `POST /_sim/reset` (`keep=faults` leaves those, `setup=1` also makes topics, queues and
  configuration sets anew), `GET /_sim/stats`
- `GET /_sim/certificate` and `/_sim/certificates/FILE`: the certificate that signs SNS messages
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ses_simulator import content as contents
from ses_simulator.events import timestamp
from ses_simulator.http_server import Request, Response
from ses_simulator.outbox import Mail, bare_address
from ses_simulator.outcomes import Kind
from ses_simulator.pages import Pages
from ses_simulator.publisher import Publisher
from ses_simulator.world import World

_MAIL_PATH: Final = re.compile(r"/_sim/mails/([^/]+?)(?:\.json|/(html|text|source|events))")
# What is shown of a mail can run nothing and load nothing but pictures and styles.
_MAIL_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src http: https: data:; style-src 'unsafe-inline' http: https:; "
    "font-src http: https: data:"
)


def as_json(document: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(status, json.dumps(document, ensure_ascii=False).encode())


def mail_document(mail: Mail, bodies: bool = False) -> dict[str, Any]:
    """A mail as `/_sim/outbox.json` shows it."""
    document: dict[str, Any] = {
        "sequence": mail.sequence,
        "received": mail.received,
        "received_at": timestamp(mail.received),
        "message_id": mail.message_id,
        "operation": mail.operation,
        "region": mail.region,
        "from": mail.source,
        "to": list(mail.to),
        "cc": list(mail.cc),
        "bcc": list(mail.bcc),
        "reply_to": list(mail.reply_to),
        "subject": mail.subject,
        "headers": [{"name": name, "value": value} for name, value in mail.headers],
        "tags": mail.tags,
        "configuration_set": mail.configuration_set,
        "state": mail.state,
        "history": [{"at": at, "what": what} for at, what in mail.history],
    }
    if bodies:
        content = contents.of_mail(mail)
        document |= {"html": content.html, "text": content.text, "failure": content.failure}
    return document


class Control:
    """Dispatches what is under `/_sim/`."""

    def __init__(self, world: World, publisher: Publisher) -> None:
        self._world = world
        self._publisher = publisher
        self._pages = Pages(world)
        self._routes: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "/_sim/outbox.json"): self._outbox,
            ("GET", "/_sim/counts.json"): self._counts,
            ("GET", "/_sim/received.json"): self._received,
            ("GET", "/_sim/stats"): lambda _: as_json(self.stats()),
            ("GET", "/_sim/faults"): lambda _: as_json(self._world.faults.as_json()),
            ("PUT", "/_sim/faults"): self._replace_faults,
            ("POST", "/_sim/faults"): self._update_faults,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            ("POST", "/_sim/reset"): self._reset,
            ("GET", "/_sim/certificate"): self._certificate,
        }

    def handle(self, request: Request) -> Response | None:
        """The answer, or None for a path that is none of these."""
        if request.method != "GET" and not _same_origin(request):
            return as_json({"error": "cross-origin requests are refused"}, 403)
        route = self._routes.get((request.method, request.path))
        if route is not None:
            return route(request)
        if request.path.startswith("/_sim/certificates/"):
            if request.path.rpartition("/")[2] == self._world.signer.certificate_name:
                return self._certificate(request)
            return as_json({"error": "no such certificate"}, 404)
        found = _MAIL_PATH.fullmatch(request.path)
        if found:
            return self._mail(request, unquote(found[1]), found[2])
        return self._pages.handle(request)

    def stats(self) -> dict[str, Any]:
        """Counters, backlogs and queue depths."""
        world = self._world
        queues = {}
        for region in world.regions.values():
            for queue in region.queues.values():
                visible, in_flight, delayed = queue.counts()
                queues[queue.arn] = {
                    "visible": visible,
                    "in_flight": in_flight,
                    "delayed": delayed,
                    "dropped": queue.dropped,
                }
        return {
            "mails": world.outbox.total,
            "kept": len(world.outbox.mails),
            "recipients": len(world.outbox.times),
            "addresses": len(world.outbox.counts),
            "pending_events": len(world.timeline),
            "webhook_backlog": world.webhooks.backlog(),
            "counters": dict(sorted(world.stats.items())),
            "queues": queues,
        }

    def _outbox(self, request: Request) -> Response:
        wanted = request.parameters
        outbox = self._world.outbox
        name, _, value = wanted.get("tag", "").partition(":")
        before = int(wanted["before"]) if wanted.get("before") else None
        limit = int(wanted.get("limit", "1000"))
        if "message_id" in wanted:
            mail = outbox.by_id.get(wanted["message_id"])
            mails = [mail] if mail else []
        else:
            mails = []
            for mail in outbox.newest(
                before=before,
                search=wanted.get("q", ""),
                to=wanted.get("to", ""),
                tag=(name, value) if name else None,
            ):
                mails.append(mail)
                if len(mails) >= limit:
                    break
        document: dict[str, Any] = {
            "total": outbox.total,
            "kept": len(outbox.mails),
            "addresses": len(outbox.counts),
            "mails": [mail_document(mail, wanted.get("bodies") == "1") for mail in mails],
            "next": mails[-1].sequence if len(mails) == limit else None,
        }
        if wanted.get("counts") == "1":
            document["counts"] = outbox.counts
        return as_json(document)

    def _counts(self, _request: Request) -> Response:
        outbox = self._world.outbox
        return as_json(
            {
                "total": outbox.total,
                "recipients": len(outbox.times),
                "addresses": len(outbox.counts),
                "more_than_once": {a: n for a, n in outbox.counts.items() if n > 1},
                "counts": outbox.counts,
            }
        )

    def _received(self, request: Request) -> Response:
        after = int(request.parameters.get("after", "0"))
        times = self._world.outbox.times
        listed = ",".join(f"{at:.6f}" for at in times[after:])
        return Response(body=f'{{"total":{len(times)},"received":[{listed}]}}'.encode())

    def _replace_faults(self, request: Request) -> Response:
        return self._change_faults(request, self._world.faults.replace)

    def _update_faults(self, request: Request) -> Response:
        return self._change_faults(request, self._world.faults.update)

    def _change_faults(
        self, request: Request, change: Callable[[dict[str, Any]], None]
    ) -> Response:
        try:
            values = json.loads(request.body or b"{}")
            if not isinstance(values, dict):
                raise ValueError("a JSON object is needed")
            change(values)
        except ValueError as error:
            return as_json({"error": str(error)}, 400)
        return as_json(self._world.faults.as_json())

    def _clear_faults(self, _request: Request) -> Response:
        self._world.faults.clear()
        return as_json(self._world.faults.as_json())

    def _reset(self, request: Request) -> Response:
        wanted = request.parameters
        self._world.reset(wanted.get("keep") == "faults", wanted.get("setup") != "1")
        if _is_form(request):
            return Response(303, headers=(("location", "/_sim/outbox"),))
        return as_json({"reset": True})

    def _certificate(self, _request: Request) -> Response:
        return Response(
            body=self._world.signer.certificate_pem, content_type="application/x-pem-file"
        )

    def _mail(self, request: Request, message_id: str, part: str | None) -> Response:
        mail = self._world.outbox.by_id.get(message_id)
        if mail is None:
            return as_json({"error": "no such mail, or no longer kept"}, 404)
        if part == "events":
            return self._event(request, mail)
        if part is None:
            return as_json(mail_document(mail, bodies=True))
        content = contents.of_mail(mail)
        policy = (("content-security-policy", _MAIL_POLICY), ("x-content-type-options", "nosniff"))
        if part == "html":
            page = '<base target="_blank">' + contents.delivered_html(content.html)
            return Response(200, page.encode(), "text/html; charset=utf-8", policy)
        body = content.text.encode() if part == "text" else contents.source(mail)
        return Response(200, body, "text/plain; charset=utf-8", policy)

    def _event(self, request: Request, mail: Mail) -> Response:
        """From JSON or from the form of the outbox page, which is sent back to it."""
        form = not request.body.startswith(b"{")
        try:
            if form:
                answer = dict(parse_qsl(request.body.decode()))["answer"]
                name, _, detail = answer.partition(" ")
            else:
                wanted = json.loads(request.body)
                name, detail = wanted["kind"], str(wanted.get("detail", ""))
            kind = Kind(name)
        except (ValueError, KeyError, TypeError) as error:
            return as_json({"error": f"no such event: {error}"}, 400)
        recipients = tuple(map(bare_address, mail.recipients))
        if kind is Kind.CLICK and not detail:
            links = contents.tracked_links(contents.of_mail(mail).html)
            detail = "\n".join(links[0]) if links else "https://example.com/"
        self._publisher.happen(mail, kind, detail, recipients)
        if form:
            back = ("location", f"/_sim/outbox?id={mail.message_id}")
            return Response(303, headers=(back,))
        return as_json(mail_document(mail))


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form")


def _same_origin(request: Request) -> bool:
    """A page of another site must not press our buttons; scripts send no Origin."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
