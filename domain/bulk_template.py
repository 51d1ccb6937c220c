"""A mail for SendBulkEmail: constant text once in an inline template, the rest as data.

Our own Jinja renders what differs between people; SES only puts it in its place. Filling the
template with the data gives byte for byte what `CompiledMail.render` gives: SES substitutes
`{{name}}` and escapes nothing (SESv2 API, "inline template: simple substitution only").
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from domain.outgoing import Sender, Unsendable, email_tags, list_unsubscribe_headers
from domain.rendering import CompiledMail, CompiledPart, fold

#: Limits of SendBulkEmail (SES Developer Guide, quotas; service model).
MAX_ENTRIES = 50
MAX_DATA = 262_144  # characters of one entry's data
MAX_INPUT = 1_000_000  # bytes of the whole request, the template included
#: Text that is shorter costs less as data than a place of its own in the template.
_WORTH_A_PLACE = 24
#: Braces in constant text that SES would take for its own, and those beside a place.
_BRACES = re.compile(r"([{}]{2,}|\A[{}]|[{}]\Z)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BulkTemplate:
    """What all mails of a campaign share; `size` is its part of a request in bytes."""

    content: Mapping[str, str]  # TemplateContent: Subject, Html, Text
    size: int
    _mail: CompiledMail
    _parts: tuple[_Cut, ...]

    def data(self, values: Mapping[str, Any]) -> str:
        """One person's data as the JSON text for an entry; raises TemplateProblem."""
        values = {**values, "postal_address": self._mail.postal_address}
        data = {"subject": fold(self._mail.subject.render(values))}
        for part in self._parts:
            data.update(part.data(values))
        return json.dumps(data)


@dataclass(frozen=True, slots=True)
class BulkEmail:
    """One entry: who gets it, and what is theirs alone."""

    to: str
    data: str  # of BulkTemplate.data
    unsubscribe_url: str = ""
    tags: Mapping[str, str] | None = None


class _Cut:
    """One part cut into constant text and places; `text` is its side of the template."""

    def __init__(self, part: CompiledPart, prefix: str) -> None:
        self._mark = f"\ue000{secrets.token_hex(12)}\ue000"
        self._prefix = prefix
        self._keys: dict[str, str] = {}  # braces in constant text -> their key
        self._constants: list[str] = []
        environment = part.environment
        tree = nodes.Template(self._body(part.tree.body), lineno=1)
        tree.set_environment(environment)
        self._dynamic = CompiledPart.of_tree(part.name, tree, environment)
        self._names = [f"{prefix}{number}" for number in range(len(self._constants) + 1)]
        text = [f"{{{{{name}}}}}" for name in self._names]
        for number, constant in enumerate(self._constants):
            text[number] += self._protected(constant)
        self.text = "".join(text)
        self._literals = {name: braces for braces, name in self._keys.items()}

    def data(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The text of every place for one person."""
        texts = self._dynamic.render(values).split(self._mark)
        return dict(zip(self._names, texts, strict=True)) | self._literals

    def _body(self, statements: Sequence[nodes.Node]) -> list[nodes.Node]:
        """The statements with every constant worth it taken out and a mark in its stead."""
        body: list[nodes.Node] = []
        for statement in statements:
            if not isinstance(statement, nodes.Output):
                body.append(statement)
                continue
            for item in statement.nodes:
                if isinstance(item, nodes.TemplateData) and len(item.data) >= _WORTH_A_PLACE:
                    self._constants.append(item.data)
                    item = nodes.TemplateData(self._mark, lineno=item.lineno)
                body.append(nodes.Output([item], lineno=item.lineno))
        return body

    def _protected(self, constant: str) -> str:
        """Constant text whose braces travel as data, one key for each run of them."""
        texts = _BRACES.split(constant)
        for at in range(1, len(texts), 2):
            name = self._keys.setdefault(texts[at], f"{self._prefix}b{len(self._keys)}")
            texts[at] = f"{{{{{name}}}}}"
        return "".join(texts)


def bulk_template(mail: CompiledMail) -> BulkTemplate:
    """Cut a compiled mail once; costs some milliseconds."""
    content = {"Subject": "{{subject}}"}
    parts = []
    for key, prefix, part in (("Html", "h", mail.html), ("Text", "t", mail.text)):
        if part is not None:
            cut = _Cut(part, prefix)
            content[key] = cut.text
            parts.append(cut)
    return BulkTemplate(content, len(json.dumps(content)), mail, tuple(parts))


def why_not_bulk(template: BulkTemplate) -> str | None:
    """A sentence if no campaign can be sent with this template in bulk, or None."""
    if template.size > MAX_INPUT // 2:
        return (
            f"The mail is too large for SendBulkEmail ({template.size:,} bytes of constant text; "
            f"a call takes {MAX_INPUT:,} in all): it is sent one by one."
        )
    return None


def fits(template: BulkTemplate, mail: BulkEmail) -> bool:
    """Whether one mail can travel in a bulk call at all; others go out singly beside it."""
    return len(mail.data) <= MAX_DATA and template.size + _entry_size(mail) < MAX_INPUT


def batches(template: BulkTemplate, mails: Iterable[BulkEmail]) -> Iterator[list[BulkEmail]]:
    """Mails that fit, in calls within the limits, in order."""
    batch: list[BulkEmail] = []
    size = template.size
    for mail in mails:
        entry = _entry_size(mail)
        if batch and (len(batch) >= MAX_ENTRIES or size + entry >= MAX_INPUT):
            yield batch
            batch, size = [], template.size
        batch.append(mail)
        size += entry
    if batch:
        yield batch


def _entry_size(mail: BulkEmail) -> int:
    """Bytes of an entry in the request: its data is a JSON text inside JSON, so quotes double."""
    escaped = len(mail.data) + mail.data.count('"') + mail.data.count("\\")
    return escaped + len(mail.unsubscribe_url) + len(mail.to) + 800


def send_bulk_request(
    template: BulkTemplate, sender: Sender, mails: Sequence[BulkEmail], configuration_set: str
) -> dict[str, Any]:
    """The parameters of SESv2 SendBulkEmail; raises Unsendable."""
    if not 0 < len(mails) <= MAX_ENTRIES:
        raise Unsendable(f"A bulk call takes 1 to {MAX_ENTRIES} mails, not {len(mails)}.")
    request: dict[str, Any] = {
        "FromEmailAddress": sender.header,
        "DefaultContent": {
            "Template": {"TemplateContent": dict(template.content), "TemplateData": "{}"}
        },
        "BulkEmailEntries": [_entry(mail) for mail in mails],
    }
    if sender.reply_to:
        request["ReplyToAddresses"] = [sender.reply_to]
    if configuration_set:
        request["ConfigurationSetName"] = configuration_set
    return request


def _entry(mail: BulkEmail) -> dict[str, Any]:
    if _CONTROL.search(mail.to) or _CONTROL.search(mail.unsubscribe_url):
        raise Unsendable("The address or the unsubscribe link holds control characters.")
    entry: dict[str, Any] = {
        "Destination": {"ToAddresses": [mail.to]},
        "ReplacementTags": email_tags(mail.tags),
        "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": mail.data}},
    }
    headers = list_unsubscribe_headers(mail.unsubscribe_url)
    if headers:
        entry["ReplacementHeaders"] = headers
    return entry
