"""The pages of lists and contacts in a real browser: no barriers at any width and theme."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from sqlalchemy import select

from audience_models import Contact, ListImport
from database import writing
from domain.segments import Conditions
from domain.statuses import (
    AudienceKind,
    CampaignStatus,
    Fact,
    JobKind,
    JobStatus,
    MailOutcome,
    MemberStatus,
    SuppressionReason,
    Verdict,
)
from domain.unsubscribe_tokens import make_token
from models import RefusedRow
from services import (
    audiences,
    contacts,
    job_queue,
    list_imports,
    list_members,
    lists,
    segments,
    suppression,
)
from services.audiences import Source
from services.installation import address_key_secret
from tests.browser.conftest import Visitor
from tests.factories import add_campaign, add_recipients
from web.database import db

LONG = "m" * 60 + "@" + "a-very-long-domain-name." * 7 + "example.org"


def _add_check(list_id: int, now: datetime) -> None:
    """A verification of a list that is done, with misspelt domains."""
    check = job_queue.enqueue(db.session, JobKind.VERIFY, None, None, {}, None, now)
    check.status, check.finished_at = JobStatus.DONE, now
    check.result = {"deliverable": 1200, "risky": 30, "undeliverable": 4, "unknown": 2,
                    "misspelt": {"gmial.com": 17, "hotmial.com": 3}, "after_id": 9}  # fmt: skip
    db.session.add(ListImport(job_id=check.id, list_id=list_id))


@pytest.fixture
def paths(app: Flask, now: datetime) -> list[str]:
    """A list with long and hostile content, its import, a contact; the pages that show them."""
    with app.app_context(), writing(db.session):
        name = "<b>Donaudampfschifffahrtsgesellschaftskapitän</b> شيماء " * 2
        found = lists.create_list(db.session, name, name * 2, now, "owner@example.com")
        for email in (LONG, "ana@example.com", "bo@example.com"):
            list_members.add_one(db.session, found.id, email, {"name": "<i>شيماء</i>"}, now)
        [ana, bo] = db.session.scalars(
            select(Contact).where(Contact.address.contains("@example.com")).order_by(Contact.email)
        )
        left = MemberStatus.UNSUBSCRIBED
        list_members.set_status(db.session, found.id, bo.id, left, now)
        contacts.set_tags(db.session, ana.id, ["vip", "a very long tag " * 4])
        campaign = add_campaign(db.session, now, status=CampaignStatus.SENT, name=name[:200])
        facts = Fact.ACCEPTED | Fact.BOUNCED
        add_recipients(db.session, campaign, ["ana@example.com"], now, facts=facts, sent_at=now)
        suppression.suppress(db.session, LONG, SuppressionReason.BOUNCED, name, None, now)
        job = list_imports.enqueue_import(db.session, found.id, 1, f"{name}.csv", None, now)
        waiting = job_queue.enqueue(db.session, JobKind.TEST_MAIL, None, None, {}, None, now)
        job.status, waiting.status = JobStatus.DONE, JobStatus.DONE
        job.result = {"rows": 3, "added": 2, "duplicates": 0, "suppressed": 0, "refused_total": 1,
                      "columns": ["name"]}  # fmt: skip
        db.session.add(RefusedRow(job_id=job.id, line=3, value="x" * 300, reason="It has no @."))
        _add_check(found.id, now)
        ana.verdict, ana.verified_at, ana.corrected_from = Verdict.RISKY, now, LONG
        ana.verdict_reason = "Perhaps gmail.com was meant. A shared mailbox, not a person's."
        secret, hashed = address_key_secret(db.session), ana.address_hash
        segment = segments.save(db.session, None, name, Conditions(tag="vip"), now)
        draft = add_campaign(db.session, now)
        everybody = Source(AudienceKind.OUTCOME, campaign.id, MailOutcome.EVERYBODY)
        sources = [Source(AudienceKind.LIST, found.id), everybody]
        audiences.choose(db.session, draft.id, sources, now)
        token = make_token(secret, 0, draft.id, hashed)
        gone = suppression.hash_of(db.session, "gone@example.com")
        quitted = make_token(secret, 0, draft.id, gone)
        why = SuppressionReason.UNSUBSCRIBED
        suppression.suppress(db.session, gone, why, "a test", None, now)
        at = f"/lists/{found.id}"
        return [
            f"/u/{token}", f"/u/{quitted}",
            "/lists/", "/lists/new", at, f"{at}?q=zz", f"{at}/edit", f"{at}/add", f"{at}/upload",
            f"{at}/verification", f"{at}/verification?verdict=risky",
            f"{at}/delete", f"{at}/imports/{job.id}", f"{at}/imports/{job.id}/undo", "/contacts/",
            "/contacts/?q=zz", f"/contacts/{ana.id}", f"/contacts/{ana.id}/edit",
            f"/contacts/{ana.id}/erase", f"/campaigns/{draft.id}/audience/",
            "/segments/", "/segments/new", f"/segments/{segment.id}",
            f"/campaigns/{draft.id}", f"/campaigns/{draft.id}/start",
        ]  # fmt: skip


@pytest.mark.parametrize("visitor", ["light", "phone dark"], indirect=True)
def test_no_page_of_lists_has_barriers_or_scrolls_sideways(
    visitor: Visitor, paths: list[str]
) -> None:
    found = {}
    for path in paths:
        visitor.go(path)
        barriers = visitor.barriers()
        if barriers:
            found[path] = barriers
    assert not found
    assert not visitor.faults
