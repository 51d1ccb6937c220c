"""A mail as one person would get it, before anybody does: parts, headers, size, what to look at.

Nothing is sent and nothing is stored here. The unsubscribe link in a preview is a dead one, so
that trying it out unsubscribes nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage

from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Settings
from domain.outgoing import OutgoingEmail, Unsendable, make_sender, send_email_request
from domain.rendering import (
    CONTENT,
    PLAIN_TEXT,
    SUBJECT,
    CompiledMail,
    RenderedMail,
    TemplateProblem,
    compile_mail,
    mail_variables,
)
from domain.template_language import ALWAYS_THERE
from domain.text_part import text_from_html
from models import Campaign, Recipient
from services.campaigns import CampaignContent

#: Gmail hides what goes beyond 102 KB behind a link.
CLIPPED_AT = 102_000
_SAMPLE = 500
_EXAMPLES = {
    "email": "the recipient’s address",
    "unsubscribe_url": "their own unsubscribe link",
    "campaign_name": "the name of the campaign",
}
_FIELDS = {SUBJECT: "subject", CONTENT: "html", PLAIN_TEXT: "text", "Sender": "from_email"}


@dataclass(frozen=True)
class Variable:
    """A name that may stand in the mail, with an example of its value."""

    name: str
    hint: str


@dataclass(frozen=True)
class Person:
    """A recipient in a list to choose from."""

    id: int
    label: str


@dataclass(frozen=True)
class Problem:
    """Why a mail cannot be made: the part, the line (1 = first), the line's text, a sentence."""

    part: str
    line: int | None
    sentence: str
    excerpt: str = ""

    @property
    def place(self) -> str:
        """Part and line in words."""
        return f"{self.part}, line {self.line}" if self.line else self.part

    @property
    def field(self) -> str:
        """The form field in which to mend it."""
        return _FIELDS.get(self.part, "html")


@dataclass(frozen=True)
class Note:
    """Something to look at; level is "ok", "warn" or "fail"."""

    level: str
    sentence: str


@dataclass(frozen=True)
class Preview:
    """A mail as one person would get it, or the problem that stands against it."""

    to: str
    sender: str = ""
    subject: str = ""
    html: str = ""
    text: str = ""
    text_template: str = ""  # the plain-text part before anybody's values are in it
    headers: list[tuple[str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    problem: Problem | None = None


def content_of(campaign: Campaign) -> CampaignContent:
    """What is stored of a campaign's mail."""
    return CampaignContent(
        name=campaign.name,
        subject=campaign.subject,
        html=campaign.html,
        text=campaign.text,
        text_is_automatic=campaign.text_is_automatic,
        from_email=campaign.from_email,
        from_name=campaign.from_name,
        reply_to=campaign.reply_to,
    )


def preview(
    content: CampaignContent,
    recipient: Recipient | None,
    columns: list[str] | None,
    settings: Settings,
) -> Preview:
    """The mail for one recipient; without one, variables show their names.

    `columns` are the variables of the campaign's recipients, None while it has no recipients.
    """
    to = recipient.email if recipient else "reader@example.com"
    text = text_from_html(content.html) if content.text_is_automatic else content.text
    try:
        compiled = compile_mail(
            content.subject, content.html, text, postal_address=settings.postal_address
        )
        mail = compiled.render(_values(content, compiled, recipient, to, settings))
        outgoing = _outgoing(content, mail, to, settings)
        request = send_email_request(outgoing)
    except TemplateProblem as problem:
        return Preview(to, problem=problem_of(problem, content, text))
    except Unsendable as problem:
        return Preview(to, problem=Problem("Sender", None, str(problem)))
    name, address = _sender(content, settings)
    return Preview(
        to=to,
        sender=f"{name} <{address}>" if name and address else address,
        subject=mail.subject,
        html=mail.html,
        text=mail.text,
        text_template=text,
        headers=_headers(request),
        notes=list(_notes(content, compiled, mail, _size(outgoing), columns, settings)),
    )


def problem_of(problem: TemplateProblem, content: CampaignContent, text: str = "") -> Problem:
    """A template's problem with the text of the line that it is in."""
    sources = {SUBJECT: content.subject, CONTENT: content.html, PLAIN_TEXT: text or content.text}
    lines = sources.get(problem.part, "").splitlines()
    inside = problem.line is not None and 0 < problem.line <= len(lines)
    excerpt = lines[problem.line - 1].strip()[:300] if inside and problem.line else ""
    return Problem(problem.part, problem.line, problem.sentence, excerpt)


def _values(
    content: CampaignContent,
    compiled: CompiledMail,
    recipient: Recipient | None,
    to: str,
    settings: Settings,
) -> dict[str, str]:
    if recipient is None:
        own = {name: f"[{name}]" for name in compiled.variables if name not in ALWAYS_THERE}
    else:
        own = json.loads(recipient.variables)
    return mail_variables(
        own,
        email=to,
        unsubscribe_url=f"{settings.base_url}/u/preview",
        campaign_name=content.name,
    )


def _outgoing(
    content: CampaignContent, mail: RenderedMail, to: str, settings: Settings
) -> OutgoingEmail:
    name, address = _sender(content, settings)
    reply_to = content.reply_to.strip() or settings.reply_to
    sender = make_sender(address or "sender@example.com", name, reply_to)
    return OutgoingEmail(
        sender,
        to,
        mail.subject,
        mail.html,
        mail.text,
        unsubscribe_url=f"{settings.base_url}/u/preview",
        configuration_set=settings.ses_configuration_set,
    )


def _sender(content: CampaignContent, settings: Settings) -> tuple[str, str]:
    """Name and address; an own address does not borrow the name from the settings."""
    own = content.from_email.strip()
    name = content.from_name.strip() or ("" if own else settings.sender_name)
    return name, own or settings.sender_email


def _headers(request: dict[str, object]) -> list[tuple[str, str]]:
    """The headers that we decide about, as they are handed to SES."""
    destination: dict[str, list[str]] = request["Destination"]  # type: ignore[assignment]
    simple: dict[str, object] = request["Content"]["Simple"]  # type: ignore[index]
    subject: dict[str, str] = simple["Subject"]  # type: ignore[assignment]
    extra: list[dict[str, str]] = simple.get("Headers", [])  # type: ignore[assignment]
    replies: list[str] = request.get("ReplyToAddresses", [])  # type: ignore[assignment]
    return [
        ("From", str(request["FromEmailAddress"])),
        ("To", ", ".join(destination["ToAddresses"])),
        *(("Reply-To", reply) for reply in replies),
        ("Subject", subject["Data"]),
        *((header["Name"], header["Value"]) for header in extra),
    ]


def _size(mail: OutgoingEmail) -> int:
    """Bytes of the mail as it travels, within a few hundred: SES adds headers of its own."""
    message = EmailMessage()
    message["From"] = mail.sender.address
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message.set_content(mail.text or " ")
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return len(message.as_bytes())


def _notes(
    content: CampaignContent,
    compiled: CompiledMail,
    mail: RenderedMail,
    size: int,
    columns: list[str] | None,
    settings: Settings,
) -> Iterator[Note]:
    if not content.html.strip():
        return
    if content.subject.strip() and not mail.subject:
        yield Note("warn", "The subject is empty for this recipient.")
    yield from _variable_notes(compiled, columns)
    if "unsubscribe_url" in content.html:
        yield Note("ok", "Your unsubscribe link was found.")
    elif settings.postal_address:
        yield Note("ok", "A footer with unsubscribe link and postal address is added.")
    else:
        yield Note(
            "warn", "A footer with an unsubscribe link is added, but POSTAL_ADDRESS is not set."
        )
    clipped = len(mail.html.encode("utf-8", "replace")) > CLIPPED_AT
    yield Note(
        "warn" if clipped else "ok",
        f"{max(1, round(size / 1000)):,} KB on the wire."
        + (" Gmail cuts a mail off after 102 KB of HTML." if clipped else ""),
    )


def _variable_notes(compiled: CompiledMail, columns: list[str] | None) -> Iterator[Note]:
    used = [name for name in compiled.variables if name not in ALWAYS_THERE]
    if not used:
        return
    if columns is None:
        yield Note("warn", "There are no recipients yet, so variables cannot be checked.")
        return
    missing = [name for name in used if name not in columns]
    for name in missing:
        yield Note("warn", f"No column is called {name}: {{{{ {name} }}}} stays empty.")
    if not missing:
        many = f"All {len(used)} variables exist" if len(used) > 1 else "The variable exists"
        yield Note("ok", f"{many} in your list.")


def variables(session: Session, campaign: Campaign | None) -> list[Variable]:
    """What may be inserted: the recipients' columns with examples, then what always exists."""
    rows = _sample(session, campaign)
    own = []
    for name in (campaign.variables if campaign else []) or []:
        found = [value for row in rows if (value := row.get(name, "").strip())]
        empty = len(rows) - len(found)
        hint = f"for example {found[0][:40]}" if found else "always empty"
        if found and empty:
            hint += f"; empty for {empty} of {len(rows)}"
        own.append(Variable(name, hint))
    return own + [Variable(name, hint) for name, hint in _EXAMPLES.items()]


def _sample(session: Session, campaign: Campaign | None) -> list[dict[str, str]]:
    if campaign is None or not campaign.variables:
        return []
    stored = session.scalars(
        select(Recipient.variables)
        .where(Recipient.campaign_id == campaign.id)
        .order_by(Recipient.address)
        .limit(_SAMPLE)
    )
    return [json.loads(row) for row in stored]


def people(
    session: Session, campaign_id: int, *, begins: str = "", limit: int = 20
) -> list[Recipient]:
    """The first recipients by address, or the first whose address begins so."""
    query = select(Recipient).where(Recipient.campaign_id == campaign_id)
    if begins:
        query = query.where(Recipient.address >= begins, Recipient.address < f"{begins}\U0010ffff")
    return list(session.scalars(query.order_by(Recipient.address).limit(limit)))


def as_person(recipient: Recipient) -> Person:
    """A recipient with their first values, for a list to choose from."""
    values = [(name, value) for name, value in json.loads(recipient.variables).items() if value]
    shown = ", ".join(f"{name} {value[:30]}" for name, value in values[:2])
    return Person(recipient.id, f"{recipient.email} ({shown})" if shown else recipient.email)


def find_recipient(
    session: Session, campaign_id: int, recipient_id: int | None
) -> Recipient | None:
    """A recipient of this campaign; without an id, or with a wrong one, the first by address."""
    if recipient_id is not None:
        found = session.get(Recipient, recipient_id)
        if found is not None and found.campaign_id == campaign_id:
            return found
    return next(iter(people(session, campaign_id, limit=1)), None)


def neighbours(session: Session, recipient: Recipient) -> tuple[int | None, int | None]:
    """The recipients before and after this one by address."""
    same = select(Recipient.id).where(Recipient.campaign_id == recipient.campaign_id).limit(1)
    before = same.where(Recipient.address < recipient.address).order_by(Recipient.address.desc())
    after = same.where(Recipient.address > recipient.address).order_by(Recipient.address)
    return session.scalar(before), session.scalar(after)
