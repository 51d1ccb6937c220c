"""Who gets nothing any more, and what a click on "unsubscribe" does."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from database import writing
from domain.addresses import address_hash
from domain.statuses import RecipientStatus, SuppressionReason
from domain.suppression_patterns import Pattern, parse_pattern
from domain.unsubscribe_tokens import UnsubscribeClaim, make_token, read_token
from models import Campaign, Recipient, Suppression
from services import claims, suppression, unsubscribe
from services.installation import address_key_secret
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_recipients

BOUNCED, COMPLAINED = SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED
MANUAL, UNSUBSCRIBED = SuppressionReason.MANUAL, SuppressionReason.UNSUBSCRIBED


def suppress(session: Session, email: str, reason: SuppressionReason, now: datetime) -> bool:
    with writing(session):
        return suppression.suppress(session, email, reason, "a test", None, now)


def test_an_address_is_suppressed_once_however_it_is_spelt(session: Session, now: datetime) -> None:
    assert suppress(session, "Bob@Example.com", BOUNCED, now)
    assert not suppress(session, " bob@example.COM", BOUNCED, now + timedelta(days=1))
    found = suppression.find(session, "BOB@example.com")
    assert found is not None
    assert (found.address, found.created_at) == ("bob@example.com", now)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (BOUNCED, UNSUBSCRIBED, UNSUBSCRIBED),
        (UNSUBSCRIBED, BOUNCED, UNSUBSCRIBED),
        (UNSUBSCRIBED, COMPLAINED, COMPLAINED),
        (COMPLAINED, UNSUBSCRIBED, COMPLAINED),
        (SuppressionReason.SOFT_BOUNCES, BOUNCED, BOUNCED),
        (BOUNCED, SuppressionReason.SOFT_BOUNCES, BOUNCED),
    ],
)
def test_the_weightier_reason_stays_in_either_order(
    first: SuppressionReason,
    second: SuppressionReason,
    kept: SuppressionReason,
    session: Session,
    now: datetime,
) -> None:
    suppress(session, "bob@example.com", first, now)
    suppress(session, "bob@example.com", second, now)
    assert session.scalars(select(Suppression.reason)).one() is kept


def test_a_hash_alone_can_be_suppressed_and_found_by_its_address(
    session: Session, now: datetime
) -> None:
    hashed = address_hash(address_key_secret(session), "bob@example.com")
    with writing(session):
        suppression.suppress(session, hashed, UNSUBSCRIBED, "an old link", 7, now)
    assert suppression.find(session, "bob@example.com") is not None
    assert len(suppression.search(session, "bob@example.com").rows) == 1


def test_a_reason_is_withdrawn_only_if_it_is_the_one(session: Session, now: datetime) -> None:
    suppress(session, "bob@example.com", COMPLAINED, now)
    hashed = address_hash(address_key_secret(session), "bob@example.com")
    with writing(session):
        assert not suppression.withdraw(session, hashed, SuppressionReason.SOFT_BOUNCES)
        assert suppression.withdraw(session, hashed, COMPLAINED)
        assert not suppression.unsuppress(session, "bob@example.com")


def test_the_list_is_searched_by_start_domain_and_reason_in_pages(
    session: Session, now: datetime
) -> None:
    for number in range(7):
        suppress(session, f"ana{number}@example.com", MANUAL, now)
    suppress(session, "bo@example.org", BOUNCED, now)
    first = suppression.search(session, "ana", limit=5)
    rest = suppression.search(session, "ana", limit=5, before=first.next_before)
    assert [row.address for row in [*first.rows, *rest.rows]] == [
        f"ana{number}@example.com" for number in reversed(range(7))
    ]
    assert rest.next_before is None
    assert [row.address for row in suppression.search(session, "@example.org").rows] == [
        "bo@example.org"
    ]
    assert len(suppression.search(session, reason=BOUNCED).rows) == 1
    assert suppression.search(session, "an%").rows == []
    assert suppression.count_by_reason(session) == {MANUAL: 7, BOUNCED: 1}


def test_a_beginning_that_many_share_finds_the_newest_too(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression, "_MANY", 3)
    for number in range(7):
        suppress(session, f"ana{number}@example.com", MANUAL, now)
    suppress(session, "bo@example.com", MANUAL, now)
    found = suppression.search(session, "a", limit=4)
    rest = suppression.search(session, "a", limit=4, before=found.next_before)
    rows = [row.address for row in [*found.rows, *rest.rows]]
    assert rows == [f"ana{number}@example.com" for number in reversed(range(7))]


def test_hashes_are_looked_up_many_at_a_time(session: Session, now: datetime) -> None:
    secret = address_key_secret(session)
    suppress(session, "u7@example.com", BOUNCED, now)
    hashes = [address_hash(secret, f"u{number}@example.com") for number in range(1300)]
    assert suppression.suppressed_hashes(session, hashes) == {hashes[7]: BOUNCED}


def test_the_clause_selects_suppressed_rows(session: Session, now: datetime) -> None:
    with writing(session):
        add_recipients(session, add_campaign(session, now), ["a@example.com", "b@example.com"], now)
    suppress(session, "b@example.com", MANUAL, now)
    found = session.scalars(select(Recipient.email).where(suppression.suppressed_clause())).all()
    assert found == ["b@example.com"]


def claim_of(session: Session, row: Recipient) -> UnsubscribeClaim:
    secret = address_key_secret(session)
    claim = read_token(secret, make_token(secret, row.id, row.campaign_id, row.address_hash))
    assert claim is not None
    return claim


@pytest.fixture
def row(session: Session, now: datetime) -> Recipient:
    with writing(session):
        campaign = add_campaign(session, now)
        return add_recipients(session, campaign, ["ana@example.com", "bo@example.com"], now)[0]


def test_unsubscribing_suppresses_and_is_counted_once(
    session: Session, row: Recipient, now: datetime
) -> None:
    claim = claim_of(session, row)
    assert unsubscribe.look_up(session, claim) == unsubscribe.Unsubscriber(
        "ana@example.com", "Autumn news", False
    )
    with writing(session):
        assert unsubscribe.unsubscribe(session, claim, now)
    with writing(session):
        assert not unsubscribe.unsubscribe(session, claim, now)
    assert read_counters(session, row.campaign_id)["unsubscribed"] == 1
    assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)
    found = suppression.find(session, "ana@example.com")
    assert found is not None
    assert (found.reason, found.campaign_id) == (UNSUBSCRIBED, row.campaign_id)
    assert unsubscribe.look_up(session, claim).is_unsubscribed


def test_whoever_unsubscribed_is_skipped_by_the_next_claim(
    session: Session, row: Recipient, now: datetime
) -> None:
    with writing(session):
        unsubscribe.unsubscribe(session, claim_of(session, row), now)
    with writing(session):
        found = claims.claim(
            session, campaign_id=row.campaign_id, limit=10, worker="w", lease_seconds=60
        )
    assert [one.email for one in found.rows] == ["bo@example.com"]
    session.expire_all()
    assert session.get_one(Recipient, row.id).status is RecipientStatus.SKIPPED


def test_a_link_works_after_its_campaign_is_gone(
    session: Session, row: Recipient, now: datetime
) -> None:
    claim = claim_of(session, row)
    with writing(session):
        session.delete(session.get_one(Campaign, row.campaign_id))
    assert unsubscribe.look_up(session, claim) == unsubscribe.Unsubscriber(None, None, False)
    with writing(session):
        assert unsubscribe.unsubscribe(session, claim, now)
    assert suppression.find(session, "ana@example.com") is not None


def test_taking_it_back_leaves_a_complaint(session: Session, row: Recipient, now: datetime) -> None:
    claim = claim_of(session, row)
    with writing(session):
        unsubscribe.unsubscribe(session, claim, now)
    with writing(session):
        assert unsubscribe.take_back(session, claim)
    assert suppression.find(session, "ana@example.com") is None
    assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)
    suppress(session, "ana@example.com", COMPLAINED, now)
    with writing(session):
        assert not unsubscribe.take_back(session, claim)
    assert suppression.find(session, "ana@example.com") is not None


def test_a_search_by_domain_is_exact_and_newest_first_over_all_reasons(
    session: Session, now: datetime
) -> None:
    for number, reason in enumerate([MANUAL, BOUNCED, MANUAL, UNSUBSCRIBED, BOUNCED]):
        suppress(session, f"u{number}@example.com", reason, now)
    suppress(session, "u9@eu.example.com", BOUNCED, now)
    suppress(session, "u9@xn--bcher-kva.example", BOUNCED, now)
    first = suppression.search(session, "@Example.com", limit=3)
    rest = suppression.search(session, "@example.com", limit=3, before=first.next_before)
    found = [row.address for row in [*first.rows, *rest.rows]]
    assert found == [f"u{number}@example.com" for number in (4, 3, 2, 1, 0)]
    assert rest.next_before is None
    bounced = suppression.search(session, "@example.com", reason=BOUNCED)
    assert [row.address for row in bounced.rows] == ["u4@example.com", "u1@example.com"]
    assert len(suppression.search(session, "@bücher.example").rows) == 1


def test_a_search_finds_patterns_by_themselves_and_by_whom_they_cover(
    session: Session, now: datetime
) -> None:
    pattern = parse_pattern("*.example.com")
    assert isinstance(pattern, Pattern)
    with writing(session):
        suppression.suppress_pattern(session, pattern, MANUAL, "a test", now)
    suppress(session, "ana@example.org", BOUNCED, now)
    for text in ("*.example.com", "*@*.example.com", "ana@eu.example.com"):
        assert [row.address for row in suppression.search(session, text).rows] == [pattern.text]
    assert suppression.search(session, "ana@example.com").rows == []
    only = suppression.search(session, only_patterns=True)
    assert [row.address for row in only.rows] == [pattern.text]
