"""From templates and one recipient's values to subject, HTML and text.

A mail is compiled once (footer, unsubscribe link and trial rendering included) and rendered
per recipient. Values are escaped in HTML only, and never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import Template, nodes

from domain.template_filters import BUDGET, TemplateFault
from domain.template_language import (
    MAX_OUTPUT,
    MAX_STEPS,
    MailEnvironment,
    always_shows,
    parse_mail_template,
    used_names,
)
from domain.text_part import text_from_html

SUBJECT, CONTENT, PLAIN_TEXT = "Email subject", "Email content", "Plain text"
#: Characters of one template; SES takes no mail above 40 MB, mailboxes cut far earlier.
MAX_SOURCE = 1_000_000

_HTML = MailEnvironment(autoescape=True)
_PLAIN = MailEnvironment(autoescape=False)

_HTML_FOOTER = (
    '<div style="margin:32px auto 0;padding:16px;max-width:600px;text-align:center;'
    'font:12px/1.5 Arial,sans-serif;color:#6b7280">{% if postal_address %}'
    "{{ postal_address }}<br>{% endif %}"
    '<a ses:no-track href="{{ unsubscribe_url }}" style="color:#6b7280">Unsubscribe</a></div>'
)
_TEXT_FOOTER = (
    "\n\n-- \n{% if postal_address %}{{ postal_address }}\n{% endif %}"
    "Unsubscribe: {{ unsubscribe_url }}\n"
)
_BODY_END = re.compile(r"</body\s*>(?!.*</body)", re.I | re.S)
_LINK = re.compile(r"<a(?=\s)((?:\{\{.*?\}\}|\{%.*?%\}|[^<>])*)>", re.I | re.S)
_UNSUBSCRIBE = re.compile(r"\{\{[^{}]*\bunsubscribe_url\b[^{}]*\}\}")
_FOLD = re.compile(r"\s*[\x00-\x1f\x7f\x85\u2028\u2029]+\s*")


class TemplateProblem(Exception):
    """A template that cannot be used: which part, which line (1 = first), a plain sentence."""

    def __init__(self, part: str, line: int | None, sentence: str) -> None:
        super().__init__(f"{part}, line {line}: {sentence}" if line else f"{part}: {sentence}")
        self.part = part
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail as one person gets it."""

    subject: str
    html: str
    text: str


class CompiledPart:
    """One compiled template; `tree` and `environment` are kept for those who look into it."""

    def __init__(self, name: str, source: str, environment: MailEnvironment) -> None:
        if len(source) > MAX_SOURCE:
            raise TemplateProblem(name, None, f"It is longer than {MAX_SOURCE:,} characters.")
        try:
            tree = parse_mail_template(environment, source)
        except TemplateFault as fault:
            raise TemplateProblem(name, fault.line, fault.sentence) from fault
        self._compile(name, tree, environment)

    @classmethod
    def of_tree(cls, name: str, tree: nodes.Template, environment: MailEnvironment) -> CompiledPart:
        """A part from a tree that `parse_mail_template` has checked."""
        part = cls.__new__(cls)
        part._compile(name, tree, environment)
        return part

    def _compile(self, name: str, tree: nodes.Template, environment: MailEnvironment) -> None:
        self.name = name
        self.tree = tree
        self.environment = environment
        try:
            code = environment.compile(tree)
        except TemplateFault as fault:
            raise TemplateProblem(name, fault.line, fault.sentence) from fault
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            raise TemplateProblem(name, None, "It is nested too deeply.") from error
        self._template = Template.from_code(environment, code, {})

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text for these values; raises TemplateProblem."""
        context = self._template.new_context({**variables, BUDGET: [MAX_STEPS]}, shared=True)
        try:
            return _bounded(self._template.root_render_func(context))
        except Exception as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> TemplateProblem:
        line = self._line(error.__traceback__)
        if isinstance(error, TemplateFault):
            return TemplateProblem(self.name, error.line or line, error.sentence)
        if isinstance(error, ZeroDivisionError):
            return TemplateProblem(self.name, line, "This divides by zero.")
        if isinstance(error, TypeError) and "not supported between" in str(error):
            sentence = (
                "This compares a text with a number. Columns are text: write for example "
                "{% if points | int > 100 %}."
            )
            return TemplateProblem(self.name, line, sentence)
        return TemplateProblem(self.name, line, f"This cannot be worked out: {error}.")

    def _line(self, traceback: TracebackType | None) -> int | None:
        found = None
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__jinja_template__") is self._template:
                found = self._template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return found


def _bounded(pieces: Iterator[str]) -> str:
    size, found = 0, []
    for piece in pieces:
        size += len(piece)
        if size > MAX_OUTPUT:
            raise TemplateFault(f"The mail grows beyond {MAX_OUTPUT:,} characters.")
        found.append(piece)
    return "".join(found)


@dataclass(frozen=True, slots=True)
class CompiledMail:
    """A mail ready to be rendered for many people; safe to share between threads.

    `variables` are the names its templates use, in the order they appear. `html` or `text`
    is None where the mail has no such part.
    """

    subject: CompiledPart
    html: CompiledPart | None
    text: CompiledPart | None
    variables: tuple[str, ...]
    postal_address: str

    def render(self, variables: Mapping[str, Any]) -> RenderedMail:
        """The mail for one person's values (see `mail_variables`); raises TemplateProblem."""
        values = {**variables, "postal_address": self.postal_address}
        return RenderedMail(
            fold(self.subject.render(values)),
            self.html.render(values) if self.html else "",
            self.text.render(values) if self.text else "",
        )


def mail_variables(
    values: Mapping[str, str], *, email: str, unsubscribe_url: str, campaign_name: str
) -> dict[str, str]:
    """A recipient's columns with the variables that always exist on top."""
    return {
        **values,
        "email": email,
        "unsubscribe_url": unsubscribe_url,
        "campaign_name": campaign_name,
    }


def fold(subject: str) -> str:
    """A subject as one line: line breaks and control characters become single spaces."""
    return _FOLD.sub(" ", subject).strip()


def compile_mail(subject: str, html: str, text: str, *, postal_address: str = "") -> CompiledMail:
    """Compile and try a mail; raises TemplateProblem with part, line and sentence.

    A blank text part is written from the HTML. A part that does not always show
    `{{ unsubscribe_url }}` gets a footer with the link and the postal address.
    """
    if not text.strip() and html.strip():
        text = text_from_html(html)
    subject_part = CompiledPart(SUBJECT, subject, _PLAIN)
    html_part = _with_footer(CONTENT, _untracked(html), _HTML) if html.strip() else None
    text_part = _with_footer(PLAIN_TEXT, text, _PLAIN) if text.strip() else None
    parts = [part for part in (subject_part, html_part, text_part) if part is not None]
    names = dict.fromkeys(name for part in parts for name in used_names(part.tree))
    mail = CompiledMail(
        subject_part, html_part, text_part, tuple(names), " · ".join(postal_address.split("\n"))
    )
    for sample in ("", "1"):  # both ways of most conditions, missing and present
        mail.render(dict.fromkeys(names, sample))
    return mail


def _with_footer(name: str, source: str, environment: MailEnvironment) -> CompiledPart:
    part = CompiledPart(name, source, environment)
    if always_shows(part.tree, "unsubscribe_url"):
        return part
    if environment is _PLAIN:
        return CompiledPart(name, source.rstrip() + _TEXT_FOOTER, environment)
    inside = _BODY_END.sub(lambda end: _HTML_FOOTER + end.group(), source, count=1)
    if inside != source:
        part = CompiledPart(name, inside, environment)
        if always_shows(part.tree, "unsubscribe_url"):
            return part
    return CompiledPart(name, source + _HTML_FOOTER, environment)


def _untracked(html: str) -> str:
    """Unsubscribe links with `ses:no-track`, so that SES never rewrites them."""

    def mark(link: re.Match[str]) -> str:
        attributes = link.group(1)
        if not _UNSUBSCRIBE.search(attributes) or "ses:no-track" in attributes:
            return link.group()
        return f"<a ses:no-track{attributes}>"

    return _LINK.sub(mark, html)
