"""`flask --app app events …`."""

from __future__ import annotations

import click

from commands.terminal import Nouns, answer, changing, json_option, now, reading, refuse
from services.campaigns import get_campaign
from services.event_replay import has_purged_events, replay_step


@click.group("events", cls=Nouns)
def events() -> None:
    """Events that SES sent: stored once, applied to the rows they belong to."""


@events.command("replay")
@click.argument("campaign_id", metavar="ID", type=int)
@click.option("--raise-only", is_flag=True, help="Take nothing back; works after a purge too.")
@json_option
def replay(campaign_id: int, raise_only: bool, as_json: bool) -> None:
    """Derive a campaign's states afresh from its stored events."""
    with reading() as session:
        get_campaign(session, campaign_id)
        if not raise_only and has_purged_events(session, campaign_id):
            refuse(
                f"Raw events of campaign {campaign_id} were purged (RAW_EVENT_DAYS), so its "
                "states cannot be derived afresh. Use --raise-only: it never lowers a state."
            )
    rows = changed = last = 0
    while True:
        with changing() as session:
            step = replay_step(session, campaign_id, last, now(), raise_only=raise_only)
        if step.last_id is None:
            break
        last, rows, changed = step.last_id, rows + step.rows, changed + step.changed
    document = {"id": campaign_id, "rows": rows, "changed": changed}
    answer(document, as_json, f"{rows} rows replayed, {changed} of them changed.")
