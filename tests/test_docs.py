"""What the documents say is true: settings, commands, targets, links, rights in AWS."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import click
import pytest
from dotenv import dotenv_values
from flask import Flask

from config import EmailBackend, Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = dotenv_values(ROOT / ".env.example")
#: Read by the flask command itself, no settings of ours.
FLASK_OWN = {"FLASK_APP"}
#: What a newcomer needs differs from what is right when nothing is set.
EXAMPLE_DIFFERS = {
    "email_backend", "secret_key", "sender_email", "sender_name", "postal_address",
}  # fmt: skip
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
#: Actions of IAM by the method that needs them, where the names differ.
ACTIONS = {"DeleteMessageBatch": "DeleteMessage"}


def _settings() -> set[str]:
    fields = {field.name for field in dataclasses.fields(Settings)} - {"instance_dir"}
    return {name.upper() for name in fields} | FLASK_OWN


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    assert set(EXAMPLE) == _settings()


def test_every_setting_is_in_the_readme_and_nothing_else() -> None:
    table = README.partition("| setting | default | meaning |")[2].partition("\n\n")[0]
    named = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z_0-9]+)`", line.split("|")[1])
    }
    assert named == _settings()


def test_every_setting_of_the_example_has_a_comment_before_it() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    before = ""
    uncommented = []
    for line in lines:
        name = line.partition("=")[0]
        if line and not line.startswith("#") and not before:
            uncommented.append(name)
        before = line
    assert not uncommented


def test_values_of_the_example_are_the_defaults() -> None:
    key = "a key made of more than thirty-two characters"
    example = Settings.from_env({**{k: v or "" for k, v in EXAMPLE.items()}, "SECRET_KEY": key})
    bare = Settings.from_env({"SECRET_KEY": key, "EMAIL_BACKEND": EmailBackend.SIMULATOR.value})
    different = {
        field.name
        for field in dataclasses.fields(Settings)
        if getattr(example, field.name) != getattr(bare, field.name)
    }
    assert different <= EXAMPLE_DIFFERS


def _commands(app: Flask) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for noun in ("users", "campaigns", "lists", "suppressions", "events", "aws"):
        group = app.cli.commands[noun]
        assert isinstance(group, click.Group)
        found |= {f"{noun} {verb}": command for verb, command in group.commands.items()}
    return found


def test_commands_in_the_documents_exist_with_their_options(app: Flask) -> None:
    commands = _commands(app)
    used = [
        match
        for document in DOCUMENTS
        for match in re.findall(r"flask --app app ([^\n`]+)", document.read_text(encoding="utf-8"))
    ]
    assert used
    for line in used:
        noun, verb, *arguments = shlex.split(line.partition(" #")[0])
        command = commands[f"{noun} {verb}"]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {a for a in arguments if a.startswith("--")} <= known, line


def test_every_command_is_in_the_readme(app: Flask) -> None:
    table = README.partition("| command | what it does |")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", line)[1] for line in lines]
    named = set()
    for cell in cells:
        noun = ""
        for words in re.findall(r"`([a-z][^`]*)`", cell):
            parts = words.split()
            noun = parts[0] if parts[0] in app.cli.commands else noun
            named.add(f"{noun} {parts[1] if parts[0] == noun else parts[0]}")
    assert named == set(_commands(app))


def test_make_targets_in_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    used = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"`make ([a-z]+)", document.read_text(encoding="utf-8"))
    }
    assert {"run", "demo", "test", "sure"} <= used
    assert used <= targets


def test_programs_in_the_documents_exist() -> None:
    used = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"python ([\w/]+\.py)", document.read_text(encoding="utf-8"))
    }
    assert {"update_db_schema.py", "debug_email_flow.py", "scheduler.py"} <= used
    assert not [name for name in used if not (ROOT / name).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [
        link.partition("#")[0]
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
        if not link.startswith(("http://", "https://", "#"))
    ]
    assert not [link for link in links if not (document.parent / link).exists()]


def test_modules_in_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py|[a-z_]+/)`", text)
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]


def test_policies_are_json_and_allow_every_call_we_make() -> None:
    blocks = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    allowed: set[str] = set()
    for block in blocks:
        for statement in json.loads(block)["Statement"]:
            actions = statement["Action"]
            allowed |= {actions} if isinstance(actions, str) else set(actions)
    assert _calls() <= allowed


def _calls() -> set[str]:
    """The IAM actions of the AWS operations that the source names."""
    calls = {"ses:SendEmail", "sns:ConfirmSubscription"}
    for path in (ROOT / "aws").glob("*.py"):
        if path.name == "critical_set.py":  # rights of its own, named in the text
            continue
        text = path.read_text(encoding="utf-8")
        for service, method in re.findall(r"\b(ses|sns|sqs)\.((?:get|list|tag|receive)_\w+)", text):
            if method != "get_paginator":
                operation = "".join(word.capitalize() for word in method.split("_"))
                calls.add(f"{service}:{operation}")
        for paginated in re.findall(r"sns\.get_paginator\(\"(\w+)\"\)", text):
            calls.add("sns:" + "".join(word.capitalize() for word in paginated.split("_")))
        for operation in re.findall(r'_call\("(\w+)"', text):
            calls.add(f"sqs:{ACTIONS.get(operation, operation)}")
    assert len(calls) > 8
    return calls
