"""What all that is known of an address amounts to: deliverable, risky, undeliverable, unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.address_kinds import is_disposable, is_role
from domain.addresses import AddressProblem, ParsedAddress, check_syntax
from domain.statuses import Risk, Verdict
from domain.typos import meant_domain

_NO_RISK = Risk(0)


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
class Insight:
    """What SES says of an address: DELIVERABLE, RISKY, UNDELIVERABLE, or UNKNOWN."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons as one text; `mend` is the address that was probably meant.

    `risks` says the same as the reason for risky and unknown addresses, to choose by.
    """

    verdict: Verdict
    reason: str
    mend: str | None = None
    risks: Risk = _NO_RISK


_GONE = "An earlier mail to this address bounced for good."
_RISKS_OF_PAST = {
    Past.COMPLAINED: (Risk.COMPLAINED, "This person has complained about an earlier mail."),
    Past.UNSUBSCRIBED: (Risk.UNSUBSCRIBED, "This person has unsubscribed."),
    Past.SOFT_BOUNCED: (
        Risk.SOFT_BOUNCED,
        "The last mail to this address bounced for a passing reason.",
    ),
}
_DISPOSABLE = (Risk.DISPOSABLE, "A throw-away address.")
_ROLE = (Risk.ROLE, "A shared mailbox, not a person's.")


#: Checks of SES that say "no mailbox" when it has little confidence in them.
_MUST_HOLD = {
    "HasValidSyntax": "the address is malformed",
    "HasValidDnsRecords": "the domain takes no mail",
    "MailboxExists": "the mailbox probably does not exist",
}
_MUST_NOT_HOLD = {
    "IsDisposable": "it is a throw-away address",
    "IsRoleAddress": "it is a shared mailbox",
    "IsRandomInput": "it looks typed at random",
}


def insight_of(confidences: Mapping[str, str], on: date) -> Insight:
    """The verdict in SES's answer: HIGH, MEDIUM or LOW by check, `IsValid` over all.

    LOW over all is undeliverable if a check says why nothing can arrive, else risky (SES
    Developer Guide, "Email Validation API").
    """
    asked = f"(Amazon SES, {on.day} {on:%b %Y})"
    overall = confidences.get("IsValid")
    if overall == "HIGH":
        return Insight(Verdict.DELIVERABLE, f"A mail is likely to arrive {asked}.")
    if overall not in ("MEDIUM", "LOW"):
        return Insight(Verdict.UNKNOWN, f"No judgement {asked}.")
    gone = [words for name, words in _MUST_HOLD.items() if confidences.get(name) == "LOW"]
    if overall == "LOW" and gone:
        return Insight(Verdict.UNDELIVERABLE, f"It cannot arrive: {' and '.join(gone)} {asked}.")
    odd = [words for name, words in _MUST_NOT_HOLD.items() if confidences.get(name) == "HIGH"]
    doubts = gone + odd or ["it is not sure that the mailbox exists"]
    return Insight(Verdict.RISKY, f"It may not arrive: {' and '.join(doubts)} {asked}.")


def judge(
    email: str,
    domain: DomainFinding | None,
    past: Past | None,
    insight: Insight | None = None,
) -> Judgement:
    """The verdict on one address. `domain` None = DNS was not asked, `insight` None = nor SES.

    In this order: syntax, an earlier hard bounce, a domain that takes no mail, a mailbox that
    SES does not find; then what makes it risky; then what is not known. A DNS failure is never
    held against an address, and an earlier delivery stands in for an answer that DNS did not
    give, and stands over a doubt of SES.
    """
    parsed = check_syntax(email)
    if isinstance(parsed, AddressProblem):
        return Judgement(Verdict.UNDELIVERABLE, str(parsed), parsed.mend)
    meant = meant_domain(parsed.domain)
    mend = f"{parsed.email.rpartition('@')[0]}@{meant}" if meant else None
    hint = f"Perhaps {meant} was meant." if meant else ""
    if past is Past.BOUNCED:
        return Judgement(Verdict.UNDELIVERABLE, _GONE, mend)
    if domain is not None and domain.verdict is Verdict.UNDELIVERABLE:
        return Judgement(Verdict.UNDELIVERABLE, f"{domain.reason} {hint}".strip(), mend)
    if past is Past.DELIVERED:
        insight = None
    if insight is not None and insight.verdict is Verdict.UNDELIVERABLE:
        return Judgement(Verdict.UNDELIVERABLE, f"{insight.reason} {hint}".strip(), mend)
    found = [(Risk.TYPO, hint)] if hint else []
    found += _risks(parsed, past, insight)
    if found:
        risks = Risk(sum(risk for risk, _ in found))
        return Judgement(Verdict.RISKY, " ".join(words for _, words in found), mend, risks)
    return _without_risks(domain, past, insight)


def _risks(
    parsed: ParsedAddress, past: Past | None, insight: Insight | None
) -> list[tuple[Risk, str]]:
    found = [_RISKS_OF_PAST[past]] if past in _RISKS_OF_PAST else []
    if is_disposable(parsed.domain):
        found.append(_DISPOSABLE)
    if is_role(parsed.address.rpartition("@")[0]):
        found.append(_ROLE)
    if insight is not None and insight.verdict is Verdict.RISKY:
        found.append((Risk.SES_DOUBTS, insight.reason))
    return found


def _without_risks(
    domain: DomainFinding | None, past: Past | None, insight: Insight | None
) -> Judgement:
    if past is Past.DELIVERED:
        return Judgement(Verdict.DELIVERABLE, "An earlier mail was delivered.")
    if insight is not None and insight.verdict is Verdict.DELIVERABLE:
        return Judgement(Verdict.DELIVERABLE, insight.reason)
    if domain is None or domain.verdict is Verdict.UNKNOWN:
        reason = domain.reason if domain else "The domain was not looked up."
        return Judgement(Verdict.UNKNOWN, reason, risks=Risk.UNKNOWN)
    return Judgement(Verdict.DELIVERABLE, domain.reason)
