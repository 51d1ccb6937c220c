"""What the facts of an installation mean: one check after the other, with the next step.

Pure: facts in, findings out. Who gathers the facts: services.diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable

from aws.account import AccountFacts
from aws.clients import Goal
from services.diagnosis_facts import (
    NOT_ASKED,
    Check,
    Facts,
    Finding,
    Level,
    fail,
    ok,
    warn,
)
from services.diagnosis_way import (
    configuration_set_check,
    dead_letter_check,
    destinations_check,
    queue_check,
    subscription_check,
    topic_check,
    webhook_check,
)

#: A scheduler beats every few seconds.
_SCHEDULER_GONE_SECONDS = 60.0
#: Send events come within seconds; after this long their lack is a fault (seconds).
_EVENT_LATE_SECONDS = 600.0
_CREDENTIAL_WORDS = (
    "UnrecognizedClient", "InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidSignature",
    "ExpiredToken", "MissingAuthenticationToken", "credentials", "IncompleteSignature",
    "AuthFailure", "security token",
)  # fmt: skip


def settings_check(facts: Facts) -> Finding:
    """Where mails go, and whether campaigns may be launched."""
    settings = facts.settings
    if facts.destination.goal is Goal.SIMULATOR:
        keys = settings.aws_access_key_id
        unused = " AWS keys are set and not used; set EMAIL_BACKEND=ses to use them."
        return ok(
            f"Mail goes to the local simulator, {facts.destination.url}.{unused if keys else ''}"
        )
    if facts.destination.goal is Goal.OTHER:
        return warn(
            f"Mails go to {facts.destination.url}, not to AWS.",
            "Remove AWS_ENDPOINT_URL to send through AWS.",
        )
    problems = settings.launch_problems()
    if problems:
        return warn(
            f"Mail goes to Amazon SES in {settings.aws_region}, but no campaign can be launched.",
            " ".join(problems),
        )
    return ok(f"Mail goes to Amazon SES in {settings.aws_region}.")


def database_check(facts: Facts) -> Finding:
    """Reachable, with the schema of this version."""
    database = facts.database
    if database.error:
        return fail(
            f"The database does not answer: {database.error}",
            "Check DATABASE_URL, and that the database server runs.",
        )
    if not database.readable:
        return fail(
            f"Its schema is {database.schema_version or 'missing'}, this version needs "
            f"{database.needed_version}.",
            "Run: python update_db_schema.py",
        )
    return ok(f"Reachable, schema {database.schema_version}.")


def scheduler_check(facts: Facts) -> Finding:
    """Somebody sends, applies events and does background work."""
    if not facts.database.readable:
        return warn("Not checked: the database cannot be read.", "Mend the database first.")
    age = facts.database.scheduler_age
    step = "Start it: make run (or python scheduler.py). Nothing is sent until it runs."
    if age is None:
        return fail("No scheduler has run yet.", step)
    if age > _SCHEDULER_GONE_SECONDS:
        return fail(f"The last sign of a scheduler is {_span(age)} old.", step)
    return ok(f"A scheduler runs; last heartbeat {_span(age)} ago.")


def credentials_check(facts: Facts) -> Finding:
    """Some are there, and AWS takes them."""
    if facts.destination.goal is Goal.SIMULATOR:
        return ok("None needed: the simulator takes any.")
    step = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role."
    if facts.aws_error:
        return fail(f"No AWS client can be made: {facts.aws_error}", "Check AWS_PROFILE.")
    if facts.credentials is None:
        return fail("There are no AWS credentials.", step)
    error = facts.account.error if facts.account else None
    if error and any(word in error for word in _CREDENTIAL_WORDS):
        return fail(f"AWS does not accept the credentials ({facts.credentials}). {error}", step)
    return ok(f"Found ({facts.credentials}).")


def account_check(facts: Facts) -> Finding:
    """SES sends for this account, within its quota."""
    account = facts.account
    if account is None:
        return NOT_ASKED
    if account.error:
        denied = "AccessDenied" in account.error
        finding = f"The account cannot be read. {account.error}"
        if denied:
            return warn(finding, "Allow ses:GetAccount in IAM: rate and quota are unknown.")
        if facts.destination.goal is Goal.SIMULATOR:
            return fail(finding, "Start the simulator: make run (or python -m ses_simulator).")
        return fail(finding, "Check AWS_REGION, the network and the credentials.")
    if account.enforcement_status == "SHUTDOWN" or account.sending_enabled is False:
        return fail(
            "AWS has stopped sending for this account.",
            "Open the reputation page of the SES console and answer AWS Support's case.",
        )
    quota = _quota(account)
    if account.enforcement_status == "PROBATION":
        return warn(
            f"AWS has put the account under review. {quota}",
            "Lower bounces and complaints: see the reputation page of the SES console.",
        )
    used, most = account.sent_last_24_hours or 0.0, account.max_24_hour_send or -1.0
    if most > 0 and used >= 0.9 * most:
        return warn(f"The 24-hour quota is nearly used up. {quota}", "Wait, or ask AWS for more.")
    return ok(quota)


def _quota(account: AccountFacts) -> str:
    used = account.sent_last_24_hours or 0.0
    if account.max_24_hour_send is None:
        return "Healthy; the quota is unknown."
    most = "no limit" if account.max_24_hour_send < 0 else f"{account.max_24_hour_send:,.0f}"
    rate = account.max_send_rate or 0.0
    return f"{rate:,g} mails a second; {used:,.0f} of {most} sent in the last 24 hours."


def sandbox_check(facts: Facts) -> Finding:
    """Whether anybody may be written to."""
    account = facts.account
    if account is None or account.error or account.production_access is None:
        return NOT_ASKED
    if not account.production_access:
        return warn(
            "The account is in the sandbox: only verified addresses can be written to.",
            "Ask for production access in the SES console (Account dashboard).",
        )
    return ok("The account has production access.")


def identity_check(facts: Facts) -> Finding:
    """The sender may send."""
    if not facts.settings.sender_email:
        return warn(
            "SENDER_EMAIL is not set: every campaign has to name its own sender.",
            "Set SENDER_EMAIL to an address of a verified domain.",
        )
    identity = facts.identity
    if identity is None:
        return NOT_ASKED
    if identity.error:
        return warn(
            f"{identity.identity} cannot be read. {identity.error}",
            "Allow ses:GetEmailIdentity in IAM, or look at it in the SES console.",
        )
    if not identity.exists or not identity.verified:
        state = "is not verified" if identity.exists else "is not known to SES in this region"
        return fail(
            f"{identity.identity} {state}: SES refuses mails from {facts.settings.sender_email}.",
            "Verify the domain in the SES console (Identities), or mend AWS_REGION.",
        )
    return ok(f"{identity.identity} is verified.")


def dkim_check(facts: Facts) -> Finding:
    """Mails are signed, and bounces find their way."""
    identity = facts.identity
    if identity is None or identity.error or not identity.exists:
        return NOT_ASKED
    if identity.dkim != "SUCCESS":
        return warn(
            f"DKIM of {identity.identity} is {identity.dkim or 'unknown'}: mailbox providers "
            "take unsigned mail for spam.",
            "Put the three CNAME records that SES shows into the DNS of the domain.",
        )
    if identity.mail_from and identity.mail_from_status != "SUCCESS":
        return warn(
            f"The custom MAIL FROM domain {identity.mail_from} is {identity.mail_from_status}.",
            "Mend its MX and TXT records.",
        )
    return ok("Mails are signed with DKIM.")


def last_send_check(facts: Facts) -> Finding:
    """When the last mail left."""
    if not facts.database.readable:
        return warn("Not checked: the database cannot be read.", "Mend the database first.")
    sent = facts.database.last_sent_at
    if sent is None:
        return ok("No mail has been sent yet.")
    return ok(f"{_span((facts.now - sent).total_seconds())} ago.")


def last_event_check(facts: Facts) -> Finding:
    """Events follow the mails."""
    if not facts.database.readable:
        return warn("Not checked: the database cannot be read.", "Mend the database first.")
    sent, event = facts.database.last_sent_at, facts.database.last_event_at
    if event is None and sent is None:
        return ok("None yet, and no mail was sent.")
    silent = sent is not None and (event is None or event < sent)
    if sent is not None and silent:
        age = (facts.now - sent).total_seconds()
        if age > _EVENT_LATE_SECONDS:
            return fail(
                f"The last mail was sent {_span(age)} ago and no event has come since.",
                "Mend the checks from the configuration set on; python scheduler.py must run.",
            )
    if event is None:
        return ok("None yet; the last mail has just been sent.")
    door = {"sqs": "the queue", "http": "the webhook"}.get(facts.database.last_event_door or "")
    through = f" through {door}" if door else ""
    return ok(f"{_span((facts.now - event).total_seconds())} ago{through}.")


def notices_check(facts: Facts) -> Finding:
    """What the product itself has to say."""
    if not facts.database.readable:
        return warn("Not checked: the database cannot be read.", "Mend the database first.")
    notices = facts.database.notices
    if not notices:
        return ok("None.")
    level = Level.FAIL if any(severity == "fail" for severity, _ in notices) else Level.WARN
    return level, " ".join(text for _, text in notices), "See the dashboard."


_CHECKS: tuple[tuple[str, Callable[[Facts], Finding]], ...] = (
    ("Settings", settings_check),
    ("Database and schema", database_check),
    ("Scheduler", scheduler_check),
    ("Credentials", credentials_check),
    ("SES account", account_check),
    ("Sandbox", sandbox_check),
    ("Sender identity", identity_check),
    ("DKIM", dkim_check),
    ("Configuration set", configuration_set_check),
    ("Event destinations", destinations_check),
    ("Topic", topic_check),
    ("Subscription", subscription_check),
    ("Queue", queue_check),
    ("Dead-letter queue", dead_letter_check),
    ("Webhook allow-list", webhook_check),
    ("Last send", last_send_check),
    ("Last event", last_event_check),
    ("Notices", notices_check),
)


def judge(facts: Facts) -> list[Check]:
    """All checks in order, numbered from 1."""
    return [Check(number, name, *check(facts)) for number, (name, check) in enumerate(_CHECKS, 1)]


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
