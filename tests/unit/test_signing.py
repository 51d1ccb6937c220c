"""Our signature is the one that botocore makes, for every kind of key, host and path."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from aws.signing import JsonSigner

MOMENT = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


def botocore_signature(
    endpoint: str, path: str, body: bytes, keys: Credentials, moment: datetime, target: str
) -> str:
    headers = {"Content-Type": "application/json"}
    if target:
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
    request = AWSRequest(method="POST", url=endpoint + path, data=body, headers=headers)
    with patch("botocore.auth.get_current_datetime", lambda: moment.replace(tzinfo=None)):
        SigV4Auth(keys.get_frozen_credentials(), "ses", "eu-central-1").add_auth(request)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://email.eu-central-1.amazonaws.com",
        "https://email.eu-central-1.amazonaws.com:443",
        "http://127.0.0.1:5001",
        "http://[::1]:5001",
        "http://localhost:80",
    ],
)
@pytest.mark.parametrize("path", ["/v2/email/outbound-emails", "/proxy/a b/../v2/x~y"])
@pytest.mark.parametrize("token", [None, "a session token=="])
@pytest.mark.parametrize("target", ["", "AmazonSQS.ReceiveMessage"])
def test_the_signature_is_botocores(
    endpoint: str, path: str, token: str | None, target: str
) -> None:
    signer = JsonSigner(endpoint, "eu-central-1", "ses")
    for number, secret in enumerate(["first", "first", "second", "first"]):
        keys = Credentials("AKIAEXAMPLE", secret, token)
        moment = MOMENT + timedelta(seconds=number)  # over midnight: the key of the day changes
        body = b'{"a": %d}' % number
        made = signer.headers(keys.get_frozen_credentials(), path, body, moment, target)
        expected = botocore_signature(endpoint, path, body, keys, moment, target)
        assert made["authorization"] == expected
