"""Verdicts on contacts

A list can be verified before any campaign uses it, and a misspelt address in it be corrected.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"


def upgrade() -> None:
    for name, kind in (
        ("verdict", sa.String(length=20)),
        ("verdict_reason", sa.Text()),
        ("risks", sa.Integer()),
        ("verified_at", sa.Float(precision=53)),
        ("corrected_from", sa.String(length=320)),
    ):
        op.add_column("contacts", sa.Column(name, kind, nullable=True))
    doubted = sa.text("verdict IN ('risky', 'undeliverable', 'unknown')")
    op.create_index(
        "ix_contacts_verdict",
        "contacts",
        ["verdict", "id"],
        sqlite_where=doubted,
        postgresql_where=doubted,
    )
