"""How the tests of pages fill in and press: with the tokens of the page, as a browser would."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from lxml.html import HtmlElement, document_fromstring
from werkzeug.test import TestResponse


def page(response: TestResponse) -> HtmlElement:
    """The parsed document of an answer."""
    return document_fromstring(response.get_data(as_text=True))


def words(element: HtmlElement) -> str:
    """What a person reads, with single spaces."""
    return " ".join(element.text_content().split())


def main_words(response: TestResponse) -> str:
    """What a person reads in the main part of a page."""
    return words(page(response).xpath("//main")[0])


def post(client: FlaskClient, address: str, data: dict[str, Any] | None = None) -> TestResponse:
    """Post with the session's CSRF token, without following the redirect."""
    form = page(client.get("/suppressions/add"))
    token = form.xpath("//input[@name='csrf_token']")[0].get("value")
    return client.post(address, data={"csrf_token": token, **(data or {})})


def follow(client: FlaskClient, response: TestResponse) -> TestResponse:
    """The page that a successful post leads to."""
    assert response.status_code == 303, main_words(response)
    return client.get(response.headers["Location"])
