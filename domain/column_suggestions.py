"""What each column of a file is probably for: the field it holds under the names that mailing,
sales and contact programs give it, or why it is better left out. A person decides.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from domain.recipient_files import Layout
from domain.recipient_headers import address_rank, plain_header
from domain.variable_names import variable_name

#: Fields by the name of their variable, with the headers (see `plain_header`) that exports of
#: Mailchimp, HubSpot, Salesforce, Google, Outlook, Brevo, Shopify, Zoho, Mautic, Klaviyo,
#: ActiveCampaign and others give them, and usual ones in other languages.
_FIELDS = {
    "first_name": "firstname fname givenname first forename prenom vorname nombre nome "
    "voornaam fornamn fornavn etunimi imie имя 名",
    "last_name": "lastname lname familyname surname last nomdefamille nachname familienname "
    "apellido apellidos cognome sobrenome achternaam efternamn etternavn sukunimi nazwisko "
    "фамилия 姓",
    "full_name": "name fullname displayname contactname customername personname nomcomplet "
    "nombrecompleto nomecompleto vollstandigername имяифамилия 氏名 姓名",
    "salutation": "salutation title prefix nameprefix honorificprefix civilite anrede tratamiento",
    "company": "company companyname organization organisation organizationname organization1name "
    "accountname defaultaddresscompany employer entreprise societe firma unternehmen empresa "
    "azienda bedrijf foretag yritys компания 会社 公司",
    "job_title": "jobtitle position role organizationtitle organization1title jobposition "
    "organizationname1title poste fonction cargo stelle функция",
    "phone": "phone phonenumber telephone tel phone1value primaryphone mobile mobilephone cell "
    "cellphone sms homephone businessphone workphone telefon telefono telefone telefoon "
    "telephonemobile handy portable whatsapp телефон 電話 电话",
    "street": "street address address1 streetaddress mailingstreet homestreet businessstreet "
    "billingstreet defaultaddressaddress1 address1street addressline1 rue adresse strasse "
    "direccion indirizzo endereco straat адрес 住所 地址",
    "city": "city town mailingcity homecity businesscity billingcity defaultaddresscity "
    "address1city ville ort stadt ciudad citta cidade stad город 市 城市",
    "postcode": "zip zipcode postcode postalcode zippostalcode mailingzippostalcode "
    "mailingpostalcode homepostalcode businesspostalcode defaultaddresszip address1postalcode "
    "codepostal plz postleitzahl codigopostal cap cep индекс",
    "region": "region stateregion province stateprovince county mailingstate mailingstateprovince "
    "homestate businessstate defaultaddressprovincecode address1region bundesland provincia",
    "country": "country countryregion mailingcountry homecountryregion businesscountryregion "
    "homecountry businesscountry defaultaddresscountrycode address1country countrycode pays land "
    "pais paese страна 国 国家",
    "language": "language locale preferredlanguage lang langue sprache idioma lingua язык",
    "birthday": "birthday birthdate dateofbirth dob anniversaire datedenaissance geburtstag "
    "geburtsdatum cumpleanos fechadenacimiento compleanno datadinascita",
    "website": "website websiteurl url webpage companyurl website1value siteweb sitioweb",
}  # fmt: skip
_FIELD_OF = {plain_header(word): name for name, words in _FIELDS.items() for word in words.split()}
KNOWN_FIELDS = tuple(_FIELDS)

#: Columns that programs write for themselves.
_MACHINE_WORDS = """
id leid euid recordid recordidcontact contactid customerid accountid ownerid leadid userid uuid
guid externalid hubspotid salesforceid createdat updatedat createdate createddate creationdate
modifieddate lastmodifieddate lastmodified lastchanged addedtime modifiedtime lastactivity
lastactivitydate lastactive optintime optinip confirmtime confirmip ip ipaddress latitude
longitude gmtoff dstoff timezone cc memberrating rating leadscore score groupmembership photo
contactowner leadowner owner leadstatus leadsource source associatedcompanyids associatedcompany
email1type email1label email2type email2label phone1type phone1label phone2type phone2label
address1type address1label dateidentified points taxexempt totalspent totalorders
acceptssmsmarketing doubleoptin marketingcontactstatus initials yominame givennameyomi
familynameyomi additionalnameyomi hashedemail emailhash md5
"""
_MACHINE = frozenset(_MACHINE_WORDS.split())
_REMARKS = frozenset(
    ("notes", "note", "comments", "comment", "remarks", "description", "bemerkung", "notiz")
)
LEFT_MACHINE = "a detail of the exporting program, rarely wanted in mails"
LEFT_REMARKS = "personal remarks, rarely wanted in mails"
LEFT_STATUS = "respected: who said no in it gets nothing"
LEFT_EMPTY = "empty in the first rows"
LEFT_ADDRESS = "a further address: only one is written to"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The variable a column becomes (None = left out), and a remark for the person, if any."""

    name: str | None
    remark: str = ""


def suggestions(layout: Layout, wanted: Collection[str]) -> dict[int, Suggestion]:
    """A suggestion for each column but the address; `wanted` are variables that the mail uses.

    A name that the mail uses is kept as it is; otherwise known fields get their usual name, so
    that `FNAME` and `Given Name` both are `first_name`.
    """
    statuses = {at for at, _, _ in layout.statuses}
    filled = _filled(layout)
    found: dict[int, Suggestion] = {}
    taken: set[str] = set()
    natural = {at: name for name, at in layout.variables}
    for at, header in enumerate(layout.headers):
        if at == layout.email_column:
            continue
        own = natural.get(at) or variable_name(header or f"column {at + 1}", taken)
        remark = _why_out(header, at, statuses, filled)
        if own in wanted:
            found[at] = Suggestion(own, LEFT_STATUS if at in statuses else "")
        elif remark:
            found[at] = Suggestion(None, remark)
        else:
            usual = _FIELD_OF.get(plain_header(header), own)
            free = usual not in taken and (usual == own or usual not in natural.values())
            found[at] = Suggestion(usual if free else own)
        taken.add(found[at].name or "")
    return found


def _filled(layout: Layout) -> set[int]:
    return {
        at for row in layout.sample for at, cell in enumerate(row.cells) if cell and cell.strip()
    }


def _why_out(header: str, at: int, statuses: Collection[int], filled: Collection[int]) -> str:
    plain = plain_header(header)
    if at in statuses:
        return LEFT_STATUS
    if at not in filled:
        return LEFT_EMPTY
    if plain in _MACHINE:
        return LEFT_MACHINE
    if plain in _REMARKS:
        return LEFT_REMARKS
    return LEFT_ADDRESS if address_rank(header) == 2 else ""
