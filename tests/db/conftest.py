"""What holds for all tests of services on real databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services import audience_query, segment_counts, segments


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show an estimate after a part of a second; a busy test machine gets more time."""

    def within(session: Session, seconds: float, read: Callable[[], Any]) -> Any:
        return segment_counts.within(session, 300 * seconds, read)

    monkeypatch.setattr(audience_query, "within", within)
    monkeypatch.setattr(segments, "within", within)
