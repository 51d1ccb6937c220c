"""What the columns of a list mean: which holds the address, which say that somebody said no."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.statuses import SuppressionReason


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Headers of the address column, as `plain_header` makes them, by language and by product.
_ADDRESS_HEADERS = """
email emails emailaddress emailaddresses mail mailaddress emailid useremail primaryemail
emailprimary workemail emailwork personalemail contactemail customeremail subscriberemail
memberemail leademail email1 email1value email1address emailaddress1 emailhome homeemail
recipient recipientemail personemail accountemail businessemail yourremail mailid
adresseemail adressemail adressedemail adresseelectronique courriel adressecourriel mel
correo correoelectronico direcciondecorreo direcciondecorreoelectronico direccionemail
direcciondeemail emailadresse mailadresse elektronischeadresse empfanger
indirizzoemail indirizzomail indirizzodipostaelettronica postaelettronica
enderecodeemail email correioeletronico correioeletronico correoelectronic adrecaelectronica
emailadres mailadres epost epostadress epostadresse epostaddress sahkoposti sahkopostiosoite
eposta epostaadresi epostaadresiniz adresemail adresaemail emailova emailovaadresa adresmail
emailcim adresadeemail netfang tolvupostur emailas elpastas epasts meiliaadress
почта электроннаяпочта элпочта эпочта адресэлектроннойпочты имейл имейладрес емейл мейл
електроннапошта емаил ηλεκτρονικηδιευθυνση ηλεκτρονικοταχυδρομειο διευθυνσηemail
メール メールアドレス eメール eメールアドレス 電子メール 邮箱 邮箱地址 电子邮件 电子邮箱
电子邮件地址 邮件 电邮 電子郵件 電郵 信箱 電子信箱 이메일 이메일주소 메일 전자우편
البريد البريدالالكتروني بريدالكتروني بريد الايميل ايميل ईमेल ईमेलपता ایمیل پستالکترونیکی
אימייל דואל דואראלקטרוני อีเมล อีเมล์
"""
#: Words that turn a header with "mail" in it into something else than the address itself.
_NOT_THE_ADDRESS = (
    "optin", "optout", "status", "type", "subscri", "marketing", "blacklist", "consent",
    "domain", "date", "time", "count", "verified", "valid", "bounce", "sent", "open", "click",
    "permission", "accepts", "mailing", "mailingaddress", "quarantine", "format", "preference",
)  # fmt: skip

_STATUS_HEADERS = _words(
    "status emailstatus mailstatus subscriptionstatus memberstatus contactstatus "
    "subscriberstatus emailsubscriptionstatus emailmarketingstatus emailmarketingconsent "
    "marketingstatus optinstatus statut statutemail estado estadodelcontacto stato situacao "
    "abonnementstatus state subscriberstate emailoptinstatus"
)
_UNSUBSCRIBED = (
    "unsubscribed unsubscribe optedout optout optouts inactiveunsubscribed unsub desabonne "
    "desinscrit desabonnee desuscrito dadodebaja baja abgemeldet disiscritto cancellato "
    "descadastrado uitgeschreven avregistrerad blacklisted blocklisted suppressed "
    "globallyunsubscribed donotmail donotcontact donotemail"
)
_BOUNCED = (
    "bounced bounce hardbounce hardbounced hardbounces cleaned bounces rebondi rebote rebotado "
    "inactivebounced"
)
_COMPLAINED = "complained complaint complaints spam spamcomplaint abuse reportedspam markedasspam"
#: Columns whose plain yes means no mail, and columns whose plain no does.
_NO_MAIL_IF_YES = _words(
    "emailblacklisted blacklisted blocklisted emailblocklisted unsubscribed optedout optout "
    "emailoptout emailoptedout hasoptedoutofemail unsubscribedfromallemail donotemail "
    "donotcontact donotmail suppressed globalunsubscribe unsubscribe desabonne abgemeldet"
)
_NO_MAIL_IF_NO = _words(
    "acceptsemailmarketing acceptsmarketing emailoptin optin subscribed issubscribed "
    "emailsubscribed marketingconsent emailconsent consent newsletter acceptsemail"
)
_NO_MAIL_IF_FILLED = {
    "unsubtime": SuppressionReason.UNSUBSCRIBED,
    "unsubscribedat": SuppressionReason.UNSUBSCRIBED,
    "unsubscribetime": SuppressionReason.UNSUBSCRIBED,
    "unsubscribedate": SuppressionReason.UNSUBSCRIBED,
    "unsubscribedon": SuppressionReason.UNSUBSCRIBED,
    "optouttime": SuppressionReason.UNSUBSCRIBED,
    "cleantime": SuppressionReason.BOUNCED,
    "bouncedat": SuppressionReason.BOUNCED,
    "hardbouncedat": SuppressionReason.BOUNCED,
}
_YES = _words("yes y true 1 x on oui ja si sim da tak vrai verdadero wahr vero")
_NO = _words("no n false 0 off non nein nao nie faux falso falsch nee")
_THIS_LIST_ALONE = _words(
    "unconfirmed notconfirmed nonsubscribed notsubscribed invalid undeliverable blocked"
)
_NOTHING = frozenset(("", "0", "null", "none", "na", "never", "00000000000000"))


@dataclass(frozen=True, slots=True)
class SaidNo:
    """Why the file itself says that a row must not be mailed.

    `reason` None: no consent was ever given or confirmed, which is a matter of this list alone;
    otherwise the address belongs on the suppression list.
    """

    reason: SuppressionReason | None
    sentence: str


def plain_header(text: str) -> str:
    """A header without case, accents, spaces and signs."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if sign.isalnum())


_ADDRESS_NAMES = frozenset(plain_header(word) for word in _ADDRESS_HEADERS.split())


def address_rank(header: str) -> int:
    """2 = a usual name of the address column, 1 = it speaks of mail, 0 = something else."""
    plain = plain_header(header)
    if plain in _ADDRESS_NAMES:
        return 2
    speaks = "mail" in plain or "courriel" in plain or "почт" in plain
    return int(speaks and not any(word in plain for word in _NOT_THE_ADDRESS))


def status_columns(headers: Sequence[str]) -> tuple[tuple[int, str, str], ...]:
    """(column, plain header, header) of the columns that may say no, see `said_no`."""
    known = _STATUS_HEADERS | _NO_MAIL_IF_YES | _NO_MAIL_IF_NO | _NO_MAIL_IF_FILLED.keys()
    columns = ((place, plain_header(header), header) for place, header in enumerate(headers))
    return tuple(column for column in columns if column[1] in known)


@lru_cache(maxsize=4096)
def said_no(plain: str, header: str, value: str) -> SaidNo | None:
    """What one cell of a status column says against mailing the row, or None."""
    said = plain_header(value)
    words = f"The file says “{header}: {value.strip()[:60]}”."
    if plain in _NO_MAIL_IF_FILLED:
        return None if said in _NOTHING else SaidNo(_NO_MAIL_IF_FILLED[plain], words)
    if plain in _NO_MAIL_IF_YES and said in _YES:
        return SaidNo(SuppressionReason.UNSUBSCRIBED, words)
    if plain in _NO_MAIL_IF_NO and said in _NO:
        return SaidNo(None, words)
    for names, reason in _STATUS_WORDS:
        if said in names:
            return SaidNo(reason, words)
    return None


_STATUS_WORDS: tuple[tuple[frozenset[str], SuppressionReason | None], ...] = (
    (_words(_UNSUBSCRIBED), SuppressionReason.UNSUBSCRIBED),
    (_words(_BOUNCED), SuppressionReason.BOUNCED),
    (_words(_COMPLAINED), SuppressionReason.COMPLAINED),
    (_THIS_LIST_ALONE, None),
)
