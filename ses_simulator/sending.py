"""SendEmail and SendBulkEmail: faults, account, quota, then acceptance into the outbox."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ses_simulator import content as contents
from ses_simulator import submissions
from ses_simulator.aws_errors import AwsError, rest_json
from ses_simulator.drafts import (
    Bulk,
    Draft,
    Template,
    common_of,
    fill_raw,
    fill_simple,
    fill_template,
    template_data,
    with_template,
)
from ses_simulator.http_server import Request, Response
from ses_simulator.outbox import Block, Mail, bare_address
from ses_simulator.outcomes import Kind, Step, is_simulator_address, plan
from ses_simulator.publisher import Publisher
from ses_simulator.regions import ConfigurationSet, Region
from ses_simulator.world import World

_RATE: Final = "Maximum sending rate exceeded."
_QUOTA: Final = "Daily message quota exceeded."
SANDBOX_RATE: Final = 1.0
SANDBOX_QUOTA: Final = 200.0


def message_id() -> str:
    """A message id in the form of SES: time, UUID, zeros."""
    r = os.urandom(16).hex()
    return (
        f"0100{int(time.time() * 1000):012x}-"
        f"{r[:8]}-{r[8:12]}-{r[12:16]}-{r[16:20]}-{r[20:]}-000000"
    )


class Sending:
    """The two calls that send."""

    def __init__(self, world: World, publisher: Publisher) -> None:
        self._world = world
        self._publisher = publisher

    def send_email(self, region: Region, request: Request) -> Response:
        """POST /v2/email/outbound-emails."""
        call = json.loads(request.body)
        recipients = _all_addresses(call.get("Destination") or {})
        return self._guarded(
            region, request, recipients, lambda: self._single(region, request, call)
        )

    def send_bulk_email(self, region: Region, request: Request) -> Response:
        """POST /v2/email/outbound-bulk-emails."""
        call = json.loads(request.body)
        recipients: list[str] = []
        for entry in call.get("BulkEmailEntries") or ():
            recipients += _all_addresses(entry.get("Destination") or {})
        limit = self._world.faults.bulk_calls_per_second
        if limit and not region.bulk_rate.passes(1, limit, time.monotonic()):
            self._world.stats["throttled"] += 1
            return rest_json(AwsError("TooManyRequestsException", "Rate exceeded", 429))
        return self._guarded(region, request, recipients, lambda: self._bulk(region, request, call))

    def _guarded(
        self,
        region: Region,
        request: Request,
        recipients: Sequence[str],
        accept: Callable[[], dict[str, Any]],
    ) -> Response:
        """The call between the faults that come before and those that come after acceptance."""
        faults, dice = self._world.faults, self._world.random
        self._world.stats["send calls"] += 1
        if faults.drop_before.fires(recipients, dice):
            return Response(drop=True)
        if faults.timeout_before.fires(recipients, dice):
            return Response(drop=True, delay=faults.timeout_before.seconds)
        try:
            self._refuse_by_fault(recipients)
            self._refuse_by_account(region, len(recipients))
            answer = accept()
        except AwsError as error:
            self._world.stats[f"refused {error.code}"] += 1
            response = rest_json(error)
        else:
            response = self._after_acceptance(recipients, answer)
        response.delay += faults.latency_ms / 1000
        return response

    def _refuse_by_fault(self, recipients: Sequence[str]) -> None:
        faults, dice = self._world.faults, self._world.random
        if faults.server_error.fires(recipients, dice):
            status = int(faults.server_error.status or 500)
            raise AwsError("InternalFailure", "The service is unavailable.", status)
        if faults.throttle.fires(recipients, dice):
            code = faults.throttle.status or "TooManyRequestsException"
            raise AwsError(code, _RATE, 429 if code == "TooManyRequestsException" else 400)
        if faults.daily_quota_exceeded.fires(recipients, dice):
            raise AwsError("TooManyRequestsException", _QUOTA, 429)
        if faults.refuse.fires(recipients, dice):
            code = faults.refuse.status or "MessageRejected"
            raise AwsError(code, "Transaction failed: the mail was refused.")

    def _refuse_by_account(self, region: Region, recipients: int) -> None:
        faults = self._world.faults
        if faults.suspended:
            raise AwsError("AccountSuspendedException", "Account is permanently suspended.")
        if faults.paused or not region.sending_enabled:
            raise AwsError("SendingPausedException", "Account sending is paused.")
        rate, quota = self.limits()
        if quota >= 0 and self.used(region) + 1 > quota:
            raise AwsError("TooManyRequestsException", _QUOTA, 429)
        if not region.rate.passes(recipients, rate, time.monotonic()):
            raise AwsError("TooManyRequestsException", _RATE, 429)

    def limits(self) -> tuple[float, float]:
        """Recipients per second and per 24 hours (-1 is without limit)."""
        faults, options = self._world.faults, self._world.options
        rate = options.max_send_rate if faults.max_send_rate is None else faults.max_send_rate
        quota = options.daily_quota if faults.daily_quota is None else faults.daily_quota
        if faults.sandbox:
            return SANDBOX_RATE, SANDBOX_QUOTA
        return rate, quota

    def used(self, region: Region) -> float:
        """Recipients of the last 24 hours, those of other senders included."""
        return region.day.total(time.time()) + self._world.faults.quota_used

    def _after_acceptance(self, recipients: Sequence[str], answer: dict[str, Any]) -> Response:
        faults, dice = self._world.faults, self._world.random
        response = Response(body=json.dumps(answer, separators=(",", ":")).encode())
        if faults.drop_after.fires(recipients, dice):
            return Response(drop=True)
        if faults.timeout_after.fires(recipients, dice):
            return Response(drop=True, delay=faults.timeout_after.seconds)
        if faults.server_error_after.fires(recipients, dice):
            status = int(faults.server_error_after.status or 500)
            return rest_json(AwsError("InternalFailure", "The service is unavailable.", status))
        if faults.garbled_after.fires(recipients, dice):
            response.body = response.body[: len(response.body) // 2]
        response.delay = faults.event_before_response
        return response

    def _single(self, region: Region, request: Request, call: Mapping[str, Any]) -> dict[str, Any]:
        if len(request.body) > submissions.MAX_MESSAGE * 4 / 3:
            raise AwsError("MessageRejected", "Message length is more than 41943040 bytes long")
        draft, body = self._draft_of(region, request.body, call)
        if not draft.to + draft.cc + draft.bcc:
            raise submissions.bad_request("Missing required parameter: Destination")
        self._check_identities(region, draft)
        self._check_configuration_set(region, draft.common.configuration_set)
        block, place = self._world.outbox.store(body)
        return {"MessageId": self._accept(region, draft, request.received, block, place, 0)}

    def _draft_of(
        self, region: Region, body: bytes, call: Mapping[str, Any]
    ) -> tuple[Draft, bytes]:
        content = call.get("Content") or {}
        to, cc, bcc = submissions.destination(call.get("Destination") or {})
        common = common_of("SendEmail", call)
        draft = Draft(common, to, cc, bcc, (), submissions.tags(call.get("EmailTags")))
        if "Simple" in content:
            fill_simple(draft, content["Simple"])
        elif "Raw" in content:
            fill_raw(draft, content["Raw"])
        elif "Template" in content:
            template = content["Template"]
            body = with_template(region, template, body, call)
            data = template_data(template.get("TemplateData"))
            draft.headers = submissions.headers(template.get("Headers"))
            fill_template(draft, Template.of(template["TemplateContent"]), data)
        else:
            raise submissions.bad_request("Missing required parameter: Content")
        common.source = submissions.sender(common.source)
        return draft, body

    def _bulk(self, region: Region, request: Request, call: Mapping[str, Any]) -> dict[str, Any]:
        entries = call.get("BulkEmailEntries") or []
        template = (call.get("DefaultContent") or {}).get("Template")
        if not entries or template is None:
            raise submissions.bad_request("Missing required parameter: DefaultContent or entries")
        if len(entries) > submissions.MAX_ENTRIES:
            raise submissions.bad_request(
                f"Too many bulk email entries: {len(entries)} > {submissions.MAX_ENTRIES}."
            )
        common = common_of("SendBulkEmail", call)
        submissions.sender(common.source)
        if not self._is_verified(common.source):
            raise self._not_verified(region, [bare_address(common.source)])
        try:
            self._check_configuration_set(region, common.configuration_set)
            body = with_template(region, template, request.body, call)
            parsed = Template.of(template["TemplateContent"])
        except AwsError as error:
            return {"BulkEmailEntryResults": [_entry_error(error)] * len(entries)}
        bulk = Bulk(
            common=common,
            headers=submissions.headers(template.get("Headers")),
            tags=submissions.tags(call.get("DefaultEmailTags")),
            template=parsed,
            data=template_data(template.get("TemplateData")),
        )
        block, place = self._world.outbox.store(body)
        results = []
        for index, entry in enumerate(entries):
            try:
                draft = self._entry_draft(region, bulk, entry)
                result = self._accept(region, draft, request.received, block, place, index)
                results.append({"Status": "SUCCESS", "MessageId": result})
            except AwsError as error:
                results.append(_entry_error(error))
        return {"BulkEmailEntryResults": results}

    def _entry_draft(self, region: Region, bulk: Bulk, entry: Mapping[str, Any]) -> Draft:
        to, cc, bcc = submissions.destination(entry.get("Destination") or {})
        recipients = to + cc + bcc
        if not recipients:
            raise submissions.bad_request("Missing required parameter: Destination")
        fault = self._world.faults.entry_error
        if fault.fires(recipients, self._world.random):
            raise AwsError(fault.status or "TRANSIENT_FAILURE", "The entry failed.")
        quota = self.limits()[1]
        if quota >= 0 and self.used(region) + 1 > quota:
            raise AwsError("ACCOUNT_DAILY_QUOTA_EXCEEDED", _QUOTA)
        replacement = entry.get("ReplacementEmailContent", {}).get("ReplacementTemplate", {})
        data = template_data(replacement.get("ReplacementTemplateData"))
        headers = entry.get("ReplacementHeaders")
        tags = entry.get("ReplacementTags")
        draft = Draft(
            bulk.common,
            to,
            cc,
            bcc,
            submissions.replaced_headers(bulk.headers, submissions.headers(headers)),
            {**bulk.tags, **submissions.tags(tags)} if tags else bulk.tags,
        )
        if self._world.faults.sandbox:
            self._check_identities(region, draft)
        fill_template(draft, bulk.template, {**bulk.data, **data} if bulk.data else data)
        return draft

    def _check_configuration_set(self, region: Region, name: str) -> None:
        if not name:
            return
        configuration_set: ConfigurationSet | None = region.configuration_sets.get(name)
        if configuration_set is None:
            raise AwsError("NotFoundException", f"Configuration set <{name}> does not exist.", 404)
        if not configuration_set.sending_enabled:
            raise AwsError(
                "SendingPausedException", f"Sending is paused for configuration set <{name}>."
            )

    def _check_identities(self, region: Region, draft: Draft) -> None:
        source = draft.common.source
        failed = [] if self._is_verified(source) else [bare_address(source)]
        if self._world.faults.sandbox:
            for recipient in draft.to + draft.cc + draft.bcc:
                address = bare_address(recipient)
                domain = address.rpartition("@")[2]
                known = address in region.identities or domain in region.identities
                if not known and not is_simulator_address(address):
                    failed.append(address)
        if failed:
            raise self._not_verified(region, failed)

    def _is_verified(self, source: str) -> bool:
        unverified = self._world.faults.unverified
        address = bare_address(source)
        return not ({"*", address, address.rpartition("@")[2]} & set(unverified))

    def _not_verified(self, region: Region, addresses: list[str]) -> AwsError:
        return AwsError(
            "MessageRejected",
            "Email address is not verified. The following identities failed the check in region "
            f"{region.name.upper()}: {', '.join(addresses)}",
        )

    def _accept(
        self, region: Region, draft: Draft, received: float, block: Block, place: int, entry: int
    ) -> str:
        mail = Mail(
            received=received,
            region=region.name,
            message_id=message_id(),
            operation=draft.common.operation,
            source=draft.common.source,
            to=draft.to,
            cc=draft.cc,
            bcc=draft.bcc,
            reply_to=draft.common.reply_to,
            subject=draft.subject,
            headers=draft.headers,
            content_type=draft.content_type,
            tags=draft.tags,
            configuration_set=draft.common.configuration_set,
            block=block,
            place=place,
            entry=entry,
        )
        self._world.outbox.add(mail)
        addresses = tuple(map(bare_address, mail.recipients))
        counted = sum(not is_simulator_address(address) for address in addresses)
        region.day.add(counted, received)
        if draft.failure:
            failure = Kind.RENDERING_FAILURE
            self._publisher.schedule(mail, failure, 0.2, draft.failure, addresses)
            return mail.message_id
        self._publisher.schedule_send(mail)
        if draft.malicious:
            self._publisher.schedule(mail, Kind.REJECT, 0.3, "", addresses)
            return mail.message_id
        for step, concerned in self._steps(region, draft, addresses):
            self._publisher.schedule(mail, step.kind, step.delay, step.detail, concerned)
        return mail.message_id

    def _steps(
        self, region: Region, draft: Draft, addresses: tuple[str, ...]
    ) -> list[tuple[Step, tuple[str, ...]]]:
        """What happens to whom; bounces of one kind are told in one event."""
        if len(addresses) == 1:
            planned = (self._tracked(draft, s) for s in self._plan(region, draft, addresses[0]))
            return [(step, addresses) for step in planned if step is not None]
        together: dict[Step, tuple[str, ...]] = {}
        steps: list[tuple[Step, tuple[str, ...]]] = []
        for address in addresses:
            for outcome in self._plan(region, draft, address):
                step = self._tracked(draft, outcome)
                if step is None:
                    continue
                if step.kind is Kind.BOUNCE:
                    together[step] = (*together.get(step, ()), address)
                else:
                    steps.append((step, (address,)))
        steps += together.items()
        return steps

    def _plan(self, region: Region, draft: Draft, address: str) -> tuple[Step, ...]:
        entry = region.suppressed.get(address)
        if entry is not None and entry.reason in self._reasons(region, draft):
            if entry.reason == "BOUNCE":
                return (Step(Kind.BOUNCE, 0.2, "Permanent/OnAccountSuppressionList"),)
            return (Step(Kind.COMPLAINT, 0.2, "OnAccountSuppressionList"),)
        return plan(address, self._world.options.mix)

    def _reasons(self, region: Region, draft: Draft) -> Sequence[str]:
        named = region.configuration_sets.get(draft.common.configuration_set)
        own = named.options.get("SuppressionOptions") if named else None
        reasons: Sequence[str] = (own or {}).get("SuppressedReasons", region.suppressed_reasons)
        return reasons

    def _tracked(self, draft: Draft, step: Step) -> Step | None:
        """Opens and clicks as far as the mail is tracked; a click on one of its links."""
        if step.kind is Kind.OPEN:
            return step if draft.common.opens and draft.page else None
        if step.kind is not Kind.CLICK:
            return step
        if draft.page is None or not draft.common.clicks:
            return None
        links = contents.tracked_links(draft.page())
        if not links:
            return None
        url, link_tags = links[zlib.crc32("".join(draft.to).encode()) % len(links)]
        return Step(Kind.CLICK, step.delay, f"{step.detail} {url}\n{link_tags}".lstrip())


def _all_addresses(destination: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ("ToAddresses", "CcAddresses", "BccAddresses"):
        found += destination.get(name) or ()
    return found


_ENTRY_STATUS: Final = {
    "BadRequestException": "INVALID_PARAMETER",
    "MessageRejected": "MESSAGE_REJECTED",
    "SendingPausedException": "CONFIGURATION_SET_SENDING_PAUSED",
}


def _entry_error(error: AwsError) -> dict[str, str]:
    status = _ENTRY_STATUS.get(error.code, error.code)
    if error.code == "NotFoundException":
        kind = "TEMPLATE" if error.message.startswith("Template") else "CONFIGURATION_SET"
        status = f"{kind}_NOT_FOUND"
    return {"Status": status, "Error": error.message}
