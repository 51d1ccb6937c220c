"""The one exception that AWS calls raise, and how each of the three protocols writes it down."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from ses_simulator.http_server import Response


class AwsError(Exception):
    """An error as AWS would answer it: HTTP status, error code, words."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """`code` is the name that botocore maps to an exception class."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def rest_json(error: AwsError) -> Response:
    """SESv2: the code in a header."""
    body = json.dumps({"message": error.message}).encode()
    return Response(error.status, body, headers=(("x-amzn-errortype", error.code),))


# The names that the old query protocol had, which botocore still shows as error codes.
_QUERY_NAMES = {"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue"}


def aws_json(error: AwsError) -> Response:
    """SQS: the code in `__type`, the name of the old query protocol in a header."""
    body = {"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message}
    old = _QUERY_NAMES.get(error.code, error.code)
    return Response(
        error.status,
        json.dumps(body).encode(),
        "application/x-amz-json-1.0",
        (("x-amzn-query-error", f"{old};Sender"),),
    )


def query_xml(error: AwsError) -> Response:
    """SNS and STS: an XML document."""
    body = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        "</Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    )
    return Response(error.status, body.encode(), "text/xml")
