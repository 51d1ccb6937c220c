"""Templates and values into mails: what is allowed, what is refused, what nobody can break."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rendering import (
    CONTENT,
    PLAIN_TEXT,
    SUBJECT,
    CompiledMail,
    TemplateProblem,
    compile_mail,
    fold,
    mail_variables,
)

ALWAYS = {
    "email": "ann@example.com",
    "unsubscribe_url": "https://mail.example.com/u/1",
    "campaign_name": "Spring",
}


def _mail(html: str, *, subject: str = "s", text: str = "t {{ unsubscribe_url }}") -> CompiledMail:
    return compile_mail(subject, html + "{{ unsubscribe_url }}", text)


def _attempt(source: str) -> CompiledMail | TemplateProblem:
    try:
        return compile_mail(source, source, source)
    except TemplateProblem as problem:
        return problem


def _html(source: str, **values: str) -> str:
    rendered = _mail(source).render({**values, "unsubscribe_url": ""})
    return rendered.html


def _problem(source: str, **parts: str) -> TemplateProblem:
    with pytest.raises(TemplateProblem) as caught:
        _mail(source, **parts)
    return caught.value


def test_values_are_escaped_in_html_and_nowhere_else() -> None:
    mail = compile_mail("To {{ name }}", "<p>{{ name }}</p>", "Dear {{ name }}")
    rendered = mail.render({"name": "<b>Tom & 'Ann'</b>", **ALWAYS})
    assert rendered.subject == "To <b>Tom & 'Ann'</b>"
    assert "<p>&lt;b&gt;Tom &amp; &#39;Ann&#39;&lt;/b&gt;</p>" in rendered.html
    assert rendered.text.startswith("Dear <b>Tom & 'Ann'</b>")


@pytest.mark.parametrize(
    ("source", "values", "shown"),
    [
        ('{{ name | default("friend") }}', {}, "friend"),
        ('{{ name | default("friend") }}', {"name": ""}, "friend"),
        ('{{ name | default("friend") }}', {"name": "  "}, "friend"),
        ('{{ name | default("friend") }}', {"name": "Ann"}, "Ann"),
        ("[{{ missing }}]", {}, "[]"),
        ("{{ missing | upper }}{{ missing | int }}{{ missing.strip() }}", {}, "0"),
        ("{% for part in missing %}x{% else %}none{% endfor %}", {}, "none"),
        ("{% if name is defined %}yes{% else %}no{% endif %}", {"name": ""}, "no"),
        ("{% if points | int > 100 %}gold{% endif %}", {"points": "101"}, "gold"),
        ("{% for part in names.split(',') %}{{ loop.index }}{{ part }};{% endfor %}",
         {"names": "a,b"}, "1a;2b;"),
        ("{{ name.split()[0] }}", {"name": "Ann Lee"}, "Ann"),
        ("{{ name.split()[7] }}|{{ name[:2] }}", {"name": "Ann"}, "|An"),
        ('{{ first ~ " " ~ last }}', {"first": "A", "last": "B"}, "A B"),
        ("{{ price | float * 2 }}", {"price": "1.5"}, "3.0"),
        ("{{ price | float | round(1) }}", {"price": "1.26"}, "1.3"),
        ("{{ name | e }}", {"name": "a&b"}, "a&amp;b"),
        ("{{ q | urlencode }}", {"q": "a b/ü"}, "a%20b%2F%C3%BC"),
        ("{% set x = name %}{{ x }}", {"name": "n"}, "n"),
        ("{% raw %}{{ name }}{% endraw %}", {"name": "n"}, "{{ name }}"),
        ("{# nobody reads this #}a", {}, "a"),
        ("{% for n in range(3) %}{{ n }}{% endfor %}", {}, "012"),
        ('{{ "yes" if vip else "no" }}', {"vip": "1"}, "yes"),
        ("{{ none }}{{ missing }}", {}, ""),
        ("{{ имя }}", {"имя": "Анна"}, "Анна"),
    ],
)  # fmt: skip
def test_the_language_does_what_people_write(
    source: str, values: dict[str, str], shown: str
) -> None:
    assert _html(source, **values) == shown


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("{{ 'a' * 10**9 }}", "Powers"),
        ("{{ 'a' * 1000000000 }}", "no variable"),
        ("{{ name * 1000000000 }}", "numbers on both sides"),
        ("{{ 7*7 }}", "no variable"),
        ("{% for n in range(1000000000) %}x{% endfor %}", "range()"),
        ("{% for n in range(-1000000000, 0) %}x{% endfor %}", "range()"),
        ("{% for a in range(1000) %}" * 5 + "x" + "{% endfor %}" * 5, "too many steps"),
        ("{% set x = 'abcdefgh' %}" + "{% set x = x ~ x %}" * 50 + "{{ x }}", "grows"),
        ("{% set x = 'abcdefgh' %}" + "{% set x = x + x %}" * 50 + "{{ x }}", "grows"),
        ("{% set x = 'aaaaaaaa' %}" + "{% set x = x.replace('a', 'aaaaaaaa') %}" * 9, "grows"),
        ("{% set x = 99999 %}" + "{% set x = x * x %}" * 50 + "{{ x }}", "too large"),
        ("{{ name | center(1000000000) }}", "no filter"),
        ("{{ name.ljust(1000000000) }}", "cannot call"),
        ("{{ name % 1 }}", "numbers on both sides"),
        ("{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}", "deeply"),
        ("{{ x" + "|upper" * 3_000 + " }}", "deeply"),
        ("{% if x %}" * 300 + "{% endif %}" * 300, "deeply"),
        ("{{ x" + "+x" * 9_900 + " }}", ""),
        ("{{ x" + "+x" * 11_000 + " }}", "20,000"),
        ("{{ ''.__class__ }}", "underscore"),
        ("{{ name['__class__'] }}", "Square brackets"),
        ("{{ name | attr('__class__') }}", "no filter"),
        ("{{ self }}", "reserved"),
        ("{{ cycler.__init__.__globals__ }}", "underscore"),
        ("{{ lipsum() }}", "cannot call"),
        ("{{ name.format(1) }}", "cannot call"),
        ("{{ range(*names) }}", "plain values"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block a %}{% endblock %}", "block"),
        ("{% macro a() %}{{ a() }}{% endmacro %}", "macro"),
        ("{% autoescape false %}{{ name }}{% endautoescape %}", "not part"),
        ("{{ name | safe }}", "no filter"),
        ("{% for x in names recursive %}{{ loop(x) }}{% endfor %}", ""),
        ("{% set email = 'b@example.com' %}", "cannot be set"),
        ("{{#each items}}{{/each}}", "Mustache"),
        ("{{^empty}}x{{/empty}}", "Mustache"),
        ("{{> partial }}", "Mustache"),
        ("{{{ name }}}", "Triple braces"),
        ("{{ First Name }}", "names have no spaces"),
        ("{{ contact.name }}", "Columns have no parts"),
        ("{{ name | default(“friend”) }}", "quotes"),
        ("{{ name | default(&quot;friend&quot;) }}", "quotes"),
        ("{% if name %}", "{% endif %} is missing"),
        ("{% endif %}", "nothing was begun"),
        ("{% fi %}", "no tag"),
        ("{# never closed", "comment"),
        ("{{ points > 100 }}", "| int"),
        ("{{ 1 / (points | int) }}", "divides by zero"),
        ("{% for a, b in names %}{% endfor %}{% for x in 5 %}{% endfor %}", "needs a list"),
        ("{{ }}", "empty"),
        ("{{ a + }}", "cannot be read"),
    ],
)  # fmt: skip
@pytest.mark.timeout(20)  # a runaway would take minutes
def test_what_cannot_be_is_refused_in_a_sentence_and_at_once(source: str, word: str) -> None:
    problem = _problem(source)
    assert problem.part == CONTENT
    assert word in problem.sentence
    assert "Traceback" not in problem.sentence


@pytest.mark.parametrize(
    ("parts", "part", "line"),
    [
        ({"subject": "a {{ b"}, SUBJECT, 1),
        ({"html": "<p>\n\n{{ 1 / (x | int) }}"}, CONTENT, 3),
        ({"html": "<p>\n{% if x %}\n"}, CONTENT, 2),
        ({"text": "one\n{{ two three }}"}, PLAIN_TEXT, 2),
        ({"text": "one\n\n\n{{ x > 1 }}\n"}, PLAIN_TEXT, 4),
    ],
)
def test_a_problem_names_part_and_line(parts: dict[str, str], part: str, line: int) -> None:
    with pytest.raises(TemplateProblem) as caught:
        compile_mail(parts.get("subject", "s"), parts.get("html", "h"), parts.get("text", "t"))
    assert (caught.value.part, caught.value.line) == (part, line)
    assert str(caught.value).startswith(f"{part}, line {line}: ")


def test_a_value_that_breaks_a_calculation_fails_for_this_person_only() -> None:
    mail = _mail("{{ 6 // (name | length - 3) }}")
    assert mail.render({"name": "Anna"}).html == "6"
    with pytest.raises(TemplateProblem, match="divides by zero"):
        mail.render({"name": "Ann"})


def test_a_mail_that_grows_without_end_stops_at_the_limit() -> None:
    mail = _mail("{% for n in range(1000) %}{{ name }}{% endfor %}")
    with pytest.raises(TemplateProblem, match="grows beyond"):
        mail.render({"name": "x" * 32_000})


@given(st.text(max_size=300))
def test_any_value_is_shown_as_it_is_and_never_evaluated(value: str) -> None:
    mail = compile_mail("{{ a }}", "{{ a }}{{ unsubscribe_url }}", "{{ a }}{{ unsubscribe_url }}")
    rendered = mail.render({"a": value})
    assert rendered.text == value
    assert "\n" not in rendered.subject
    assert "\r" not in rendered.subject
    for sign in "<>\"'":
        assert sign not in rendered.html


@given(st.text(max_size=80))
def test_any_template_compiles_or_is_refused_with_a_sentence(source: str) -> None:
    found = _attempt(source)
    if isinstance(found, TemplateProblem):
        assert found.sentence
    else:
        found.render(ALWAYS)


def test_probes_for_injection_are_never_evaluated(material: Path) -> None:
    for line in (material / "hostile" / "ssti.fuzz.txt").read_text().splitlines():
        shown = compile_mail("{{ a }}", "{{ a }}", "{{ a }}{{ unsubscribe_url }}").render(
            {"a": line}
        )
        assert shown.text == line
        found = _attempt(line)
        if isinstance(found, TemplateProblem):
            continue
        rendered = found.render(ALWAYS)
        for part in (rendered.subject, rendered.html, rendered.text):
            assert "49" not in part or "49" in line
            assert "__" not in part or "__" in line
            assert "object at 0x" not in part
            assert "root:" not in part


def test_no_value_can_add_a_header_line(material: Path) -> None:
    folder = material / "hostile"
    lines = [
        *(case["value"] for case in json.loads((folder / "header-injection.json").read_text())),
        *(unquote(line) for name in ("crlf.txt", "crlf-fuzzdb.txt")
          for line in (folder / name).read_text().splitlines()),
    ]  # fmt: skip
    assert len(lines) > 40
    mail = compile_mail("Hello {{ name }}!", "h", "t")
    for line in lines:
        subject = mail.render({"name": line, **ALWAYS}).subject
        assert len(subject.splitlines()) == 1, line


@pytest.mark.parametrize(
    ("raw", "folded"),
    [
        ("a\r\nb", "a b"),
        ("a \n\t b", "a b"),
        ("\na\x00b\u2028c\n", "a b c"),
        ("two  spaces", "two  spaces"),
        ("", ""),
    ],
)
def test_line_breaks_in_a_subject_become_one_space(raw: str, folded: str) -> None:
    assert fold(raw) == folded


def test_real_templates_compile_or_are_refused_for_mustache(material: Path) -> None:
    files = sorted((material / "templates").rglob("*.html"))
    assert len(files) > 60
    refused = []
    for file in files:
        source = file.read_text()
        mail = _attempt(source)
        if isinstance(mail, TemplateProblem):
            assert "Mustache" in mail.sentence
            assert mail.line
            assert "{{#" in source
            refused.append(file.name)
            continue
        rendered = mail.render(dict.fromkeys(mail.variables, "v") | ALWAYS)
        assert ALWAYS["unsubscribe_url"] in rendered.html
        assert "{{" not in rendered.html
    assert len(refused) < 6


def test_mustache_specs_never_crash_the_compiler(material: Path) -> None:
    for file in (material / "templates" / "mustache-spec").glob("*.json"):
        for case in json.loads(file.read_text())["tests"]:
            found = _attempt(case["template"] + " ")
            assert isinstance(found, CompiledMail) or found.sentence


class TestFooter:
    """Every part shows the way out."""

    def test_html_without_the_link_gets_it_before_the_end_of_the_body(self) -> None:
        mail = compile_mail("s", "<html><body><p>x</p></body></html>", "t", postal_address="A\nB")
        html = mail.render(ALWAYS).html
        assert html.endswith("</body></html>")
        assert 'ses:no-track href="https://mail.example.com/u/1"' in html
        assert "A · B" in html

    def test_text_without_the_link_gets_it_at_the_end(self) -> None:
        text = compile_mail("s", "h", "Hello\n\n", postal_address="Street 1").render(ALWAYS).text
        assert text == "Hello\n\n-- \nStreet 1\nUnsubscribe: https://mail.example.com/u/1\n"

    def test_without_an_address_there_is_only_the_link(self) -> None:
        assert compile_mail("s", "h", "t").render(ALWAYS).text == (
            "t\n\n-- \nUnsubscribe: https://mail.example.com/u/1\n"
        )

    def test_a_part_with_the_link_is_left_alone(self) -> None:
        rendered = compile_mail("s", "{{unsubscribe_url}}", "{{ unsubscribe_url }}").render(ALWAYS)
        assert (rendered.html, rendered.text) == (ALWAYS["unsubscribe_url"],) * 2

    @pytest.mark.parametrize(
        "html",
        [
            "{% if vip %}{{ unsubscribe_url }}{% endif %}",
            "{# {{ unsubscribe_url }} #}x",
            "{% raw %}{{ unsubscribe_url }}{% endraw %}",
            "{% set x = unsubscribe_url %}",
            "{% if vip %}<body></body>{% endif %}",
        ],
    )
    def test_a_link_that_not_everybody_sees_does_not_count(self, html: str) -> None:
        assert ALWAYS["unsubscribe_url"] in compile_mail("s", html, "t").render(ALWAYS).html

    def test_an_address_is_escaped_and_never_evaluated(self) -> None:
        mail = compile_mail("s", "h", "t", postal_address="{{ 7*7 }} <b>")
        rendered = mail.render(ALWAYS)
        assert "{{ 7*7 }} &lt;b&gt;" in rendered.html
        assert "{{ 7*7 }} <b>" in rendered.text

    @pytest.mark.parametrize(
        ("link", "marked"),
        [
            ('<a href="{{ unsubscribe_url }}">', True),
            ("<A HREF='{{unsubscribe_url}}' class=x>", True),
            ('<a\n  class="{% if a > b %}c{% endif %}" href="{{ unsubscribe_url | e }}">', True),
            ('<a ses:no-track href="{{ unsubscribe_url }}">', False),
            ('<a href="{{ other }}">', False),
            ('<abbr title="{{ unsubscribe_url }}">', False),
        ],
    )
    def test_unsubscribe_links_are_kept_from_tracking(self, link: str, marked: bool) -> None:
        html = compile_mail("s", f"{link}x</a>{{{{ unsubscribe_url }}}}", "t").render(ALWAYS).html
        assert ("<a ses:no-track" in html) is (marked or "ses:no-track" in link)
        assert html.count("ses:no-track") == int(marked or "ses:no-track" in link)


def test_variables_are_listed_in_the_order_they_appear() -> None:
    mail = compile_mail(
        "{{ zeta }}",
        "{{ alpha }}{% set own = zeta %}{{ own }}{% for x in list %}{{ x }}{% endfor %}"
        "{{ unsubscribe_url }}",
        "{{ alpha }}{{ email }}{{ unsubscribe_url }}",
    )
    assert mail.variables == ("zeta", "alpha", "list", "unsubscribe_url", "email")


def test_what_always_exists_cannot_be_replaced_by_a_column() -> None:
    values = mail_variables(
        {"email": "evil@example.com", "unsubscribe_url": "x", "name": "Ann"}, **ALWAYS
    )
    assert values == {"name": "Ann", **ALWAYS}


def test_a_mail_without_html_is_text_alone() -> None:
    mail = compile_mail("s", "", "Hello")
    assert mail.html is None
    assert mail.render(ALWAYS).html == ""


def test_a_blank_text_part_is_written_from_the_html() -> None:
    mail = compile_mail("s", "<p>Hello {{ name }}</p>", " ")
    assert mail.render({"name": "Ann", **ALWAYS}).text.startswith("Hello Ann\n")


def test_a_template_beyond_a_million_characters_is_refused() -> None:
    assert "1,000,000" in _problem("x" * 1_000_001).sentence


def test_one_compiled_mail_serves_many_threads() -> None:
    mail = _mail("{% for part in names.split(',') %}{{ part }}{% endfor %}", subject="{{ n }}")

    def one(number: int) -> Any:
        values = {"n": str(number), "names": f"{number},x,{number}"}
        return number, mail.render(values)

    with ThreadPoolExecutor(16) as pool:
        for number, rendered in pool.map(one, range(400)):
            assert rendered.subject == str(number)
            assert rendered.html == f"{number}x{number}"
