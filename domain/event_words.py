"""SES's event vocabulary in words that a person understands: bounces, complaints, delays.

Only sentences live here; what an event does to a row is decided in domain.ses_events.
Meanings: SES developer guide, "Contents of event data" (bounce, complaint and delay types).
"""

from __future__ import annotations

_BOUNCES: dict[str, str] = {
    "Permanent/General": "The receiving server refused the mail for good.",
    "Permanent/NoEmail": "This address does not exist.",
    "Permanent/Suppressed": (
        "SES did not try: this address bounced for other senders lately "
        "(it is on the global suppression list of SES)."
    ),
    "Permanent/OnAccountSuppressionList": (
        "SES did not try: the address is on the suppression list of your AWS account."
    ),
    "Permanent/OnTenantSuppressionList": (
        "SES did not try: the address is on the suppression list of your SES tenant."
    ),
    "Permanent/EmailValidationSuppressed": (
        "SES did not try: its address validation expects this address to bounce."
    ),
    "Permanent/UnsubscribedRecipient": (
        "SES did not try: this person unsubscribed from the contact list in SES."
    ),
    "Transient/General": (
        "The receiving server turned the mail away for now, or answered automatically "
        "(out of office)."
    ),
    "Transient/MailboxFull": "The mailbox is full.",
    "Transient/MessageTooLarge": "The mail is too large for this mailbox.",
    "Transient/ContentRejected": "The receiving server refused the content of the mail.",
    "Transient/AttachmentRejected": "The receiving server refused an attachment.",
    "Transient/CustomTimeoutExceeded": (
        "The mail could not be delivered within the time limit of the configuration set."
    ),
    "Undetermined/Undetermined": "The mail bounced, and SES could not tell why.",
}

_BOUNCE_TYPES: dict[str, str] = {
    "Permanent": "The mail bounced for good.",
    "Transient": "The mail bounced for now.",
}

_COMPLAINTS: dict[str, str] = {
    "abuse": "The person reported the mail as spam.",
    "fraud": "The person reported the mail as fraud or phishing.",
    "virus": "The mail was reported as carrying a virus.",
    "other": "The mail was reported to its provider, without a usual reason.",
    "not-spam": "The person said that the mail is not spam.",
    "auth-failure": "The provider reports that the mail failed authentication.",
}

_DELAYS: dict[str, str] = {
    "InternalFailure": "SES had an internal trouble.",
    "General": "The delivery failed for now, with no closer reason.",
    "MailboxFull": "The mailbox is full.",
    "SpamDetected": "The receiving server has seen much unwanted mail from your account.",
    "RecipientServerError": "The receiving server has a temporary trouble.",
    "IPFailure": "The receiving server blocks or slows the address that SES sends from.",
    "TransientCommunicationFailure": "The connection to the receiving server failed.",
    "BYOIPHostNameLookupUnavailable": "The host name of your own sending address was not found.",
    "SendingDeferral": "SES is holding the mail back for a moment, to protect its delivery.",
    "Undetermined": "SES could not tell why.",
}


def bounce_words(bounce_type: str, sub_type: str, status: str, diagnostic: str) -> str:
    """A bounce in one or two sentences, with the receiving server's own words at the end."""
    words = _BOUNCES.get(f"{bounce_type}/{sub_type}")
    if words is None and sub_type not in ("General", "Undetermined"):
        # AWS does not say of which type some newer sub-types are: the sub-type alone tells enough.
        words = _BOUNCES.get(f"Permanent/{sub_type}") or _BOUNCES.get(f"Transient/{sub_type}")
    if words is None:
        words = _BOUNCE_TYPES.get(
            bounce_type, f"The mail bounced ({bounce_type or 'no type given'})."
        )
    return words + _server_words(status, diagnostic)


def complaint_words(feedback_type: str, sub_type: str) -> str:
    """A complaint in one sentence."""
    if sub_type:
        return (
            "SES did not try: the address is on a suppression list of your AWS account "
            "because of an earlier complaint."
        )
    if not feedback_type:
        return "The person or their provider complained about the mail."
    return _COMPLAINTS.get(feedback_type, f"The mail was reported as “{feedback_type}”.")


def delay_words(delay_type: str, status: str, diagnostic: str) -> str:
    """A delay in one or two sentences; SES goes on trying."""
    why = _DELAYS.get(delay_type) or (f"Reason given: {delay_type}." if delay_type else "")
    return f"Not delivered yet, SES goes on trying. {why}".rstrip() + _server_words(
        status, diagnostic
    )


def reject_words(reason: str) -> str:
    """A rejection in one sentence: SES found something bad in the mail itself."""
    if reason in ("", "Bad content"):
        return "SES refused to deliver the mail because it found a virus in it."
    return f"SES refused to deliver the mail: {reason}."


def rendering_words(message: str) -> str:
    """A rendering failure in one sentence: SES could not fill in the template."""
    detail = message.rstrip(".")
    return f"SES could not fill in the template: {detail}." if detail else (
        "SES could not fill in the template."
    )  # fmt: skip


def _server_words(status: str, diagnostic: str) -> str:
    """What the receiving server said, without the `smtp;` in front of it."""
    said = diagnostic.removeprefix("smtp;").strip()
    if said:
        return f" It said: {said}"
    return f" Status {status}." if status else ""
