"""The mail that asks a person to confirm a sign-up: its default words, checked and rendered.

What strangers type into a form never gets into this mail, or the form would be a way to send
words of one's own to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import escape

from domain.rendering import CompiledPart, RenderedMail, TemplateProblem, fold
from domain.template_language import MailEnvironment, always_shows, used_names

SUBJECT = "Please confirm: {{ title }}"
TEXT = """Hello,

somebody, most likely you, asked that {{ email }} gets “{{ title }}”.

If that was you, open this page and press the button there:

{{ confirm_url }}

The link works for {{ days }} days. If it was not you, do nothing, and nothing more will come.
"""
#: What the words may use.
NAMES = ("title", "email", "confirm_url", "days", "sender_name", "postal_address")
LONGEST = 10_000

_PLAIN = MailEnvironment(autoescape=False)
_HEAD = (
    '<div style="max-width:560px;margin:0 auto;padding:24px 16px;font:16px/1.6 Arial,sans-serif">'
)
_PARAGRAPH = '<p style="margin:0 0 16px">'
_FOOT = '<p style="margin:24px 0 0;font-size:13px;color:#6b7280">'


@dataclass(frozen=True, slots=True)
class ConfirmationMail:
    """A checked mail, ready to be rendered for one person after another."""

    subject: CompiledPart
    text: CompiledPart

    def render(self, values: Mapping[str, str]) -> RenderedMail:
        """The mail for values of NAMES; the HTML is made from the text. Raises TemplateProblem."""
        subject, text = fold(self.subject.render(values)), self.text.render(values).strip()
        foot = [values.get(name, "").strip() for name in ("sender_name", "postal_address")]
        foot = [line for part in foot for line in part.splitlines() if line]
        below = "\n\n-- \n" + "\n".join(foot) if foot else ""
        return RenderedMail(subject, _html(text, foot, values["confirm_url"]), f"{text}{below}\n")


def compile_confirmation(subject: str, text: str) -> ConfirmationMail:
    """Compile and try the words; raises TemplateProblem with part, line and sentence."""
    mail = ConfirmationMail(_part("Subject of the mail", subject), _part("Text of the mail", text))
    if not always_shows(mail.text.tree, "confirm_url"):
        sentence = "It must show {{ confirm_url }}, outside of any if: nobody could confirm."
        raise TemplateProblem(mail.text.name, None, sentence)
    tried = mail.render(dict.fromkeys(NAMES, "1"))
    if not tried.subject:
        raise TemplateProblem(mail.subject.name, None, "It is empty.")
    return mail


def _part(name: str, source: str) -> CompiledPart:
    if len(source) > LONGEST:
        raise TemplateProblem(name, None, f"It is longer than {LONGEST:,} characters.")
    part = CompiledPart(name, source, _PLAIN)
    unknown = [used for used in used_names(part.tree) if used not in NAMES]
    if unknown:
        known = ", ".join(NAMES)
        raise TemplateProblem(name, None, f"There is no {unknown[0]} here. There are: {known}.")
    return part


def _html(text: str, foot: list[str], link: str) -> str:
    """Paragraphs of the text with the link as one; SES leaves it as it is (`ses:no-track`)."""
    shown = str(escape(link))
    body = str(escape(text)).replace(shown, f'<a ses:no-track href="{shown}">{shown}</a>')
    parts = [part.replace("\n", "<br>\n") for part in re.split(r"\n\s*\n", body) if part.strip()]
    paragraphs = "".join(f"{_PARAGRAPH}{part}</p>\n" for part in parts)
    below = f"{_FOOT}{'<br>'.join(str(escape(line)) for line in foot)}</p>\n" if foot else ""
    return f"{_HEAD}\n{paragraphs}{below}</div>\n"
