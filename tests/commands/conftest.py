"""Runs commands in the process of the test, and reads their answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run `flask --app app ARGUMENTS`."""
    runner = app.test_cli_runner()
    return lambda *arguments, **more: runner.invoke(args=[str(a) for a in arguments], **more)


@pytest.fixture
def html(tmp_path: Path) -> Path:
    """A file with the HTML of a mail."""
    path = tmp_path / "mail.html"
    path.write_text('<p>Hello {{ name }}</p> <a href="{{ unsubscribe_url }}">Unsubscribe</a>')
    return path


def answered(result: Result) -> Any:
    """The JSON document of a command that did what was asked."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """The one line of a command that refused."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr
