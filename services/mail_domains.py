"""Whether a domain takes mail, asked of DNS, many at a time; answers are kept with their age.

A DNS failure is an answer of its own (unknown), never "takes no mail".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from database import is_sqlite
from domain.statuses import Verdict
from domain.verification import DomainFinding
from models import MailDomain

logger = logging.getLogger(__name__)

#: An answer is asked for again after this time; failures are not kept.
KEPT = timedelta(days=7)
_NULL_MX = DomainFinding(Verdict.UNDELIVERABLE, "The domain says that it takes no mail (null MX).")
_NO_DOMAIN = DomainFinding(Verdict.UNDELIVERABLE, "The domain does not exist.")
_NO_HOST = DomainFinding(Verdict.UNDELIVERABLE, "The domain has no mail server.")
_HAS_MX = DomainFinding(Verdict.DELIVERABLE, "The domain takes mail.")
_HAS_ADDRESS = DomainFinding(Verdict.DELIVERABLE, "The domain has no MX, but a host of its own.")
_SILENT = DomainFinding(Verdict.UNKNOWN, "DNS did not answer.")
_ISOLATED = DomainFinding(Verdict.UNKNOWN, "The DNS of this machine knows no Internet names.")
#: So many time-outs in a row with no answer in between mean that there is no DNS here.
_GIVE_UP_AFTER = 25
_AT_ONCE_IN_SQL = 500


class MxResolver:
    """Asks DNS for the mail servers of domains, `at_once` at a time, `seconds` for each.

    `nameservers` are (address, port); None = those of this machine. Once so many questions in a
    row stay unanswered that there seems to be no network, the rest are unknown at once.
    """

    def __init__(
        self,
        nameservers: Sequence[tuple[str, int]] | None = None,
        *,
        seconds: float = 3.0,
        at_once: int = 100,
    ) -> None:
        self._seconds = seconds
        self._at_once = at_once
        self._unanswered = 0
        self._sees_the_top: bool | None = None
        self._resolver = _make_resolver(nameservers, seconds)

    def look_up(self, domains: Collection[str]) -> dict[str, DomainFinding]:
        """The finding for each domain (lower case, Punycode)."""
        if self._resolver is None:
            return dict.fromkeys(domains, _SILENT)
        return asyncio.run(self._all(list(domains)))

    async def _all(self, domains: list[str]) -> dict[str, DomainFinding]:
        gate = asyncio.Semaphore(self._at_once)

        async def one(domain: str) -> tuple[str, DomainFinding]:
            async with gate:
                return domain, await self._one(domain)

        return dict(await asyncio.gather(*map(one, domains)))

    async def _one(self, domain: str) -> DomainFinding:
        if self._unanswered >= _GIVE_UP_AFTER:
            return _SILENT
        try:
            finding = await self._ask(domain)
        except (dns.exception.Timeout, OSError):
            self._unanswered += 1
            return _SILENT
        except dns.exception.DNSException as error:
            logger.debug("DNS for a domain failed: %s", type(error).__name__)
            finding = _SILENT
        self._unanswered = 0
        return finding

    async def _ask(self, domain: str) -> DomainFinding:
        try:
            answer = await self._resolve(domain, "MX")
        except dns.resolver.NXDOMAIN:
            return await self._no_domain()
        except dns.resolver.NoAnswer:
            return await self._ask_for_host(domain)
        hosts = {str(record.exchange).rstrip(".") for record in answer}
        return _NULL_MX if hosts == {""} else _HAS_MX

    async def _ask_for_host(self, domain: str) -> DomainFinding:
        """Without an MX mail goes to the domain's own address (RFC 5321, 5.1)."""
        for kind in ("A", "AAAA"):
            try:
                await self._resolve(domain, kind)
            except dns.resolver.NXDOMAIN:
                return await self._no_domain()
            except dns.resolver.NoAnswer:
                continue
            return _HAS_ADDRESS
        return _NO_HOST

    async def _no_domain(self) -> DomainFinding:
        """Believe that a name does not exist only from a server that knows the top of the tree:
        one in a closed network says so of every name."""
        if self._sees_the_top is None:
            self._sees_the_top = await self._answers_for("") or await self._answers_for("com")
        return _NO_DOMAIN if self._sees_the_top else _ISOLATED

    async def _answers_for(self, domain: str) -> bool:
        try:
            await self._resolve(domain, "NS")
        except dns.exception.DNSException:
            return False
        return True

    async def _resolve(self, domain: str, kind: str) -> Any:
        resolver = cast(dns.asyncresolver.Resolver, self._resolver)
        return await resolver.resolve(f"{domain}.", kind, lifetime=self._seconds, search=False)


def _make_resolver(
    nameservers: Sequence[tuple[str, int]] | None, seconds: float
) -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
    except dns.resolver.NoResolverConfiguration:
        return None
    if nameservers is not None:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(address, port) for address, port in nameservers
        ]
    resolver.timeout = seconds / 2  # one question is repeated once
    resolver.cache = dns.resolver.LRUCache(100_000)
    return resolver


def known_domains(
    session: Session, domains: Collection[str], now: datetime
) -> dict[str, DomainFinding]:
    """Findings of the last days for these domains."""
    found: dict[str, DomainFinding] = {}
    names = list(domains)
    for start in range(0, len(names), _AT_ONCE_IN_SQL):
        rows = session.execute(
            select(MailDomain.domain, MailDomain.verdict, MailDomain.reason).where(
                MailDomain.domain.in_(names[start : start + _AT_ONCE_IN_SQL]),
                MailDomain.checked_at > now - KEPT,
            )
        )
        found.update((row[0], DomainFinding(row[1], row[2])) for row in rows)
    return found


def remember(session: Session, findings: dict[str, DomainFinding], now: datetime) -> None:
    """Keep what DNS said; failures are not worth keeping."""
    rows = [
        {"domain": name[:255], "verdict": one.verdict, "reason": one.reason, "checked_at": now}
        for name, one in sorted(findings.items())
        if one.verdict is not Verdict.UNKNOWN
    ]
    if not rows:
        return
    table = cast(Table, MailDomain.__table__)
    statement = (sqlite if is_sqlite(session) else postgresql).insert(table)
    new = {name: statement.excluded[name] for name in ("verdict", "reason", "checked_at")}
    session.execute(statement.on_conflict_do_update(index_elements=["domain"], set_=new), rows)
