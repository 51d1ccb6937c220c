"""Where the rows of an import go: a campaign's recipients here, or a list (services.list_members).

The reader, the steps, the refused rows and the progress are the same for every place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from domain.recipient_files import RecipientRow
from domain.statuses import CampaignStatus
from models import Campaign
from services import import_batches
from services.campaigns import NotFound, Refused
from services.import_batches import Batch, Counts, Target

_IMPORTABLE = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)
_STATUS = (
    select(Campaign.status).where(Campaign.id == bindparam("b_id")).with_for_update(key_share=True)
)


class Place(Protocol):
    """What an import asks of the place its rows go to; each call is part of a writing step."""

    @property
    def campaign_id(self) -> int | None:
        """The campaign, if it is one."""

    def hold(self, session: Session) -> None:
        """Keep the place still for this transaction; raises Refused if it takes no rows."""

    def take_variables(self, session: Session, names: Sequence[str]) -> None:
        """Note the names of the columns that are new."""

    def prepare(self, rows: Sequence[RecipientRow], target: Target) -> Batch:
        """Judge rows; no database."""

    def write(self, session: Session, batch: Batch, target: Target, now: datetime) -> Counts:
        """Write a batch; last in the transaction."""


@dataclass(frozen=True, slots=True)
class CampaignPlace:
    """A campaign that was not launched yet."""

    campaign_id: int

    def hold(self, session: Session) -> None:
        """See `importable`."""
        importable(session, self.campaign_id)

    def take_variables(self, session: Session, names: Sequence[str]) -> None:
        """Add new names behind those that the campaign has."""
        campaign = session.get_one(Campaign, self.campaign_id)
        new = [name for name in names if name not in campaign.variables]
        if new:
            campaign.variables = [*campaign.variables, *new]
        session.flush()

    def prepare(self, rows: Sequence[RecipientRow], target: Target) -> Batch:
        """See `import_batches.prepare`."""
        return import_batches.prepare(rows, target)

    def write(self, session: Session, batch: Batch, target: Target, now: datetime) -> Counts:
        """Ledger rows, with the counters."""
        return import_batches.write(session, batch, target, now)


def importable(session: Session, campaign_id: int) -> None:
    """Hold the campaign still for this transaction; raises Refused once it was launched.

    Steps of two imports into one campaign follow each other, so that they never deadlock.
    """
    status = session.scalar(_STATUS, {"b_id": campaign_id})
    if status is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    if status not in _IMPORTABLE:
        raise Refused(
            f"This campaign is {status.value}: recipients can only be added before it "
            "is launched. Make a copy of it for new ones."
        )
