"""`flask --app app campaigns …`: write, launch and watch campaigns.

What concerns their recipients is in `commands.audience`.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from commands.terminal import (
    Nouns,
    answer,
    campaign_argument,
    changing,
    columns,
    json_option,
    now,
    person,
    read_text,
    reading,
    refuse,
    settings,
)
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign
from services import campaigns as service
from services.ledger import read_counters
from services.recount import recount

#: Rows that `cancel` turns in one writing step.
_CANCEL_STEP = 1000


@click.group("campaigns", cls=Nouns)
def campaigns() -> None:
    """Campaigns: one mail to many people."""


@campaigns.command("create")
@click.option("--name", required=True, help="What the campaign is called; recipients never see it.")
@click.option("--subject", required=True, help="The subject line; {{ variables }} work.")
@click.option("--html", "html_file", required=True, metavar="FILE", help="The HTML; - is stdin.")
@click.option("--text", "text_file", metavar="FILE", help="The plain text, or it is made of HTML.")
@click.option("--from-email", default="", help="The sender, or SENDER_EMAIL of the settings.")
@click.option("--from-name", default="", help="The sender's name, or SENDER_NAME.")
@click.option("--reply-to", default="", help="Where answers go, or REPLY_TO.")
@json_option
def create(
    name: str,
    subject: str,
    html_file: str,
    text_file: str | None,
    from_email: str,
    from_name: str,
    reply_to: str,
    as_json: bool,
) -> None:
    """Write a new campaign from files."""
    content = service.CampaignContent(
        name=name,
        subject=subject,
        html=read_text(html_file),
        text=read_text(text_file) if text_file else "",
        text_is_automatic=text_file is None,
        from_email=from_email,
        from_name=from_name,
        reply_to=reply_to,
    )
    with changing() as session:
        campaign = service.create_campaign(session, content, settings(), now(), person())
        document = {"id": campaign.id}
    answer(document, as_json, f"Campaign {document['id']} is written. Next: campaigns import")


@campaigns.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List campaigns, newest first."""
    with reading() as session:
        found = [
            {
                "id": campaign.id,
                "name": campaign.name,
                "status": campaign.status.value,
                "total": counters.total,
                "accepted": counters.reached_accepted,
                "delivered": counters.reached_delivered,
                "bounced": counters.reached_bounced,
                "complained": counters.reached_complained,
            }
            for campaign, counters in service.list_campaigns(session)
        ]
    heads = ["id", "name", "status", "total", "accepted", "delivered", "bounced", "complained"]
    rows = [[row[head] for head in heads] for row in found]
    answer(
        {"campaigns": found},
        as_json,
        columns(rows, heads) if found else "There is no campaign yet. Next: campaigns create",
    )


@campaigns.command("launch")
@campaign_argument
@click.option("--at", metavar="TIME", help="Later: ISO 8601 with offset, 2030-01-31T09:00+01:00.")
@json_option
def launch(campaign_id: int, at: str | None, as_json: bool) -> None:
    """Start sending, now or at a time."""
    moment = _moment(at) if at else None
    with changing() as session:
        campaign = service.launch(session, campaign_id, settings(), now(), person(), at=moment)
        document = _state(campaign)
    when = f"starts at {at}" if at else "is being sent as soon as a scheduler runs"
    answer(document, as_json, f"Campaign {campaign_id} {when}.")


@campaigns.command("pause")
@campaign_argument
@json_option
def pause(campaign_id: int, as_json: bool) -> None:
    """Stop sending until `resume`."""
    with changing() as session:
        document = _state(service.pause(session, campaign_id, now(), by=person()))
    answer(document, as_json, f"Campaign {campaign_id} is {document['status']}.")


@campaigns.command("resume")
@campaign_argument
@json_option
def resume(campaign_id: int, as_json: bool) -> None:
    """Go on after a pause."""
    with changing() as session:
        document = _state(service.resume(session, campaign_id, now()))
    answer(document, as_json, f"Campaign {campaign_id} is {document['status']}.")


@campaigns.command("cancel")
@campaign_argument
@json_option
def cancel(campaign_id: int, as_json: bool) -> None:
    """End a campaign for good; mails already handed over stay sent."""
    with changing() as session:
        document = _state(service.cancel(session, campaign_id, now(), person()))
    turned = _CANCEL_STEP
    while turned == _CANCEL_STEP:
        with changing() as session:
            turned = service.cancel_pending(session, campaign_id, now(), _CANCEL_STEP)
    answer(document, as_json, f"Campaign {campaign_id} is {document['status']}.")


@campaigns.command("status")
@campaign_argument
@json_option
def status(campaign_id: int, as_json: bool) -> None:
    """What a campaign does, and what became of its recipients."""
    with reading() as session:
        document = service.campaign_status(session, campaign_id, now())
    answer(document, as_json, _status_words(document))


@campaigns.command("recount")
@campaign_argument
@json_option
def recount_(campaign_id: int, as_json: bool) -> None:
    """Compare the counters with a count of the ledger; exit code 1 if they differ."""
    with reading() as session:
        service.get_campaign(session, campaign_id)
        counters = read_counters(session, campaign_id)
        ledger = recount(session, campaign_id)
    differences = {
        name: {"counter": counters[name], "ledger": ledger[name]}
        for name in counters
        if counters[name] != ledger[name]
    }
    document = {"matches": not differences, "differences": differences}
    rows = [[name, pair["counter"], pair["ledger"]] for name, pair in differences.items()]
    words = columns(rows, ["name", "counter", "ledger"])
    answer(document, as_json, words if rows else "Every counter equals the ledger.")
    sys.exit(1 if differences else 0)


def _state(campaign: Campaign) -> dict[str, Any]:
    return {"id": campaign.id, "status": campaign.status.value}


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{text} is no time; write it like 2030-01-31T09:00+01:00.")
    if moment.tzinfo is None:
        refuse(f"{text} has no offset; write it like {text}+01:00, or with Z for UTC.")
    return moment


def _status_words(document: dict[str, Any]) -> str:
    head = f"Campaign {document['id']} is {document['status']}"
    if document["status"] == CampaignStatus.SENDING:
        head += f", {document['rate']:g} mails/s"
    lines = [head + "."]
    lines += [document["reason"]] if document["reason"] else []
    lines += [f"Waiting until {document['waiting_until']}."] if document["waiting_until"] else []
    rows: list[list[object]] = [["recipients", document["total"]]]
    rows += [
        [f"  {state.value.replace('_', ' ')}", document["counts"][state.value]]
        for state in RecipientStatus
        if document["counts"][state.value]
    ]
    for name in ("opened", "clicked", "unsubscribed", "duplicates"):
        rows += [[name, document[name]]] if document[name] else []
    return "\n".join([*lines, columns(rows)])
