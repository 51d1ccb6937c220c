"""What is known of an address from its text alone: throw-away hosts and shared mailboxes."""

from __future__ import annotations

from disposable_email_domains import blocklist

#: Mailboxes read by a group or by a machine. They complain and bounce more often than people
#: do; RFC 2142 names the core, the rest is what such lists are full of.
_ROLES = (
    "abuse accounts accounting admin administrator all billing careers compliance contact "
    "customerservice devnull dns donotreply everyone feedback finance ftp hello help helpdesk "
    "hostmaster hr info inquiries inoc invoices jobs legal list list-request mail mailer-daemon "
    "mailerdaemon marketing media news noc no-reply noreply nobody office orders phish phishing "
    "postmaster press privacy registrar root sales security spam staff subscribe support "
    "sysadmin team tech unsubscribe usenet uucp webmaster www"
)
ROLE_NAMES = frozenset(_ROLES.split())

#: Relays that hide a person's own mailbox. They are people, whatever a list of disposables says.
_RELAYS = (
    "duck.com mozmail.com privaterelay.appleid.com simplelogin.com simplelogin.co slmail.me "
    "anonaddy.com anonaddy.me addy.io passmail.net passinbox.com passfwd.com relay.firefox.com "
    "icloud.com"
)
PRIVACY_RELAYS = frozenset(_RELAYS.split())


def is_role(local_part: str) -> bool:
    """Whether the mailbox belongs to a function, not to a person (`info`, `sales+eu` …)."""
    return local_part.lower().partition("+")[0] in ROLE_NAMES


def is_disposable(domain: str) -> bool:
    """Whether the domain, or a domain it lies under, hands out throw-away mailboxes."""
    labels = domain.lower().split(".")
    names = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    if any(name in PRIVACY_RELAYS for name in names):
        return False
    return any(name in blocklist for name in names)
