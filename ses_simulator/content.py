"""What a mail says: subject, HTML and text out of the call that sent it, rendered when asked."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final

from ses_simulator import templating
from ses_simulator.events import wire_headers
from ses_simulator.outbox import Mail

_ANCHOR: Final = re.compile(r"<a\b[^>]*>", re.IGNORECASE)
_HREF: Final = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_SES_TAGS: Final = re.compile(r"""\bses:tags\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_NO_TRACK: Final = re.compile(r"\bses:no-track\b", re.IGNORECASE)
_SES_ATTRIBUTES: Final = re.compile(
    r"""(<a\b[^>]*?)\s+(?:ses:no-track(?:\s*=\s*(?:"[^"]*"|'[^']*'))?|ses:tags\s*=\s*(?:"[^"]*"|'[^']*'))""",
    re.IGNORECASE,
)
_TRACKED_LINKS: Final = 250


@dataclass(frozen=True, slots=True)
class Content:
    """A message as its recipient gets it. `failure` tells why it could not be rendered."""

    subject: str
    html: str
    text: str
    failure: str = ""


def of_mail(mail: Mail) -> Content:
    """The content of a kept mail."""
    request = json.loads(mail.request)
    if "BulkEmailEntries" in request:
        template = request["DefaultContent"]["Template"]
        data = bulk_data(template, request["BulkEmailEntries"][mail.entry])
        return of_template(template["TemplateContent"], data)
    content = request["Content"]
    if "Simple" in content:
        return of_simple(content["Simple"])
    if "Raw" in content:
        return of_mime(parse_mime(base64.b64decode(content["Raw"]["Data"])))
    template = content["Template"]
    return of_template(template["TemplateContent"], template_data(template.get("TemplateData")))


def of_simple(simple: Mapping[str, Any]) -> Content:
    """Subject and both parts of Content.Simple."""
    body = simple.get("Body", {})
    return Content(
        simple.get("Subject", {}).get("Data", ""),
        body.get("Html", {}).get("Data", ""),
        body.get("Text", {}).get("Data", ""),
    )


def of_template(template: Mapping[str, str], data: Mapping[str, Any]) -> Content:
    """A template with its data; the subject stays as it is when a name is missing."""
    try:
        parts = [templating.render(template.get(p, ""), data) for p in ("Subject", "Html", "Text")]
        return Content(*parts)
    except templating.RenderingFailure as missing:
        return Content(template.get("Subject", ""), "", "", str(missing))


def parse_mime(raw: bytes) -> EmailMessage:
    """A MIME message."""
    return message_from_bytes(raw, policy=policy.SMTP)


def of_mime(message: EmailMessage) -> Content:
    """Subject and the two readable parts of a MIME message."""
    found = {}
    for kind in ("html", "plain"):
        part = message.get_body((kind,))
        found[kind] = part.get_content() if isinstance(part, EmailMessage) else ""
    return Content(str(message["Subject"] or ""), found["html"], found["plain"])


def template_data(text: str | None) -> dict[str, Any]:
    """TemplateData as a map. Raises ValueError when it is no JSON object."""
    data = json.loads(text or "{}")
    if not isinstance(data, dict):
        raise ValueError("template data is no JSON object")
    return data


def bulk_data(template: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The default data with an entry's replacements over it. Raises ValueError."""
    replacement = entry.get("ReplacementEmailContent", {}).get("ReplacementTemplate", {})
    data = template_data(replacement.get("ReplacementTemplateData"))
    default = template.get("TemplateData")
    return {**template_data(default), **data} if default else data


def tracked_links(page: str) -> list[tuple[str, str]]:
    """Links that SES would track, each with its `ses:tags`."""
    links = []
    for anchor in _ANCHOR.findall(page):
        target = _HREF.search(anchor)
        if target is None or _NO_TRACK.search(anchor):
            continue
        url = html.unescape(target[1] or target[2] or "")
        if url.startswith(("http://", "https://")) and " " not in url:
            tags = _SES_TAGS.search(anchor)
            links.append((url, html.unescape((tags[1] or tags[2] or "") if tags else "")))
    return links[:_TRACKED_LINKS]


def delivered_html(page: str) -> str:
    """HTML as it is delivered: the attributes that are meant for SES are gone."""
    previous = ""
    while previous != page:
        previous, page = page, _SES_ATTRIBUTES.sub(r"\1", page)
    return page.replace("{{ses:openTracker}}", "")


def source(mail: Mail) -> bytes:
    """The mail as MIME, written the way SES would."""
    request = json.loads(mail.request)
    raw = request.get("Content", {}).get("Raw")
    if raw:
        return base64.b64decode(raw["Data"])
    content = of_mail(mail)
    message = EmailMessage(policy=policy.SMTP)
    skipped = {"mime-version", "content-type"}
    for name, value in wire_headers(mail):
        if name.lower() not in skipped:
            message[name] = " ".join(value.split())
    message["Date"] = formatdate(mail.received)
    message["Message-ID"] = f"<{mail.message_id}@email.amazonses.com>"
    if content.text or not content.html:
        message.set_content(content.text)
        if content.html:
            message.add_alternative(delivered_html(content.html), subtype="html")
    else:
        message.set_content(delivered_html(content.html), subtype="html")
    return message.as_bytes()
