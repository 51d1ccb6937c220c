"""What every command keeps to: one line and exit code 1 when it cannot do what was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from database import writing
from tests.factories import add_campaign, add_recipients


@pytest.mark.parametrize(
    "arguments",
    [
        ["campaigns", "status", "abc", "--json"],
        ["campaigns", "status", "0"],
        ["campaigns", "status", "99999999999999999999", "--json"],
        ["campaigns", "status"],
        ["campaigns", "create", "--subject", "x", "--json"],
        ["campaigns", "launch", "1", "--when", "now"],
        ["campaigns", "rename", "1"],
        ["campaigns", "export", "1", "--format", "pdf"],
        ["campaigns", "export", "1", "--json"],
        ["suppressions", "list", "--reason", "none"],
        ["events", "replay", "one"],
    ],
)
def test_wrong_arguments_are_refused_with_one_line(app: Flask, arguments: list[str]) -> None:
    done = app.test_cli_runner().invoke(args=arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_export_to_a_file_answers_with_one_document(
    app: Flask, session: Session, now, tmp_path: Path
) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, ["one@example.com"], now)
    target = tmp_path / "out.csv"
    arguments = ["campaigns", "export", str(campaign.id), "--output", str(target), "--json"]
    done = app.test_cli_runner().invoke(args=arguments)
    document = {"id": campaign.id, "format": "csv", "output": str(target)}
    assert json.loads(done.stdout) == document
    assert len(target.read_text().splitlines()) == 2
