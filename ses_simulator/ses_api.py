"""The SESv2 REST-JSON API: which call is which operation, and the account itself.

Shapes as in botocore's model of sesv2; what AWS leaves open is answered as an account in
production.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote

from ses_simulator.aws_errors import AwsError, rest_json
from ses_simulator.events import ACCOUNT_ID
from ses_simulator.http_server import Request, Response
from ses_simulator.publisher import Publisher
from ses_simulator.regions import Region
from ses_simulator.sending import Sending
from ses_simulator.ses_calls import Call, Route
from ses_simulator.ses_configuration import ConfigurationSets
from ses_simulator.ses_resources import (
    Identities,
    SuppressionList,
    Templates,
    address_insights,
)
from ses_simulator.world import World


class SesApi:
    """Dispatches SESv2 calls."""

    def __init__(self, world: World, publisher: Publisher) -> None:
        self._world = world
        self.sending = Sending(world, publisher)
        insights = "GetEmailAddressInsights"
        routes: list[Route] = [
            ("GET", "/account", "GetAccount", self._get_account),
            ("PUT", "/account/sending", "PutAccountSendingAttributes", self._put_sending),
            ("PUT", "/account/suppression", "PutAccountSuppressionAttributes", self._put_reasons),
            ("POST", "/email-address-insights/", insights, address_insights),
            *ConfigurationSets(world, publisher).routes(),
            *Identities(world).routes(),
            *SuppressionList(world).routes(),
            *Templates(world).routes(),
        ]
        self._routes = [
            (method, re.compile("/v2/email" + pattern), name, operation)
            for method, pattern, name, operation in routes
        ]

    def handle(self, region: Region, request: Request) -> Response:
        """Answer one call."""
        try:
            if request.method == "POST" and request.path == "/v2/email/outbound-emails":
                self._may("SendEmail")
                return self.sending.send_email(region, request)
            if request.method == "POST" and request.path == "/v2/email/outbound-bulk-emails":
                self._may("SendBulkEmail")
                return self.sending.send_bulk_email(region, request)
            return self._administer(region, request)
        except json.JSONDecodeError as error:
            return rest_json(AwsError("SerializationException", str(error)))
        except AwsError as error:
            return rest_json(error)

    def _administer(self, region: Region, request: Request) -> Response:
        for method, pattern, name, operation in self._routes:
            found = pattern.fullmatch(request.path) if method == request.method else None
            if found is None:
                continue
            self._may(name)
            body = json.loads(request.body) if request.body else {}
            path = tuple(unquote(part) for part in found.groups())
            call = Call(region, path, parse_qs(request.query), body)
            self._world.stats[f"call {name}"] += 1
            return Response(body=json.dumps(operation(call)).encode())
        raise AwsError("UnknownOperationException", "The simulator has no such operation.", 404)

    def _may(self, operation: str) -> None:
        faults = self._world.faults
        if faults.expired_credentials:
            message = "The security token included in the request is expired"
            raise AwsError("ExpiredTokenException", message, 403)
        if "*" in faults.deny or operation in faults.deny:
            raise AwsError(
                "AccessDeniedException",
                f"User: arn:aws:iam::{ACCOUNT_ID}:user/simulator is not authorized to perform: "
                f"ses:{operation}",
                403,
            )

    def _get_account(self, call: Call) -> dict[str, Any]:
        faults, region = self._world.faults, call.region
        rate, quota = self.sending.limits()
        status = "SHUTDOWN" if faults.suspended else "HEALTHY"
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": "PROBATION" if faults.probation else status,
            "ProductionAccessEnabled": not faults.sandbox,
            "SendQuota": {
                "Max24HourSend": quota,
                "MaxSendRate": rate,
                "SentLast24Hours": float(self.sending.used(region)),
            },
            "SendingEnabled": region.sending_enabled and not (faults.paused or faults.suspended),
            "SuppressionAttributes": {"SuppressedReasons": region.suppressed_reasons},
            "Details": {
                "MailType": "MARKETING",
                "WebsiteURL": "https://example.com",
                "ContactLanguage": "EN",
                "UseCaseDescription": "local simulator",
                "ReviewDetails": {"Status": "PENDING" if faults.sandbox else "GRANTED"},
            },
            "VdmAttributes": {"VdmEnabled": "DISABLED"},
            "PricingAttributes": {"CurrentPlan": "ESSENTIALS", "NextPlan": "ESSENTIALS"},
        }

    def _put_sending(self, call: Call) -> dict[str, Any]:
        call.region.sending_enabled = bool(call.body.get("SendingEnabled", False))
        return {}

    def _put_reasons(self, call: Call) -> dict[str, Any]:
        call.region.suppressed_reasons = list(call.body.get("SuppressedReasons", []))
        return {}
