"""The pace of a campaign and whom it leaves out: cap, batches, window, tracking.

What is set here is obeyed by `services.sending` and the scheduler; content lives in
`services.campaigns`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from domain.windows import parse_window
from models import Campaign
from services.campaigns import EDITABLE, Refused, lock_campaign

TRACKING = ("auto", "full", "critical")


@dataclass(frozen=True)
class SendingOptions:
    """How fast and when a campaign sends; the fields are the columns of the campaign.

    `window_days` is "0,1,2" (Monday is 0), times are "08:00" in `window_zone`.
    """

    tracking: str = "auto"
    cap_per_second: float | None = None
    batch_size: int | None = None
    batch_pause_seconds: int | None = None
    window_days: str | None = None
    window_start: str | None = None
    window_end: str | None = None
    window_zone: str | None = None
    send_undeliverable: bool = False


def set_options(
    session: Session, campaign_id: int, options: SendingOptions, now: datetime
) -> Campaign:
    """Change the pace of a campaign that has not been launched; raises Refused."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in EDITABLE:
        raise Refused("This campaign has been launched: its pace can no longer change.")
    _check(options)
    for name, value in asdict(options).items():
        setattr(campaign, name, value)
    campaign.batch_left = options.batch_size
    campaign.updated_at = now
    session.flush()
    return campaign


def _check(options: SendingOptions) -> None:
    if options.tracking not in TRACKING:
        raise Refused("Tracking is automatic, on or off.")
    if options.cap_per_second is not None and not options.cap_per_second > 0:
        raise Refused("The cap must be more than 0 mails per second.")
    if (options.batch_size is None) != (options.batch_pause_seconds is None):
        raise Refused("Batches need both a size and a pause.")
    if options.batch_size is not None and options.batch_size < 1:
        raise Refused("A batch holds at least one mail.")
    try:
        parse_window(
            options.window_days, options.window_start, options.window_end, options.window_zone
        )
    except ValueError as problem:
        raise Refused(str(problem)) from None
