"""Unsubscribe tokens, names of variables, starter templates, the plain-text part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.rendering import TemplateProblem, compile_mail
from domain.starter_templates import starter_templates
from domain.template_language import ALWAYS_THERE
from domain.text_part import text_from_html
from domain.unsubscribe_tokens import UnsubscribeClaim, make_token, read_token
from domain.variable_names import variable_name

SECRET = bytes(range(32))
HASH = b"0123456789abcdef"
POSTAL = "1 Example Street"


class TestTokens:
    """What is in a link, and that nobody else can make one."""

    @given(
        st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1), st.binary(min_size=16, max_size=16)
    )
    def test_a_token_gives_back_its_claim(self, row: int, campaign: int, hashed: bytes) -> None:
        token = make_token(SECRET, row, campaign, hashed)
        assert re.fullmatch(r"[A-Za-z0-9_-]{60}", token)
        assert read_token(SECRET, token) == UnsubscribeClaim(row, campaign, hashed)

    def test_no_changed_token_is_read(self) -> None:
        token = make_token(SECRET, 5, 7, HASH)
        for place in range(len(token)):
            for other in "Aaz-_0":
                if other != token[place]:
                    changed = token[:place] + other + token[place + 1 :]
                    assert read_token(SECRET, changed) is None, place

    @given(st.text(max_size=70))
    def test_no_text_is_a_token(self, text: str) -> None:
        assert read_token(SECRET, text) is None

    def test_a_token_of_another_installation_is_not_read(self) -> None:
        assert read_token(b"x" * 32, make_token(SECRET, 1, 1, HASH)) is None


def _names(headers: list[str]) -> list[str]:
    names: list[str] = []
    for header in headers:
        names.append(variable_name(header, names))
    return names


class TestVariableNames:
    """Headers of any list become names that a template can use."""

    @given(st.lists(st.text(max_size=80), max_size=12))
    @example(["\U000119da", "a\U000119da"])  # a mark that the template language does not know
    def test_every_name_works_in_a_template_and_is_its_own(self, headers: list[str]) -> None:
        names = _names(headers)
        assert len(set(names)) == len(headers)
        source = "|".join(f"{{{{ {name} }}}}" for name in names)
        mail = compile_mail("s", "", source + "{{ unsubscribe_url }}")
        values = {name: f"value {number}" for number, name in enumerate(names)}
        assert mail.render(values).text == "|".join(values.values())

    def test_what_every_mail_has_is_no_name_of_a_column(self) -> None:
        assert not set(_names(list(ALWAYS_THERE))) & set(ALWAYS_THERE)

    def test_words_of_the_template_language_are_no_names(self) -> None:
        words = [
            "if",
            "else",
            "for",
            "in",
            "is",
            "not",
            "and",
            "or",
            "set",
            "true",
            "false",
            "none",
            "self",
            "loop",
            "range",
            "import",
        ]
        for name in _names(words):
            mail = compile_mail("s", "", f"{{{{ {name} }}}}!{{{{ unsubscribe_url }}}}")
            assert mail.render({name: "value"}).text == "value!"


class TestStarters:
    """What a new mail can start from."""

    def test_every_starter_is_a_whole_mail(self) -> None:
        starters = starter_templates()
        assert [one.key for one in starters] == ["newsletter", "announcement", "letter"]
        for one in starters:
            mail = compile_mail(one.subject, one.html, "", postal_address=POSTAL)
            rendered = mail.render({"email": "ann@example.com", "unsubscribe_url": "https://x/u/1"})
            assert rendered.html.count('ses:no-track href="https://x/u/1"') == 1
            assert rendered.html.count(POSTAL) == 1
            assert "riend," in rendered.html
            assert "Unsubscribe: https://x/u/1" in rendered.text
            assert "{{" not in rendered.html + rendered.text
            assert len(rendered.html) < 20_000
            assert '<table role="presentation"' in rendered.html
            assert "<script" not in rendered.html


class TestTextPart:
    """Readable text from any HTML."""

    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("<p>Hello {{ name }}</p>", "Hello {{ name }}"),
            ('<a href="https://example.com/x">Buy</a>', "Buy: https://example.com/x"),
            ('<a href="https://example.com">https://example.com</a>', "https://example.com"),
            ('<a href="{{ url }}"><b>Buy</b> now</a>', "Buy now: {{ url }}"),
            ('<a href="{{ unsubscribe_url }}">Leave</a>', "Leave: {{ unsubscribe_url }}"),
            ('<a href="#top">Up</a>', "Up"),
            ('<a href="mailto:a@example.com">Write</a>', "Write: a@example.com"),
            ('<a href="https://example.com"><img alt="Logo" src="x"></a>',
             "Logo: https://example.com"),
            ("<style>p{}</style><script>x</script><p>A</p>", "A"),
            ('<div style="display:none">hidden</div><p>A</p>', "A"),
            ("<ul><li>one</li><li>two</li></ul>", "  * one\n  * two"),
            ("<p>a &lt; b &amp; c</p>", "a < b & c"),
            ('<p>{{ name | default("a > b") }}</p>', '{{ name | default("a > b") }}'),
            ("{# a note #}<p>A</p>", "A"),
            ("<!-- nothing -->", ""),
            ("", ""),
        ],
    )  # fmt: skip
    def test_html_becomes_text(self, html: str, text: str) -> None:
        assert text_from_html(html).strip("\n") == text

    def test_columns_of_a_layout_follow_each_other(self) -> None:
        html = "<table><tr><td><p>A</p><p>B</p></td><td><p>C</p></td></tr></table>"
        assert text_from_html(html).split() == ["A", "B", "C"]

    def test_a_table_of_figures_keeps_its_rows(self) -> None:
        html = "<table><tr><td>Tea</td><td>5</td></tr><tr><td>Milk</td><td>12</td></tr></table>"
        assert [line.split() for line in text_from_html(html).splitlines()] == [
            ["Tea", "5"], ["Milk", "12"],
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "html",
        [
            "<p>A</p>{% if vip %}<p>B</p>{% endif %}<p>C</p>",
            "<table>{% if vip %}<tr><td>B</td></tr>{% endif %}<tr><td>C</td></tr></table>",
            "<table><tr>{% if vip %}<td>B</td>{% else %}<td>D</td>{% endif %}</tr></table>",
            "<p {% if vip %}class=x{% endif %}>C</p>{% if vip %}B{% endif %}",
            "{% if vip %}<table><tr><td>B</td></tr></table>{% endif %}",
        ],
    )
    def test_conditions_mean_the_same_in_the_text(self, html: str) -> None:
        mail = compile_mail("s", html, "")
        for vip in ("", "1"):
            rendered = mail.render({"vip": vip, "unsubscribe_url": "U"})
            assert ("B" in rendered.text) is ("B" in rendered.html), vip

    @given(st.text(alphabet="<>/ab{}% ptd\"='if", max_size=60))
    def test_any_html_gives_a_text(self, html: str) -> None:
        assert isinstance(text_from_html(html), str)

    def test_real_templates_give_text_that_compiles(self, material: Path) -> None:
        for file in sorted((material / "templates").rglob("*.html")):
            source = file.read_text()
            text = text_from_html(source)
            assert "<td" not in text
            assert "\n\n\n" not in text
            if "{{#" not in source and text:
                try:
                    compile_mail("s", "", text)
                except TemplateProblem as problem:
                    pytest.fail(f"{file.name}: {problem}")
