"""The SESv2 REST-JSON API: which path is which operation, and everything but sending.

Shapes as in botocore's model of sesv2; what AWS leaves open is answered as an account in
production with every identity verified.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from ses_simulator import templating
from ses_simulator.aws_errors import AwsError, rest_json
from ses_simulator.events import ACCOUNT_ID
from ses_simulator.http_server import Request, Response
from ses_simulator.outcomes import API_NAMES
from ses_simulator.publisher import Publisher
from ses_simulator.regions import ConfigurationSet, Identity, Region, Suppressed
from ses_simulator.sending import Sending
from ses_simulator.submissions import bad_request
from ses_simulator.topics import Publication
from ses_simulator.world import World

VALIDATED: Final = "Successfully validated SNS topic for Amazon SES event publishing."
MAX_DESTINATIONS: Final = 10
_ROLE_NAMES: Final = frozenset({"admin", "info", "noreply", "postmaster", "sales", "support"})
_OPTION_GROUPS: Final = {
    "tracking-options": "TrackingOptions",
    "delivery-options": "DeliveryOptions",
    "reputation-options": "ReputationOptions",
    "sending": "SendingOptions",
    "suppression-options": "SuppressionOptions",
    "vdm-options": "VdmOptions",
    "archiving-options": "ArchivingOptions",
}


@dataclass(slots=True)
class Call:
    """One call: its region, path parameters in order, query and body."""

    region: Region
    path: tuple[str, ...]
    query: dict[str, list[str]] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)

    def first(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.query.get(name, [default])[0]


Operation = Callable[[Call], dict[str, Any]]


def not_found(what: str) -> AwsError:
    """NotFoundException."""
    return AwsError("NotFoundException", what, 404)


def _page(names: list[str], token: str, size: int) -> tuple[list[str], str | None]:
    """Names after `token`, at most `size`, and the token of the next page."""
    rest = sorted(name for name in names if name > token)
    return rest[:size], rest[size - 1] if len(rest) > size else None


class SesApi:
    """Dispatches SESv2 calls."""

    def __init__(self, world: World, publisher: Publisher) -> None:
        self._world = world
        self._publisher = publisher
        self.sending = Sending(world, publisher)
        one, named = r"([^/]+)", r"/v2/email/configuration-sets/([^/]+)"
        routes: list[tuple[str, str, str, Operation]] = [
            ("GET", "/v2/email/account", "GetAccount", self._get_account),
            ("PUT", "/v2/email/account/sending", "PutAccountSendingAttributes", self._put_sending),
            (
                "PUT",
                "/v2/email/account/suppression",
                "PutAccountSuppressionAttributes",
                self._put_suppression_attributes,
            ),
            ("POST", "/v2/email/configuration-sets", "CreateConfigurationSet", self._create_set),
            ("POST", "/v2/email/list-configuration-sets", "ListConfigurationSets", self._list_sets),
            ("GET", named, "GetConfigurationSet", self._get_set),
            ("DELETE", named, "DeleteConfigurationSet", self._delete_set),
            (
                "GET",
                named + "/event-destinations",
                "GetConfigurationSetEventDestinations",
                self._get_destinations,
            ),
            (
                "POST",
                named + "/event-destinations",
                "CreateConfigurationSetEventDestination",
                self._create_destination,
            ),
            (
                "PUT",
                named + f"/event-destinations/{one}",
                "UpdateConfigurationSetEventDestination",
                self._update_destination,
            ),
            (
                "DELETE",
                named + f"/event-destinations/{one}",
                "DeleteConfigurationSetEventDestination",
                self._delete_destination,
            ),
            (
                "PUT",
                named + f"/({'|'.join(_OPTION_GROUPS)})",
                "PutConfigurationSetOptions",
                self._put_set_options,
            ),
            ("POST", "/v2/email/identities", "CreateEmailIdentity", self._create_identity),
            ("POST", "/v2/email/list-identities", "ListEmailIdentities", self._list_identities),
            ("GET", f"/v2/email/identities/{one}", "GetEmailIdentity", self._get_identity),
            ("DELETE", f"/v2/email/identities/{one}", "DeleteEmailIdentity", self._delete_identity),
            (
                "PUT",
                f"/v2/email/identities/{one}/(mail-from|dkim|configuration-set|feedback)",
                "PutEmailIdentityAttributes",
                self._put_identity_options,
            ),
            ("PUT", "/v2/email/suppression/addresses", "PutSuppressedDestination", self._suppress),
            (
                "GET",
                "/v2/email/suppression/addresses",
                "ListSuppressedDestinations",
                self._list_suppressed,
            ),
            (
                "GET",
                f"/v2/email/suppression/addresses/{one}",
                "GetSuppressedDestination",
                self._get_suppressed,
            ),
            (
                "DELETE",
                f"/v2/email/suppression/addresses/{one}",
                "DeleteSuppressedDestination",
                self._unsuppress,
            ),
            ("POST", "/v2/email/templates", "CreateEmailTemplate", self._create_template),
            ("GET", "/v2/email/templates", "ListEmailTemplates", self._list_templates),
            ("GET", f"/v2/email/templates/{one}", "GetEmailTemplate", self._get_template),
            ("PUT", f"/v2/email/templates/{one}", "UpdateEmailTemplate", self._update_template),
            ("DELETE", f"/v2/email/templates/{one}", "DeleteEmailTemplate", self._delete_template),
            (
                "POST",
                f"/v2/email/templates/{one}/render",
                "TestRenderEmailTemplate",
                self._render_template,
            ),
            (
                "POST",
                "/v2/email/email-address-insights/",
                "GetEmailAddressInsights",
                self._address_insights,
            ),
        ]
        self._routes = [
            (method, re.compile(pattern), name, operation)
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

    # The account

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

    def _put_suppression_attributes(self, call: Call) -> dict[str, Any]:
        call.region.suppressed_reasons = list(call.body.get("SuppressedReasons", []))
        return {}

    # Configuration sets

    def _set(self, call: Call) -> ConfigurationSet:
        try:
            return call.region.configuration_sets[call.path[0]]
        except KeyError:
            raise not_found(f"Configuration set <{call.path[0]}> does not exist.") from None

    def _create_set(self, call: Call) -> dict[str, Any]:
        name = call.body["ConfigurationSetName"]
        if name in call.region.configuration_sets:
            message = f"Configuration set <{name}> already exists."
            raise AwsError("AlreadyExistsException", message)
        options = {k: v for k, v in call.body.items() if k.endswith("Options")}
        made = ConfigurationSet(name, options, call.body.get("Tags", []))
        call.region.configuration_sets[name] = made
        return {}

    def _list_sets(self, call: Call) -> dict[str, Any]:
        names, token = _page(
            list(call.region.configuration_sets),
            call.body.get("NextToken", ""),
            int(call.body.get("PageSize") or 1000),
        )
        return {"ConfigurationSets": names} | ({"NextToken": token} if token else {})

    def _get_set(self, call: Call) -> dict[str, Any]:
        found = self._set(call)
        defaults = {
            "DeliveryOptions": {"TlsPolicy": "OPTIONAL"},
            "ReputationOptions": {"ReputationMetricsEnabled": False},
            "SendingOptions": {"SendingEnabled": True},
        }
        return {"ConfigurationSetName": found.name, "Tags": found.tags} | defaults | found.options

    def _delete_set(self, call: Call) -> dict[str, Any]:
        del call.region.configuration_sets[self._set(call).name]
        return {}

    def _put_set_options(self, call: Call) -> dict[str, Any]:
        self._set(call).options[_OPTION_GROUPS[call.path[1]]] = call.body
        return {}

    def _get_destinations(self, call: Call) -> dict[str, Any]:
        destinations = list(self._set(call).destinations.values())
        if self._world.faults.without_send:
            destinations = [
                d | {"MatchingEventTypes": [t for t in d["MatchingEventTypes"] if t != "SEND"]}
                for d in destinations
            ]
        return {"EventDestinations": destinations}

    def _create_destination(self, call: Call) -> dict[str, Any]:
        found, name = self._set(call), call.body["EventDestinationName"]
        if name in found.destinations:
            raise AwsError("AlreadyExistsException", f"Event destination <{name}> already exists.")
        if len(found.destinations) >= MAX_DESTINATIONS:
            raise AwsError("LimitExceededException", "Too many event destinations.")
        self._store_destination(call, found, name, call.body["EventDestination"])
        return {}

    def _update_destination(self, call: Call) -> dict[str, Any]:
        found, name = self._set(call), call.path[1]
        if name not in found.destinations:
            raise not_found(f"Event destination <{name}> does not exist.")
        changed = {**found.destinations[name], **call.body["EventDestination"]}
        self._store_destination(call, found, name, changed)
        return {}

    def _store_destination(
        self, call: Call, found: ConfigurationSet, name: str, value: Mapping[str, Any]
    ) -> None:
        types = value.get("MatchingEventTypes") or []
        unknown = set(types) - set(API_NAMES.values())
        if unknown or not types:
            raise bad_request(f"Invalid event types: {sorted(unknown)}")
        known = found.destinations.get(name)
        arn = value.get("SnsDestination", {}).get("TopicArn")
        if arn:
            topic = call.region.topics.get(arn)
            if topic is None:
                raise bad_request(f"SNS topic <{arn}> not found.")
            if known is None or known.get("SnsDestination") != value.get("SnsDestination"):
                self._publisher.publish(topic, Publication(topic, VALIDATED, time.time()))
        found.destinations[name] = {"Enabled": False, **value, "Name": name}

    def _delete_destination(self, call: Call) -> dict[str, Any]:
        if self._set(call).destinations.pop(call.path[1], None) is None:
            raise not_found(f"Event destination <{call.path[1]}> does not exist.")
        return {}

    # Identities

    def _create_identity(self, call: Call) -> dict[str, Any]:
        name = call.body["EmailIdentity"]
        if name in call.region.identities:
            raise AwsError("AlreadyExistsException", f"Email identity {name} already exists.")
        identity = Identity(name, {}, call.body.get("Tags", []))
        if call.body.get("ConfigurationSetName"):
            identity.options["configuration-set"] = {
                "ConfigurationSetName": call.body["ConfigurationSetName"]
            }
        call.region.identities[name] = identity
        return {
            "IdentityType": identity.type,
            "VerifiedForSendingStatus": self._verified(name),
            "DkimAttributes": self._dkim(identity),
        }

    def _list_identities(self, call: Call) -> dict[str, Any]:
        identities = call.region.identities
        names, token = _page(
            list(identities), call.body.get("NextToken", ""), int(call.body.get("PageSize") or 1000)
        )
        listed = [
            {
                "IdentityType": identities[name].type,
                "IdentityName": name,
                "SendingEnabled": self._verified(name),
                "VerificationStatus": "SUCCESS" if self._verified(name) else "PENDING",
            }
            for name in names
        ]
        return {"EmailIdentities": listed} | ({"NextToken": token} if token else {})

    def _get_identity(self, call: Call) -> dict[str, Any]:
        """Every identity exists; what `unverified` names is pending, as if just created."""
        name = call.path[0]
        identity = call.region.identities.get(name) or Identity(name)
        mail_from = identity.options.get("mail-from", {})
        answer: dict[str, Any] = {
            "IdentityType": identity.type,
            "FeedbackForwardingStatus": identity.options.get("feedback", {}).get(
                "EmailForwardingEnabled", True
            ),
            "VerifiedForSendingStatus": self._verified(name),
            "VerificationStatus": "SUCCESS" if self._verified(name) else "PENDING",
            "DkimAttributes": self._dkim(identity),
            "MailFromAttributes": {
                "BehaviorOnMxFailure": mail_from.get("BehaviorOnMxFailure", "USE_DEFAULT_VALUE")
            },
            "Policies": {},
            "Tags": identity.tags,
        }
        if mail_from.get("MailFromDomain"):
            answer["MailFromAttributes"] |= {
                "MailFromDomain": mail_from["MailFromDomain"],
                "MailFromDomainStatus": "SUCCESS",
            }
        chosen = identity.options.get("configuration-set", {}).get("ConfigurationSetName")
        return answer | ({"ConfigurationSetName": chosen} if chosen else {})

    def _delete_identity(self, call: Call) -> dict[str, Any]:
        if call.region.identities.pop(call.path[0], None) is None:
            raise not_found(f"Email identity {call.path[0]} does not exist.")
        return {}

    def _put_identity_options(self, call: Call) -> dict[str, Any]:
        name, group = call.path
        identity = call.region.identities.setdefault(name, Identity(name))
        identity.options[group] = call.body
        return {}

    def _verified(self, name: str) -> bool:
        unverified = self._world.faults.unverified
        return not ({"*", name, name.rpartition("@")[2]} & set(unverified))

    def _dkim(self, identity: Identity) -> dict[str, Any]:
        enabled = identity.options.get("dkim", {}).get("SigningEnabled", True)
        return {
            "SigningEnabled": bool(enabled) and identity.type == "DOMAIN",
            "Status": "SUCCESS" if self._verified(identity.name) else "PENDING",
            "Tokens": [f"simulatortoken{number}" for number in (1, 2, 3)],
            "SigningAttributesOrigin": "AWS_SES",
            "NextSigningKeyLength": "RSA_2048_BIT",
            "CurrentSigningKeyLength": "RSA_2048_BIT",
        }

    # Suppression list

    def _suppress(self, call: Call) -> dict[str, Any]:
        address = call.body["EmailAddress"]
        if self._world.faults.sandbox:
            raise bad_request("The account is in the sandbox: it has no suppression list.")
        call.region.suppressed[address] = Suppressed(address, call.body["Reason"], time.time())
        return {}

    def _suppressed(self, call: Call) -> Suppressed:
        try:
            return call.region.suppressed[call.path[0]]
        except KeyError:
            message = f"Email address {call.path[0]} does not exist on your suppression list."
            raise not_found(message) from None

    def _get_suppressed(self, call: Call) -> dict[str, Any]:
        found = self._suppressed(call)
        document: dict[str, Any] = _summary(found)
        if found.message_id:
            document["Attributes"] = {
                "MessageId": found.message_id,
                "FeedbackId": found.feedback_id,
            }
        return {"SuppressedDestination": document}

    def _unsuppress(self, call: Call) -> dict[str, Any]:
        del call.region.suppressed[self._suppressed(call).address]
        return {}

    def _list_suppressed(self, call: Call) -> dict[str, Any]:
        reasons = call.query.get("Reason", [])
        entries = call.region.suppressed
        wanted = [
            address
            for address, entry in entries.items()
            if (not reasons or entry.reason in reasons)
            and entry.at >= _moment(call.first("StartDate"), 0.0)
            and entry.at < _moment(call.first("EndDate"), float("inf"))
        ]
        size = int(call.first("PageSize", "1000"))
        names, token = _page(wanted, call.first("NextToken"), size)
        listed = {"SuppressedDestinationSummaries": [_summary(entries[name]) for name in names]}
        return listed | ({"NextToken": token} if token else {})

    # Templates

    def _template(self, call: Call) -> dict[str, str]:
        try:
            return call.region.templates[call.path[0]]
        except KeyError:
            raise not_found(f"Template {call.path[0]} does not exist.") from None

    def _create_template(self, call: Call) -> dict[str, Any]:
        name = call.body["TemplateName"]
        if name in call.region.templates:
            raise AwsError("AlreadyExistsException", f"Template {name} already exists.")
        call.region.templates[name] = call.body["TemplateContent"]
        return {}

    def _list_templates(self, call: Call) -> dict[str, Any]:
        size = int(call.first("PageSize", "10"))
        names, token = _page(list(call.region.templates), call.first("NextToken"), size)
        listed = [{"TemplateName": n, "CreatedTimestamp": self._world.started} for n in names]
        return {"TemplatesMetadata": listed} | ({"NextToken": token} if token else {})

    def _get_template(self, call: Call) -> dict[str, Any]:
        return {"TemplateName": call.path[0], "TemplateContent": self._template(call)}

    def _update_template(self, call: Call) -> dict[str, Any]:
        self._template(call)
        call.region.templates[call.path[0]] = call.body["TemplateContent"]
        return {}

    def _delete_template(self, call: Call) -> dict[str, Any]:
        self._template(call)
        del call.region.templates[call.path[0]]
        return {}

    def _render_template(self, call: Call) -> dict[str, Any]:
        template = self._template(call)
        data = json.loads(call.body["TemplateData"])
        try:
            parts = {p: templating.render(template.get(p, ""), data) for p in template}
        except templating.RenderingFailure as missing:
            raise bad_request(str(missing)) from None
        page = parts.get("Html") or parts.get("Text", "")
        return {"RenderedTemplate": f"Subject: {parts.get('Subject', '')}\r\n\r\n{page}"}

    # Address insights

    def _address_insights(self, call: Call) -> dict[str, Any]:
        """A verdict by the address alone: `bounce…` is bad, `risky…` middling, others good."""
        address = call.body["EmailAddress"].lower()
        local, at, domain = address.rpartition("@")
        syntax = bool(at and local and "." in domain)
        exists = "LOW" if local.startswith("bounce") else "HIGH"
        exists = "MEDIUM" if local.startswith("risky") else exists
        checks = {
            "HasValidSyntax": "HIGH" if syntax else "LOW",
            "HasValidDnsRecords": "HIGH" if syntax else "LOW",
            "MailboxExists": exists,
            "IsRoleAddress": "HIGH" if local in _ROLE_NAMES else "LOW",
            "IsDisposable": "LOW",
            "IsRandomInput": "LOW",
        }
        overall = exists if syntax else "LOW"
        return {
            "MailboxValidation": {
                "IsValid": {"ConfidenceVerdict": overall},
                "Evaluations": {k: {"ConfidenceVerdict": v} for k, v in checks.items()},
            }
        }


def _summary(entry: Suppressed) -> dict[str, Any]:
    return {
        "EmailAddress": entry.address,
        "Reason": entry.reason,
        "LastUpdateTime": entry.at,
    }


def _moment(text: str, default: float) -> float:
    """Epoch seconds of a date in a query string, as botocore writes it."""
    return datetime.fromisoformat(text).timestamp() if text else default
