"""The sample campaign of `make demo`: every outcome once, most of them many times.

It goes to the simulator only. Shares are chosen so that it stays below the limits at which a
campaign is paused: 5 % hard bounces, 3 complaints.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from config import ROOT, Settings
from database import make_engine, make_sessions, writing
from domain.statuses import SuppressionReason
from services.campaigns import CampaignContent, Refused, create_campaign, launch
from services.recipients import import_file
from services.suppression import suppress

RECIPIENTS = 2_000
_NAMES = ("Ada", "Björn", "Chiara", "Diego", "Eva", "Farid", "Grace", "Hana", "Ivo", "Jun")
_CITIES = ("Lisbon", "Kraków", "Nairobi", "Osaka", "Quito", "Tromsø", "Zürich")
_DOMAINS = ("example.com", "example.org", "example.net")
#: Addresses at SES's mailbox simulator: the local part says what happens, the label tells them
#: apart. How many there are of each; everybody else has an address at an example domain.
_SIMULATOR = {
    "success": 40, "bounce": 12, "softbounce+mailboxfull": 12, "softbounce+general": 8,
    "delay": 20, "reject": 6, "autoreply": 10, "undetermined": 4, "open": 40, "machineopen": 30,
    "click": 25, "unsubscribe": 8, "complaint": 1, "notspam": 2, "suppressionlist": 4,
}  # fmt: skip
_SAID_NO = "said.no.before@example.org"


def launch_sample(settings: Settings) -> int:
    """Write, fill and launch the sample campaign; its id. Refused unless mail is simulated."""
    if not settings.uses_simulator:
        raise Refused(
            "The sample campaign goes to the simulator only: EMAIL_BACKEND is "
            f"{settings.email_backend.value} here. Set EMAIL_BACKEND=simulator in .env to try it."
        )
    engine = make_engine(settings.database_url)
    sessions = make_sessions(engine)
    try:
        now = datetime.now(UTC)
        with sessions() as session, writing(session):
            source = "The sample campaign shows with it how a suppressed address is left out."
            suppress(session, _SAID_NO, SuppressionReason.MANUAL, source, None, now)
            campaign = create_campaign(session, _content(), settings, now, "make demo")
            campaign_id = campaign.id
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sample.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("Email", "Name", "City"), *recipients()])
            import_file(sessions, campaign_id, path, path.name, clock=lambda: datetime.now(UTC))
        with sessions() as session, writing(session):
            launch(session, campaign_id, settings, datetime.now(UTC), "make demo")
    finally:
        engine.dispose()
    return campaign_id


def recipients() -> Iterator[tuple[str, str, str]]:
    """Address, first name and city of everybody, the special ones spread among the others."""
    special = [
        f"{local}{'-' if '+' in local else '+'}{number}@simulator.amazonses.com"
        for local, count in _SIMULATOR.items()
        for number in range(1, count + 1)
    ]
    special.append(_SAID_NO)
    every = RECIPIENTS // len(special)
    for number in range(RECIPIENTS):
        place, rest = divmod(number, every)
        if rest == 0 and place < len(special):
            # A stride that has no factor in common with the count visits each place once.
            address = special[place * 101 % len(special)]
        else:
            address = f"reader{number}@{_DOMAINS[number % len(_DOMAINS)]}"
        yield address, _NAMES[number % len(_NAMES)], _CITIES[number % len(_CITIES)]


def _content() -> CampaignContent:
    html = (ROOT / "templates" / "starters" / "newsletter.html").read_text(encoding="utf-8")
    return CampaignContent(
        name="Sample campaign",
        subject='News for {{ name | default("you") }}',
        html=html,
    )
