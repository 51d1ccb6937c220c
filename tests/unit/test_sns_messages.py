"""Who is believed: every message signed by AWS, and none that was changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.sns_messages import (
    NotSns,
    Refusal,
    SnsMessage,
    check_age,
    check_origin,
    check_signature,
    load_certificate,
    parse_envelope,
)
from tests.ses_messages import TOPIC
from tests.sns_signing import CERTIFICATE_NAME, Signer, body, certificate_for, curve_key

HOST = "https://sns.us-east-1.amazonaws.com"
#: Addresses that are not SNS's own in the topic's region; each fooled some verifier once.
BAD_URLS = [
    f"http://sns.us-east-1.amazonaws.com/{CERTIFICATE_NAME}",
    f"https://sns.us-east-1.amazonaws.com.evil.example/{CERTIFICATE_NAME}",
    f"https://sns.us-east-1.amazonaws.com@evil.example/{CERTIFICATE_NAME}",
    f"https://user@sns.us-east-1.amazonaws.com/{CERTIFICATE_NAME}",
    f"https://sns.us-east-1.amazonaws.com:8443/{CERTIFICATE_NAME}",
    f"https://sns.s3-us-west-2.amazonaws.com/{CERTIFICATE_NAME}",
    f"https://sns.eu-west-1.amazonaws.com/{CERTIFICATE_NAME}",
    f"https://SNS.us-east-1.amazonaws.com/{CERTIFICATE_NAME}",
    f"{HOST}/{CERTIFICATE_NAME}?Action=x",
    f"{HOST}/{CERTIFICATE_NAME}#x",
    f"{HOST}/x/../{CERTIFICATE_NAME}",
    f"{HOST}/%53impleNotificationService-{'a1' * 16}.pem",
    f"{HOST}/SimpleNotificationService-{'a1' * 16}.pem\n",
    f"{HOST}\\@evil.example/{CERTIFICATE_NAME}",
    f"{HOST}/SimpleNotificationService-{'A1' * 16}.pem",
    f"{HOST}/?Action=ConfirmSubscription",
    f"https://evil.example/{CERTIFICATE_NAME}",
    "",
]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def verdict(message: SnsMessage, pem: bytes) -> Refusal | None:
    certificate = load_certificate(pem)
    return Refusal.CERTIFICATE if certificate is None else check_signature(message, certificate)


def real(material: Path) -> dict[str, bytes]:
    folder = material / "sns-signed"
    files = sorted(p for p in folder.glob("*/*.json"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_every_message_signed_by_aws_is_believed_and_every_altered_one_is_not(
    material: Path,
) -> None:
    wrong = []
    for name, content in real(material).items():
        message = parse_envelope(content)
        origin = check_origin(message, {message.topic_arn})
        pem = (material / "sns-signed/certs" / str(message.certificate_name)).read_bytes()
        answer = origin or verdict(message, pem)
        expected = Refusal.SIGNATURE if "altered" in name else None
        if answer is not expected:
            wrong.append((name, answer))
    assert wrong == []


def test_no_real_message_survives_a_change_of_any_signed_field(material: Path) -> None:
    fields = ["Message", "MessageId", "Timestamp", "TopicArn", "Subject", "Token", "SubscribeURL"]
    for name, content in real(material).items():
        original = json.loads(content)
        for field in fields:
            if not isinstance(original.get(field), str):
                continue
            changed = dict(original, **{field: original[field].replace("2", "3") + "x"})
            if field == "Timestamp":
                changed[field] = original[field][:-2] + "1Z"
            if changed[field] == original[field]:
                changed[field] = original[field][:-2] + "2Z"
            message = parse_envelope(json.dumps(changed))
            cert = parse_envelope(content).certificate_name
            pem = (material / "sns-signed/certs" / str(cert)).read_bytes()
            assert verdict(message, pem) is Refusal.SIGNATURE, (name, field)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "text", ["hello", 'a "quoted"\nline\n', "Grüße 漢字 🎉", "", "x" * 200_000]
)
def test_a_signed_message_verifies_with_any_text(signer: Signer, version: str, text: str) -> None:
    message = parse_envelope(body(signer.message(text, version)))
    assert check_origin(message, {TOPIC}) is None
    assert verdict(message, signer.pem) is None


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_confirmations_are_signed_over_their_own_fields(signer: Signer, kind: str) -> None:
    signed = signer.message(Type=kind)
    assert verdict(parse_envelope(body(signed)), signer.pem) is None
    changed = {**signed, "Token": "other"}
    assert verdict(parse_envelope(body(changed)), signer.pem) is Refusal.SIGNATURE


def test_a_null_subject_is_an_absent_one_and_an_empty_one_is_not(signer: Signer) -> None:
    absent = signer.message(Subject=None)
    assert verdict(parse_envelope(body({**absent, "Subject": None})), signer.pem) is None
    assert verdict(parse_envelope(body({**absent, "Subject": ""})), signer.pem) is Refusal.SIGNATURE


@pytest.mark.parametrize(
    "change",
    [
        {"Message": "bye"},
        {"MessageId": "other"},
        {"Timestamp": "2026-03-02T09:00:00.001Z"},
        {"Subject": "other"},
        {"SignatureVersion": "1"},
        {"Signature": ""},
        {"Signature": "AAAA"},
        {"Signature": "no base64!"},
        {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": "u"},
    ],
)
def test_a_change_after_signing_is_refused(signer: Signer, change: dict[str, str]) -> None:
    message = parse_envelope(body(signer.message() | change))
    assert verdict(message, signer.pem) is Refusal.SIGNATURE


def test_a_version_one_signature_does_not_pass_as_version_two(signer: Signer) -> None:
    message = parse_envelope(body(signer.message(version="1") | {"SignatureVersion": "2"}))
    assert verdict(message, signer.pem) is Refusal.SIGNATURE


def test_another_key_is_refused(signer: Signer) -> None:
    message = parse_envelope(body(Signer().message()))
    assert verdict(message, signer.pem) is Refusal.SIGNATURE


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_certificate_address_that_is_not_snss_own_is_refused(signer: Signer, url: str) -> None:
    message = parse_envelope(body(signer.message(SigningCertURL=url)))
    assert check_origin(message, {TOPIC}) is Refusal.CERTIFICATE_URL


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", "sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_other_partitions_have_their_own_hosts(signer: Signer, topic: str, host: str) -> None:
    url = f"https://{host}/{CERTIFICATE_NAME}"
    message = parse_envelope(body(signer.message(TopicArn=topic, SigningCertURL=url)))
    assert check_origin(message, {topic}) is None


def test_the_topic_is_judged_before_anything_else(signer: Signer) -> None:
    message = parse_envelope(body(signer.message(SigningCertURL="https://evil.example/x")))
    assert check_origin(message, {"arn:aws:sns:us-east-1:000000000000:other"}) is Refusal.TOPIC
    assert check_origin(message, ()) is Refusal.TOPIC


def test_a_topic_that_is_no_arn_is_refused_even_if_allowed(signer: Signer) -> None:
    message = parse_envelope(body(signer.message(TopicArn="x")))
    assert check_origin(message, {"x"}) is Refusal.TOPIC


@pytest.mark.parametrize("version", ["0", "3", "", "1 "])
def test_an_unknown_signature_version_is_refused(signer: Signer, version: str) -> None:
    message = parse_envelope(body(signer.message() | {"SignatureVersion": version}))
    assert check_origin(message, {TOPIC}) is Refusal.VERSION


@pytest.mark.parametrize(
    "content",
    [
        b"", b"x", b"[]", b"null", b'{"Type":"Other"}', b'{"Type":"Notification"}',
        b"[" * 100_000, b"\xff\xfe", b'{"Type":["Notification"]}',
    ],
)  # fmt: skip
def test_what_is_no_sns_message_is_told_apart(content: bytes) -> None:
    with pytest.raises(NotSns):
        parse_envelope(content)


@pytest.mark.parametrize("field", ["SignatureVersion", "Message", "Subject", "TopicArn"])
def test_a_field_of_the_wrong_kind_is_no_sns_message(signer: Signer, field: str) -> None:
    with pytest.raises(NotSns):
        parse_envelope(body(signer.message() | {field: 1}))


def test_the_certificate_must_be_valid_when_the_message_was_signed(signer: Signer) -> None:
    message = parse_envelope(body(signer.message(Timestamp="2026-03-02T09:00:00.000Z")))
    early = certificate_for(signer.key, ends=datetime(2026, 3, 2, 8, tzinfo=UTC))
    late = certificate_for(signer.key, begins=datetime(2026, 3, 2, 10, tzinfo=UTC))
    past = certificate_for(signer.key, ends=datetime(2026, 3, 3, tzinfo=UTC))
    assert verdict(message, early) is verdict(message, late) is Refusal.CERTIFICATE_DATES
    assert verdict(message, past) is None


def test_only_an_rsa_certificate_named_as_sns_is_taken(signer: Signer, material: Path) -> None:
    negative = material / "sns-signed/certs/not-sns-expired-my-test-service.amazonaws.com.pem"
    assert load_certificate(negative.read_bytes()) is None
    assert load_certificate(certificate_for(signer.key, name="sns.evil.example")) is None
    assert load_certificate(certificate_for(curve_key())) is None
    assert load_certificate(b"-----BEGIN CERTIFICATE-----") is None
    assert load_certificate(signer.pem) is not None


@pytest.mark.parametrize(
    ("age", "limit", "refusal"),
    [
        (0, 4500, None),
        (4499, 4500, None),
        (4502, 4500, Refusal.TOO_OLD),
        (-890, 4500, None),
        (-910, 4500, Refusal.FROM_THE_FUTURE),
        (10**8, 0, None),
    ],
)
def test_only_messages_of_now_are_taken(
    signer: Signer, age: float, limit: int, refusal: Refusal | None
) -> None:
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    sent = (now - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")
    message = parse_envelope(body(signer.message(Timestamp=sent)))
    assert check_age(message, now, limit) is refusal


def test_an_unreadable_time_is_too_old(signer: Signer) -> None:
    fields: dict[str, Any] = {"Timestamp": "yesterday"}
    message = parse_envelope(body(signer.message(**fields)))
    assert check_age(message, datetime(2026, 3, 2, tzinfo=UTC), 60) is Refusal.TOO_OLD
    assert verdict(message, signer.pem) is Refusal.CERTIFICATE_DATES
