"""Messages on their way into the outbox: read from a call, checked, not yet accepted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ses_simulator import content as contents
from ses_simulator import submissions, templating
from ses_simulator.aws_errors import AwsError
from ses_simulator.regions import Region

_EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR"
_OWN_HEADERS: Final = frozenset(
    {
        "bcc",
        "cc",
        "content-transfer-encoding",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "reply-to",
        "subject",
        "to",
    }
)


@dataclass(slots=True)
class Common:
    """What all messages of a call share."""

    operation: str
    source: str
    reply_to: tuple[str, ...]
    configuration_set: str
    opens: bool
    clicks: bool


@dataclass(slots=True)
class Draft:
    """A checked message on its way into the outbox."""

    common: Common
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    tags: dict[str, str]
    subject: str = ""
    content_type: str = ""
    page: Callable[[], str] | None = None
    """The HTML, rendered only if someone clicks in it."""
    failure: str = ""
    malicious: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """An inline template with what is needed of it for every recipient."""

    subject: str
    html: str
    content_type: str
    body_names: tuple[str, ...]

    @classmethod
    def of(cls, parts: Mapping[str, str]) -> Template:
        """From TemplateContent."""
        page, text = parts.get("Html", ""), parts.get("Text", "")
        for part in (parts.get("Subject", ""), page, text):
            if templating.has_blocks(part):
                raise submissions.bad_request(
                    "The inline template holds more than simple substitutions."
                )
        names = templating.names(page) + templating.names(text)
        content_type = _content_type(page, text)
        return cls(parts.get("Subject", ""), page, content_type, tuple(dict.fromkeys(names)))


@dataclass(frozen=True, slots=True)
class Bulk:
    """The defaults of a bulk call."""

    common: Common
    headers: tuple[tuple[str, str], ...]
    tags: dict[str, str]
    template: Template
    data: dict[str, Any]


def common_of(operation: str, call: Mapping[str, Any]) -> Common:
    """The shared part of a SendEmail or SendBulkEmail call."""
    tracking = call.get("ConfigurationOverrides", {}).get("Tracking", {})
    return Common(
        operation=operation,
        source=call.get("FromEmailAddress") or "",
        reply_to=tuple(call.get("ReplyToAddresses") or ()),
        configuration_set=call.get("ConfigurationSetName") or "",
        opens=tracking.get("OpenTrackingEnabled") != "DISABLED",
        clicks=tracking.get("ClickTrackingEnabled") != "DISABLED",
    )


def fill_simple(draft: Draft, simple: Mapping[str, Any]) -> None:
    """From Content.Simple. Raises AwsError."""
    if "Subject" not in simple or not simple.get("Body"):
        raise submissions.bad_request("Missing required parameter: Subject or Body")
    content = contents.of_simple(simple)
    draft.subject = content.subject
    draft.headers = submissions.headers(simple.get("Headers"))
    draft.content_type = _content_type(content.html, content.text)
    if content.html:
        draft.page = lambda: content.html
    attachments = simple.get("Attachments") or ()
    draft.malicious = any(_EICAR in base64.b64decode(a["RawContent"]) for a in attachments)


def fill_raw(draft: Draft, raw: Mapping[str, Any]) -> None:
    """From Content.Raw; the MIME headers name sender and recipients if the call does not."""
    data = base64.b64decode(raw.get("Data", ""))
    message = contents.parse_mime(data)
    content = contents.of_mime(message)
    draft.common.source = draft.common.source or str(message["From"] or "")
    if not draft.to + draft.cc + draft.bcc:
        listed = {
            name: [str(a) for a in message[name].addresses] if message[name] else []
            for name in ("To", "Cc", "Bcc")
        }
        draft.to, draft.cc, draft.bcc = submissions.destination(
            {f"{name}Addresses": addresses for name, addresses in listed.items()}
        )
    draft.subject = content.subject
    draft.headers = tuple((k, str(v)) for k, v in message.items() if k.lower() not in _OWN_HEADERS)
    draft.content_type = str(message.get("Content-Type", "text/plain"))
    draft.malicious = _EICAR in data
    if content.html:
        draft.page = lambda: content.html


def fill_template(draft: Draft, template: Template, data: Mapping[str, Any]) -> None:
    """From a template and its data; a missing name makes the draft fail after acceptance."""
    draft.content_type = template.content_type
    try:
        for name in template.body_names:
            if name not in data:
                templating.value_of(name, data)
        draft.subject = templating.render(template.subject, data)
    except templating.RenderingFailure as failure:
        draft.failure = str(failure)
        return
    if template.html:
        draft.page = lambda: templating.render(template.html, data)


def _content_type(page: str, text: str) -> str:
    if page and text:
        return 'multipart/alternative; boundary="----=_Part_0_0"'
    return "text/html; charset=UTF-8" if page else "text/plain; charset=UTF-8"


def template_data(text: str | None) -> dict[str, Any]:
    """TemplateData as a map. Raises BadRequestException."""
    if text and len(text) > submissions.MAX_TEMPLATE_DATA:
        raise submissions.bad_request("Template data is longer than 262144 characters.")
    try:
        return contents.template_data(text)
    except ValueError as error:
        raise submissions.bad_request(f"Template data is invalid: {error}") from None


def with_template(
    region: Region, template: dict[str, Any], body: bytes, call: Mapping[str, Any]
) -> bytes:
    """The request body with the template's content in it, fetched if it was named."""
    if "TemplateContent" in template:
        if len(body) > submissions.MAX_INLINE_REQUEST:
            raise submissions.bad_request("The request with its inline template exceeds 1 MB.")
        return body
    name = template.get("TemplateName") or template.get("TemplateArn", "").rpartition("/")[2]
    if name not in region.templates:
        raise AwsError("NotFoundException", f"Template {name} does not exist.", 404)
    template["TemplateContent"] = region.templates[name]
    return json.dumps(call).encode()
