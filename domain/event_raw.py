"""Raw events small enough to keep: JSON text to compressed bytes and back.

Every event repeats the headers of its mail and facts about the account, which we know
ourselves: `without_repeats` leaves them out of the many ordinary events, and our own tags, which
the columns of a stored event repeat. SES repeats the same structure and names in every event, so
a preset dictionary does most of the work. A dictionary is never changed, because stored events
need it: a better one gets the next number.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any
from urllib.parse import quote

#: What SES events are made of; zlib reaches what stands last most cheaply.
_DICTIONARY_1 = (
    b'{"eventType":"Rendering Failure","failure":{"errorMessage":"Attribute \'\' is not present in '
    b'the rendering data.","templateName":"inline"}"eventType":"Reject","reject":{"reason":'
    b'"Bad content"}"eventType":"Subscription","subscription":{"contactList":"","timestamp":"20",'
    b'"source":"UnsubscribeHeader","newTopicPreferences":{"unsubscribeAll":true,'
    b'"topicSubscriptionStatus":[{"topicName":"","subscriptionStatus":"OptOut"}]},'
    b'"oldTopicPreferences":{"unsubscribeAll":false,"topicSubscriptionStatus":[]}}'
    b'"eventType":"DeliveryDelay","deliveryDelay":{"timestamp":"20","delayType":'
    b'"TransientCommunicationFailure","expirationTime":"20","delayedRecipients":[{"emailAddress":"'
    b'","status":"4.4.1","diagnosticCode":"smtp; 421 4.4.1 Unable to connect to remote host"}]}'
    b'"eventType":"Complaint","complaint":{"feedbackId":"01000","complaintSubType":null,'
    b'"complainedRecipients":[{"emailAddress":""}],"timestamp":"20","userAgent":"Amazon SES '
    b'Mailbox Simulator","complaintFeedbackType":"abuse","arrivalDate":"20"}'
    b'"eventType":"Bounce","bounce":{"feedbackId":"01000","bounceType":"Permanent","bounceSubType"'
    b':"General","bounceType":"Transient","bounceSubType":"MailboxFull","bouncedRecipients":'
    b'[{"emailAddress":"","action":"failed","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 '
    b'user unknown"}],"timestamp":"20","reportingMTA":"dsn; a1-1.smtp-out.us-east-1.amazonses.com"}'
    b'"eventType":"Click","click":{"timestamp":"20","userAgent":"Mozilla/5.0 (Windows NT 10.0; '
    b'Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",'
    b'"ipAddress":"192.0.2.","link":"https://www.","linkTags":null,"isBotEvent":"Unlikely"}'
    b'"eventType":"Open","open":{"timestamp":"20","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac '
    b"OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) (iPhone; CPU iPhone OS 18_0 like Mac "
    b'OS X) Mobile/15E148","ipAddress":"192.0.2.","isBotEvent":"Likely"}'
    b'"eventType":"Delivery","delivery":{"timestamp":"20","processingTimeMillis":1,"recipients":'
    b'[""],"smtpResponse":"250 2.0.0 OK ","reportingMTA":"a1-1.smtp-out.amazonses.com"}}'
    b'{"notificationType":"","remoteMtaIp":"127.0.2.0","sourceIp":"","callerIdentity":""'
    b'{"eventType":"Send","send":{},"mail":{"timestamp":"2026-01-01T00:00:00.000Z","source":"<news@'
    b'example.com>","sourceArn":"arn:aws:ses:us-east-1:000000000000:identity/example.com",'
    b'"sendingAccountId":"000000000000","messageId":"01000190-0000-0000-0000-000000000000-000000",'
    b'"destination":["@gmail.com"],"headersTruncated":false,"headers":[{"name":"From","value":"'
    b'"},{"name":"Reply-To","value":""},{"name":"To","value":"@gmail.com"},{"name":"Subject",'
    b'"value":""},{"name":"MIME-Version","value":"1.0"},{"name":"Content-Type","value":"'
    b'multipart/alternative; boundary=\\"----=_Part_0_.1\\""},{"name":"List-Unsubscribe","value":'
    b'"<https:///u/>"},{"name":"List-Unsubscribe-Post","value":"List-Unsubscribe=One-Click"},'
    b'{"name":"X-SES-MESSAGE-TAGS","value":"bes_install=, bes_campaign=, bes_recipient=, '
    b'bes_attempt="},{"name":"X-SES-CONFIGURATION-SET","value":"bes"}],"commonHeaders":{"from":['
    b'""],"replyTo":[""],"to":["@gmail.com"],"messageId":"01000190-000000","subject":""},"tags":{'
    b'"ses:operation":["SendEmail"],"ses:configuration-set":["bes"],"ses:source-ip":["127.0.0.1"],'
    b'"ses:from-domain":["example.com"],"ses:caller-identity":["root"],"ses:outgoing-ip":["54.240.'
    b'"],"bes_install":[""],"bes_campaign":["1"],"bes_recipient":["1"],"bes_attempt":[""]}}}'
    # The short form of ordinary events, see `without_repeats`.
    b'"]}},"click":{"timestamp":"2026-","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) '
    b'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36","ipAddress":"192.0.2.'
    b'","link":"https://www.","linkTags":null,"isBotEvent":"Unlikely"}}"]}},"open":{"timestamp":"2026'
    b'-","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, '
    b'like Gecko) Chrome/140.0.0.0 Safari/537.36","ipAddress":"192.0.2.","isBotEvent":"Likely"}}'
    b'"]}},"delivery":{"timestamp":"2026-","processingTimeMillis":1,"recipients":["@gmail.com"],'
    b'"smtpResponse":"250 2.0.0 OK  ","reportingMTA":"a1-1.smtp-out.amazonses.com"}}"]}},"send":{}}'
    b'{"eventType":"Click{"eventType":"Open{"eventType":"Delivery{"eventType":"Send","mail":{"'
    b'timestamp":"2026-01-01T00:00:00.000Z","messageId":"0100019","destination":["@gmail.com"],'
    b'"tags":{"bes_install":["","bes_campaign":["1"],"bes_recipient":["1"],"bes_attempt":["'
)
#: Parts of `mail` that are the same in every event of a mail, or of all mails of a sender.
_REPEATED = frozenset((
    "headers", "commonHeaders", "headersTruncated", "source", "sourceArn", "sendingAccountId",
    "sourceIp", "callerIdentity",
))  # fmt: skip
#: Where and with what somebody read a mail, and the link that was made for them.
_ABOUT_THE_PERSON = frozenset(("ipAddress", "userAgent", "link", "linkTags"))
#: Our own tags, which become columns of the stored event (services.delivery_events).
_IN_COLUMNS = frozenset(("bes_install", "bes_campaign", "bes_recipient", "bes_attempt"))
_write = json.JSONEncoder(separators=(",", ":")).encode
_DICTIONARIES = {1: _DICTIONARY_1}
_NEWEST = 1
#: Prepared once; a copy costs less than reading the dictionary again. A window of 8 KB holds the
#: dictionary with a whole short form, and its state is copied in a tenth of the time of a full one.
_PREPARED = zlib.compressobj(6, zlib.DEFLATED, -13, 6, zdict=_DICTIONARIES[_NEWEST])


def without_repeats(payload: dict[str, Any]) -> str:
    """The event without what we know anyway: headers, account, tags of a recipient's own mail."""
    mail = payload.get("mail")
    if not isinstance(mail, dict):
        return _write(payload)
    short = {name: value for name, value in mail.items() if name not in _REPEATED}
    if isinstance(tags := short.pop("tags", None), dict):
        known = frozenset[str]() if "bes_recipient" not in tags else _IN_COLUMNS
        kept = {n: tags[n] for n in tags if n not in known and not n.startswith("ses:")}
        if kept:
            short["tags"] = kept
    return _write(payload | {"mail": short})


def without_person(payload: dict[str, Any], address: str, instead: str) -> str:
    """The event with everything that tells who the person was taken out; what happened stays.

    `address` is a bare address in lower case. For events of one recipient.
    """
    names = re.compile(f"{re.escape(address)}|{re.escape(quote(address, safe=''))}", re.IGNORECASE)

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {n: cleaned(v) for n, v in value.items() if n not in _ABOUT_THE_PERSON}
        if isinstance(value, list):
            return [cleaned(item) for item in value]
        if not isinstance(value, str):
            return value
        # "Ada Example <ada@example.com>" tells a name as well.
        return instead if value.endswith(">") and names.search(value) else names.sub(instead, value)

    return without_repeats(cleaned(payload))


def pack(text: str) -> bytes:
    """The number of the dictionary in one byte, then a raw deflate stream."""
    squeeze = _PREPARED.copy()
    data = text.encode("utf-8", "surrogatepass")
    return bytes([_NEWEST]) + squeeze.compress(data) + squeeze.flush()


def unpack(data: bytes) -> str:
    """The text that was packed; raises ValueError for anything else."""
    try:
        dictionary = _DICTIONARIES[data[0]]
        plain = zlib.decompressobj(-15, zdict=dictionary).decompress(data[1:])
    except (IndexError, KeyError, zlib.error) as error:
        raise ValueError("these bytes are no stored event") from error
    return plain.decode("utf-8", "surrogatepass")
