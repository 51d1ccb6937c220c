"""Every state has its words, and numbers and times are written one way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import pytest
from flask import Flask

from domain.ses_events import EventKind
from domain.statuses import (
    CampaignStatus,
    EventStatus,
    JobKind,
    JobStatus,
    RecipientStatus,
    SuppressionReason,
    Verdict,
)
from web import formatting
from web.wording import BAR_ORDER, EVENT_KIND, JOB_KIND, RECIPIENT, moment_wording, wording

ENUMS: list[type[StrEnum]] = [
    RecipientStatus,
    CampaignStatus,
    Verdict,
    SuppressionReason,
    JobStatus,
    EventStatus,
]
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2025, 10, 14, 8, 46, 7, 104_000, tzinfo=UTC)


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_every_member_has_a_word_a_sentence_and_an_icon_that_exists(
    app: Flask, enum: type[StrEnum]
) -> None:
    for member in enum:
        said = wording(member)
        assert said.word
        assert said.sentence.endswith(".")
        assert said.icon in app.extensions["bes_icons"].names
        assert said.css


def test_words_of_one_kind_differ() -> None:
    for enum in ENUMS:
        words = [wording(member).word for member in enum]
        assert len(set(words)) == len(words)


def test_the_bar_shows_every_state_once() -> None:
    assert sorted(BAR_ORDER) == sorted(RecipientStatus)
    assert {RECIPIENT[status].css for status in BAR_ORDER} == {f"st-{s}" for s in RecipientStatus}


def test_jobs_and_events_of_ses_have_words() -> None:
    assert set(JOB_KIND) == set(JobKind)
    assert set(EVENT_KIND) >= {kind.value for kind in EventKind}


@pytest.mark.parametrize(
    ("kind", "sub_kind", "word"),
    [
        ("Bounce", "Permanent/General", "Bounced"),
        ("Bounce", "Transient/MailboxFull", "Soft bounced"),
        ("Bounce", None, "Soft bounced"),
        ("Open", "machine", "Machine open"),
        ("Open", "person", "Opened"),
        ("Click", "machine/0a1b", "Machine click"),
        ("verified", "risky", "Checked: risky"),
        ("settled", "skipped", "Skipped"),
        ("Complaint", "abuse", "Complained"),
        ("Complaint", "not-spam", "Report"),
        ("SomethingNew", None, "SomethingNew"),
    ],
)
def test_moments_are_said_in_words(kind: str, sub_kind: str | None, word: str) -> None:
    assert moment_wording(kind, sub_kind).word == word


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "–"),
        (0, 100, "0%"),
        (100, 100, "100%"),
        (999_999, 1_000_000, "99.9%"),
        (1, 1_000_000, "<0.01%"),
        (318, 31_573, "1.01%"),
        (978, 1000, "97.8%"),
        (200, 1000, "20.0%"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert formatting.percent(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (89.6, "2 min"),
        (420, "7 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (40 * 3600, "1 day 16 h"),
        (9 * 86400, "9 days"),
        (-5, "0 s"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_times_stand_in_the_zone_of_the_person() -> None:
    assert formatting.clock(NOW, BERLIN) == "10:46"
    assert formatting.exact(NOW, BERLIN) == "10:46:07.104"
    assert formatting.moment(NOW, BERLIN, NOW) == "10:46"
    assert formatting.moment(NOW + timedelta(days=3), BERLIN, NOW) == "Fri 17 Oct, 10:46"
    assert formatting.day(NOW - timedelta(hours=11), BERLIN, NOW) == "yesterday"
    assert formatting.day(NOW + timedelta(hours=20), BERLIN, NOW) == "tomorrow"
    assert formatting.day(datetime(2024, 1, 5, tzinfo=UTC), BERLIN, NOW) == "Fri 5 Jan 2024"
    assert formatting.long_day(NOW, BERLIN) == "Tuesday, 14 October 2025, 10:46"
    assert formatting.log_time(NOW, BERLIN, NOW) == "10:46:07"
    assert formatting.log_time(NOW, BERLIN, NOW + timedelta(days=3)) == "14 Oct 10:46"
    assert formatting.log_time(NOW, BERLIN, NOW + timedelta(days=99)) == "14 Oct 2025 10:46"
    assert formatting.ago(NOW - timedelta(minutes=3), NOW) == "3 min ago"


@pytest.mark.parametrize("name", ["", None, "Nowhere/Land", "../etc/passwd", "Europe", "\0"])
def test_unknown_zones_become_utc(name: str | None) -> None:
    assert formatting.zone_or_utc(name).key == "UTC"


@pytest.mark.parametrize(
    ("value", "text"), [(39.64, "39.6 /s"), (0, "0.0 /s"), (0.05, "0.05 /s"), (1500, "1,500 /s")]
)
def test_rates_have_their_unit(value: float, text: str) -> None:
    assert formatting.rate(value) == text


def test_numbers_and_nouns_agree() -> None:
    assert formatting.count(1, "recipient") == "1 recipient"
    assert formatting.count(5000, "recipient") == "5,000 recipients"
    assert formatting.count(2, "person", "people") == "2 people"
    assert formatting.per_second(40.0) == "40 /s"
    assert formatting.per_second(0.5) == "0.5 /s"
