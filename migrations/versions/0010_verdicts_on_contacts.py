"""Verdicts on contacts, and which import made a suppression

A list can be verified before any campaign uses it, and a misspelt address in it be corrected. A file
that was read into the suppression list can be taken back.
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
    op.add_column("suppressions", sa.Column("import_id", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE suppressions SET import_id = CAST(substr(note, 8) AS BIGINT)"
        " WHERE reason = 'imported' AND note LIKE 'import %' AND campaign_id IS NOT NULL"
    )
    imported = sa.text("import_id IS NOT NULL")
    op.create_index(
        "ix_suppressions_import_id",
        "suppressions",
        ["import_id"],
        sqlite_where=imported,
        postgresql_where=imported,
    )
    doubted = sa.text("verdict IN ('risky', 'undeliverable', 'unknown')")
    op.create_index(
        "ix_contacts_verdict",
        "contacts",
        ["verdict", "id"],
        sqlite_where=doubted,
        postgresql_where=doubted,
    )
