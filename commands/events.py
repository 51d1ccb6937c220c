"""`flask --app app events …`: the SES events that were stored."""

from __future__ import annotations

import click

from commands.terminal import (
    Nouns,
    answer,
    campaign_argument,
    changing,
    json_option,
    now,
    progress_bar,
    reading,
    refuse,
)
from services.campaigns import get_campaign
from services.event_replay import has_purged_events, replay_step
from services.ledger import read_counters


@click.group("events", cls=Nouns)
def events() -> None:
    """Events that SES reported."""


@events.command("replay")
@campaign_argument
@click.option("--raise-only", is_flag=True, help="Take nothing back that is known.")
@json_option
def replay(campaign_id: int, raise_only: bool, as_json: bool) -> None:
    """Derive a campaign's states afresh from the stored events."""
    with reading() as session:
        get_campaign(session, campaign_id)
        total = read_counters(session, campaign_id)["total"]
        if not raise_only and has_purged_events(session, campaign_id):
            refuse(
                "Raw events of this campaign were deleted after their time: a replay would take "
                "back what they told. --raise-only adds what is still there."
            )
    rows = changed = last = 0
    with progress_bar("Replaying") as progress:
        while True:
            with changing() as session:
                step = replay_step(session, campaign_id, last, now(), raise_only=raise_only)
            rows += step.rows
            changed += step.changed
            progress(rows, total)
            if step.last_id is None:
                break
            last = step.last_id
    document = {"id": campaign_id, "rows": rows, "changed": changed}
    answer(document, as_json, f"{rows:,} recipients derived afresh, {changed:,} of them changed.")
