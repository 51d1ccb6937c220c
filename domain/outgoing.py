"""A mail as SES gets it: sender, recipient, parts, headers, tags, as one request dictionary.

Everything that ends in a header goes through here, so that no value can add one: SES takes
the friendly name RFC 2047 encoded, domains in Punycode, tags of `[A-Za-z0-9_-]`
(SESv2 API, `SendEmail`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from typing import Any

import idna

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ATEXT_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


class Unsendable(ValueError):
    """This mail cannot be put into a request; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a mail is from. `header` is ready for FromEmailAddress, `address` is the bare one."""

    header: str
    address: str
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class OutgoingEmail:
    """One rendered mail to one recipient."""

    sender: Sender
    to: str
    subject: str
    html: str
    text: str
    unsubscribe_url: str = ""
    tags: Mapping[str, str] | None = None
    configuration_set: str = ""


def make_sender(email: str, name: str = "", reply_to: str = "") -> Sender:
    """A sender from what a person typed; raises Unsendable for addresses SES cannot use."""
    address = ascii_address(email)
    header = f"{_phrase(name)} <{address}>" if name.strip() else address
    return Sender(header, address, ascii_address(reply_to) if reply_to.strip() else "")


def ascii_address(email: str) -> str:
    """The address with its domain in Punycode; the local part stays as typed.

    Raises Unsendable if it is none, holds control characters or a local part beyond ASCII
    (SES has no SMTPUTF8).
    """
    local, at, domain = email.strip().rpartition("@")
    if not (local and at and domain) or re.search(r"[\s<>\x00-\x1f\x7f]", local + domain):
        raise Unsendable(f"“{_CONTROL.sub(' ', email)[:100]}” is no e-mail address.")
    try:
        local.encode("ascii")
        plain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (UnicodeError, idna.IDNAError):
        raise Unsendable(
            f"SES cannot use the address “{email[:100]}”: letters beyond ASCII are possible "
            "only in a domain."
        ) from None
    return f"{local}@{plain}"


def _phrase(name: str) -> str:
    """A display name for a header (RFC 5322 phrase, RFC 2047 where it is not ASCII)."""
    clean = " ".join(_CONTROL.sub(" ", name).split())
    if not clean.isascii():
        return Header(clean, "utf-8", maxlinelen=74).encode(linesep="")
    if _ATEXT_PHRASE.fullmatch(clean):
        return clean
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def campaign_tags(
    install: str, campaign_id: int, recipient_id: int, attempt_id: str
) -> dict[str, str]:
    """The tags that tie every event of a campaign's mail to its row and attempt."""
    return {
        "bes_install": install,
        "bes_campaign": str(campaign_id),
        "bes_recipient": str(recipient_id),
        "bes_attempt": attempt_id,
    }


def test_mail_tags(install: str, attempt_id: str) -> dict[str, str]:
    """The tags of a test mail: its events are shown and never count."""
    return {"bes_install": install, "bes_test": attempt_id}


test_mail_tags.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks


def list_unsubscribe_headers(unsubscribe_url: str) -> list[dict[str, str]]:
    """The one-click headers (RFC 2369, RFC 8058)."""
    if not unsubscribe_url:
        return []
    return [
        {"Name": "List-Unsubscribe", "Value": f"<{unsubscribe_url}>"},
        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
    ]


def email_tags(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Tags in the API's form; raises Unsendable for characters that SES refuses."""
    pairs = []
    for name, value in (tags or {}).items():
        if not _TAG.fullmatch(name) or not _TAG.fullmatch(value):
            raise Unsendable(f"The tag {name!r} has characters that SES does not take.")
        pairs.append({"Name": name, "Value": value})
    return pairs


def send_email_request(mail: OutgoingEmail) -> dict[str, Any]:
    """The parameters of SESv2 SendEmail (Simple, one recipient); raises Unsendable."""
    if _CONTROL.search(mail.to) or _CONTROL.search(mail.unsubscribe_url):
        raise Unsendable("The address or the unsubscribe link holds control characters.")
    body: dict[str, Any] = {}
    if mail.text:
        body["Text"] = {"Data": mail.text, "Charset": "UTF-8"}
    if mail.html:
        body["Html"] = {"Data": mail.html, "Charset": "UTF-8"}
    subject = _CONTROL.sub(" ", mail.subject) if _CONTROL.search(mail.subject) else mail.subject
    simple: dict[str, Any] = {"Subject": {"Data": subject, "Charset": "UTF-8"}, "Body": body}
    headers = list_unsubscribe_headers(mail.unsubscribe_url)
    if headers:
        simple["Headers"] = headers
    request: dict[str, Any] = {
        "FromEmailAddress": mail.sender.header,
        "Destination": {"ToAddresses": [mail.to]},
        "Content": {"Simple": simple},
        "EmailTags": email_tags(mail.tags),
    }
    if mail.sender.reply_to:
        request["ReplyToAddresses"] = [mail.sender.reply_to]
    if mail.configuration_set:
        request["ConfigurationSetName"] = mail.configuration_set
    return request
