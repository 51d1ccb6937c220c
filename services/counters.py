"""A campaign's counters, moved by the transaction that changes its rows, and last in it.

Rows of counters are the ones that everybody wants: whoever locks them before its other rows, or in
an order of its own, makes deadlocks. So differences are kept until the commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from sqlalchemy import Table, Update, bindparam, event, update
from sqlalchemy.orm import Session

from models import CampaignCounters

_COUNTERS = cast(Table, CampaignCounters.__table__)
_WAITING = "counters"


def add(session: Session, deltas: Mapping[int, Mapping[str, int]]) -> None:
    """Add differences (campaign id → counter → difference) when the transaction commits."""
    waiting = session.info.setdefault(_WAITING, defaultdict(lambda: defaultdict(int)))
    for campaign_id, changes in deltas.items():
        for name, step in changes.items():
            waiting[campaign_id][name] += step


@event.listens_for(Session, "before_commit")
def write(session: Session) -> None:
    """Write what was added, in campaign order; for who reads counters before the commit, too."""
    for campaign_id, steps in sorted(session.info.pop(_WAITING, {}).items()):
        changes = {name: step for name, step in sorted(steps.items()) if step}
        if changes:
            values = {f"b_{name}": step for name, step in changes.items()}
            session.execute(_add(tuple(changes)), {"b_campaign": campaign_id, **values})


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_WAITING, None)


@cache
def _add(names: tuple[str, ...]) -> Update:
    """The statement that adds to these counters, made once."""
    sums: dict[str, Any] = {name: _COUNTERS.c[name] + bindparam(f"b_{name}") for name in names}
    return update(_COUNTERS).where(_COUNTERS.c.campaign_id == bindparam("b_campaign")).values(sums)
