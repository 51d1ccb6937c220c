"""The recipients part of a campaign's page: chips, one page of rows, and the opened recipient."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request, url_for

from domain.statuses import RecipientStatus
from models import Campaign, Recipient
from services import doubt
from services.recipient_list import find_recipient, recipient_page
from services.recipient_timeline import Moment, timeline
from web.context import now
from web.database import session
from web.formatting import number
from web.input import row_number
from web.wording import BAR_ORDER, row_sentence

#: States that a person asks about first; the others wait behind "More states".
_FIRST = (
    RecipientStatus.IN_DOUBT,
    RecipientStatus.BOUNCED,
    RecipientStatus.COMPLAINED,
    RecipientStatus.FAILED,
    RecipientStatus.DELAYED,
    RecipientStatus.SKIPPED,
)
_CHIPS_SHOWN = 4


@dataclass(frozen=True)
class People:
    """The list: what is shown, of what, and where the other pages are."""

    campaign_id: int
    rows: Sequence[Recipient]
    chosen: RecipientStatus | None
    query: str
    chips: Sequence[RecipientStatus]
    more_chips: Sequence[RecipientStatus]
    words: str
    newer: str | None
    older: str | None
    delivery_published: bool

    def sentence_of(self, row: Recipient) -> str:
        """What the state of a row means in this campaign."""
        since = (now() - row.sent_at).total_seconds() if row.sent_at else 0.0
        return row_sentence(
            row.status, delivery_published=self.delivery_published, seconds_since_sent=since
        )

    def address_of(self, status: str) -> str:
        """The list filtered to a state; '' for all."""
        return _address(self.campaign_id, state=status, q=self.query)

    def open_address(self, recipient_id: int) -> str:
        """This page of the list with a recipient opened beside it."""
        return _address(self.campaign_id, **{**view_of_address(), "r": str(recipient_id)})

    def variables_of(self, row: Recipient) -> str:
        """What the uploaded row says beside the address."""
        return ", ".join(value for value in json.loads(row.variables).values() if value)

    @property
    def closed_address(self) -> str:
        """This page of the list without an opened recipient."""
        return _address(self.campaign_id, **{**view_of_address(), "r": ""})


@dataclass(frozen=True)
class Opened:
    """The opened recipient with what was learned about them, first to last."""

    row: Recipient
    variables: Mapping[str, str]
    moments: Sequence[Moment]
    doubtful: Sequence[doubt.InDoubt]


def view_of_address() -> dict[str, Any]:
    """The filter, page and opened recipient that the address names."""
    names = ("state", "q", "after", "before", "r")
    return {name: request.args[name] for name in names if request.args.get(name)}


def _id(name: str) -> int | None:
    """A row's id from the address; what cannot be an id counts as absent."""
    found = request.args.get(name, type=row_number)
    return found or None


def _address(campaign_id: int, **view: str) -> str:
    kept: dict[str, Any] = {name: value for name, value in view.items() if value}
    return url_for("campaigns.show", campaign_id=campaign_id, _anchor="recipients", **kept)


def people_of(campaign: Campaign, counters: Mapping[str, int]) -> People:
    """The list as the address asks for it."""
    asked = request.args.get("state", "")
    chosen = RecipientStatus(asked) if asked in set(RecipientStatus) else None
    query = request.args.get("q", "").strip()[:320]
    page = recipient_page(
        session(),
        campaign.id,
        status=chosen,
        text=query,
        after=_id("after"),
        before=_id("before"),
    )
    present = [status for status in BAR_ORDER if counters[status.value]]
    chips = [s for s in _FIRST if s in present][:_CHIPS_SHOWN]
    if chosen is not None and chosen not in chips:
        chips.insert(0, chosen)
    view = {"state": chosen or "", "q": query}
    older, newer = page.after, page.before
    return People(
        campaign_id=campaign.id,
        rows=page.rows,
        chosen=chosen,
        query=query,
        chips=chips,
        more_chips=[status for status in present if status not in chips],
        words=_words(len(page.rows), query, counters[chosen.value if chosen else "total"]),
        newer=_address(campaign.id, **view, before=str(newer)) if newer else None,
        older=_address(campaign.id, **view, after=str(older)) if older else None,
        delivery_published=campaign.delivery_published,
    )


def _words(shown: int, query: str, whole: int) -> str:
    return f"{number(shown)} shown" if query else f"{number(shown)} of {number(whole)}"


def opened_of(campaign: Campaign) -> Opened | None:
    """The recipient that the address opens, if it is one of this campaign."""
    wanted = _id("r")
    row = find_recipient(session(), campaign.id, wanted) if wanted else None
    if row is None:
        return None
    in_doubt = row.status is RecipientStatus.IN_DOUBT
    return Opened(
        row=row,
        variables=json.loads(row.variables),
        moments=timeline(session(), row),
        doubtful=doubt.rows_in_doubt(session(), campaign.id, after_id=row.id - 1, limit=1)
        if in_doubt
        else [],
    )
