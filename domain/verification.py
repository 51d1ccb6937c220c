"""What all that is known of an address amounts to: deliverable, risky, undeliverable, unknown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.address_kinds import is_disposable, is_role
from domain.addresses import AddressProblem, check_syntax
from domain.statuses import Verdict
from domain.typos import meant_domain


class Past(StrEnum):
    """The strongest thing that earlier mails to an address have shown."""

    BOUNCED = "bounced"  # for good
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SOFT_BOUNCED = "soft_bounced"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class DomainFinding:
    """What DNS says of a domain: DELIVERABLE (takes mail), UNDELIVERABLE or UNKNOWN."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons as one text; `mend` is the address that was probably meant."""

    verdict: Verdict
    reason: str
    mend: str | None = None


_GONE = "An earlier mail to this address bounced for good."
_RISKS_OF_PAST = {
    Past.COMPLAINED: "This person has complained about an earlier mail.",
    Past.UNSUBSCRIBED: "This person has unsubscribed.",
    Past.SOFT_BOUNCED: "The last mail to this address bounced for a passing reason.",
}


def judge(email: str, domain: DomainFinding | None, past: Past | None) -> Judgement:
    """The verdict on one address. `domain` None = DNS was not asked.

    In this order: syntax, an earlier hard bounce, a domain that takes no mail; then what makes
    it risky; then what is not known. A DNS failure is never held against an address, and an
    earlier delivery stands in for an answer that DNS did not give.
    """
    parsed = check_syntax(email)
    if isinstance(parsed, AddressProblem):
        return Judgement(Verdict.UNDELIVERABLE, str(parsed), parsed.mend)
    local = parsed.address.rpartition("@")[0]
    meant = meant_domain(parsed.domain)
    mend = f"{parsed.email.rpartition('@')[0]}@{meant}" if meant else None
    hint = f"Perhaps {meant} was meant." if meant else ""
    if past is Past.BOUNCED:
        return Judgement(Verdict.UNDELIVERABLE, _GONE, mend)
    if domain is not None and domain.verdict is Verdict.UNDELIVERABLE:
        return Judgement(Verdict.UNDELIVERABLE, f"{domain.reason} {hint}".strip(), mend)
    risks = [hint] if hint else []
    if past in _RISKS_OF_PAST:
        risks.append(_RISKS_OF_PAST[past])
    if is_disposable(parsed.domain):
        risks.append("A throw-away address.")
    if is_role(local):
        risks.append("A shared mailbox, not a person's.")
    if risks:
        return Judgement(Verdict.RISKY, " ".join(risks), mend)
    if past is Past.DELIVERED:
        return Judgement(Verdict.DELIVERABLE, "An earlier mail was delivered.")
    if domain is None or domain.verdict is Verdict.UNKNOWN:
        reason = domain.reason if domain else "The domain was not looked up."
        return Judgement(Verdict.UNKNOWN, reason)
    return Judgement(Verdict.DELIVERABLE, domain.reason)
