"""What holds for every page at once: the guard, the headers, the templates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from web.security import CSRF_EXEMPT_BLUEPRINTS, PUBLIC_ENDPOINTS, local_path

ROOT = Path(__file__).resolve().parents[2]
#: Mails and what stands in a mail's own frame carry their style in them; pages must not.
TEMPLATES = sorted(
    path
    for path in (ROOT / "templates").rglob("*.html")
    if path.parent.name != "starters" and path.name != "instead.html"
)


def _addresses(app: Flask) -> list[tuple[str, str, str]]:
    """Every route once per method: (endpoint, method, an address)."""
    filled = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?\w+>")
    return [
        (rule.endpoint, method, filled.sub(lambda m: "1" if m[1] == "int" else "0" * 32, rule.rule))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_strangers_reach_only_what_is_public(app: Flask, client: FlaskClient) -> None:
    reached = []
    for endpoint, method, address in _addresses(app):
        answer = client.open(address, method=method)
        if endpoint in PUBLIC_ENDPOINTS:
            continue
        to_login = answer.status_code in (302, 303) and "/login" in answer.headers["Location"]
        if not to_login:
            reached.append((endpoint, method, answer.status_code))
    assert reached == []


@pytest.mark.parametrize("address", ["/suppressions", "/suppressions/", "/campaigns"])
def test_pages_answer_with_and_without_a_slash(logged_in: FlaskClient, address: str) -> None:
    assert logged_in.get(address).status_code == 200


def test_every_public_endpoint_exists(app: Flask) -> None:
    assert set(app.view_functions) >= PUBLIC_ENDPOINTS


def test_posts_without_a_token_are_refused(app: Flask, logged_in: FlaskClient) -> None:
    passed = []
    for endpoint, method, address in _addresses(app):
        if method == "POST" and endpoint.partition(".")[0] not in CSRF_EXEMPT_BLUEPRINTS:
            answer = logged_in.post(address)
            if answer.status_code != 400:
                passed.append((endpoint, answer.status_code))
    assert passed == []


@pytest.mark.parametrize("address", ["/login", "/", "/campaigns/", "/nowhere", "/healthz"])
def test_headers_are_on_every_answer(logged_in: FlaskClient, address: str) -> None:
    headers = logged_in.get(address).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_static_files_are_kept_for_a_year_under_their_own_address(
    app: Flask, client: FlaskClient
) -> None:
    with app.test_request_context():
        address = app.url_for("static", filename="css/tokens.css")
    assert "v=" in address
    assert "immutable" in client.get(address, buffered=True).headers["Cache-Control"]
    plain = client.get("/static/css/tokens.css", buffered=True)
    assert "immutable" not in plain.headers["Cache-Control"]


def test_live_updates_of_a_stranger_end(client: FlaskClient) -> None:
    assert client.get("/live", headers={"X-Live": "1"}).status_code == 401


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_template_compiles_and_holds_no_inline_script_or_style(app: Flask, path: Path) -> None:
    name = str(path.relative_to(ROOT / "templates"))
    app.jinja_env.get_template(name)
    text = path.read_text("utf-8")
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"<style\b", text)
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    # A link may lead elsewhere; nothing that a page loads may.
    assert not re.search(r"<(?!a\s)\w+[^>]*\s(?:src|href)=[\"'](?:https?:)?//", text)


def test_scripts_stay_small() -> None:
    long = {
        path.name: lines
        for path in (ROOT / "static/js").glob("*.js")
        if (lines := path.read_text("utf-8").count("\n")) > 60
    }
    assert long == {}


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [
        ("/campaigns/3?state=bounced", "/campaigns/3?state=bounced"),
        ("", "/"),
        (None, "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/ok\r\nSet-Cookie: a=b", "/"),
        ("campaigns", "/"),
    ],
)
def test_return_addresses_stay_on_this_site(target: Any, goes_to: str) -> None:
    assert local_path(target, "/") == goes_to
