"""What else an SESv2 account holds: identities, suppressed addresses, templates.

Every identity counts as verified unless a fault says otherwise. Address insights judge by the
address alone.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any, Final

from ses_simulator import templating
from ses_simulator.aws_errors import AwsError
from ses_simulator.regions import Identity, Suppressed
from ses_simulator.ses_calls import ONE, Call, Route, not_found, page
from ses_simulator.submissions import bad_request
from ses_simulator.world import World

_ROLE_NAMES: Final = frozenset({"admin", "info", "noreply", "postmaster", "sales", "support"})


class Identities:
    """Operations on addresses and domains to send from."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Which call is which operation."""
        named = f"/identities/{ONE}"
        options = f"{named}/(mail-from|dkim|configuration-set|feedback)"
        return [
            ("POST", "/identities", "CreateEmailIdentity", self._create_identity),
            ("POST", "/list-identities", "ListEmailIdentities", self._list_identities),
            ("GET", named, "GetEmailIdentity", self._get_identity),
            ("DELETE", named, "DeleteEmailIdentity", self._delete_identity),
            ("PUT", options, "PutEmailIdentityAttributes", self._put_identity_options),
        ]

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
        names, token = page(
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
        return {"EmailIdentities": listed} | token

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


class SuppressionList:
    """Operations on suppressed addresses."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Which call is which operation."""
        all_of_them, named = "/suppression/addresses", f"/suppression/addresses/{ONE}"
        return [
            ("PUT", all_of_them, "PutSuppressedDestination", self._suppress),
            ("GET", all_of_them, "ListSuppressedDestinations", self._list_suppressed),
            ("GET", named, "GetSuppressedDestination", self._get_suppressed),
            ("DELETE", named, "DeleteSuppressedDestination", self._unsuppress),
        ]

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
        names, token = page(wanted, call.first("NextToken"), size)
        listed = {"SuppressedDestinationSummaries": [_summary(entries[name]) for name in names]}
        return listed | token


class Templates:
    """Operations on stored templates."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Which call is which operation."""
        named = f"/templates/{ONE}"
        return [
            ("POST", "/templates", "CreateEmailTemplate", self._create_template),
            ("GET", "/templates", "ListEmailTemplates", self._list_templates),
            ("GET", named, "GetEmailTemplate", self._get_template),
            ("PUT", named, "UpdateEmailTemplate", self._update_template),
            ("DELETE", named, "DeleteEmailTemplate", self._delete_template),
            ("POST", f"{named}/render", "TestRenderEmailTemplate", self._render_template),
        ]

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
        names, token = page(list(call.region.templates), call.first("NextToken"), size)
        listed = [{"TemplateName": n, "CreatedTimestamp": self._world.started} for n in names]
        return {"TemplatesMetadata": listed} | token

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


def address_insights(call: Call) -> dict[str, Any]:
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
