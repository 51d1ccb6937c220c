"""From claimed rows to mails: campaigns compiled once, then rendered row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from config import SendApi, Settings
from domain.bulk_template import BulkEmail, BulkTemplate, bulk_template
from domain.outgoing import OutgoingEmail, Sender, Unsendable, campaign_tags, make_sender
from domain.rendering import CompiledMail, TemplateProblem, compile_mail, mail_variables
from domain.unsubscribe_tokens import make_token
from models import Campaign
from sender.clocks import boottime
from services.claims import ClaimedRow
from services.installation import address_key_secret, installation_id

#: So many compiled campaigns are kept, and all that were asked for so lately (seconds): rows of
#: theirs may be in hand.
_KEPT, _IN_USE_SECONDS = 32, 60.0


class CannotMake(Exception):
    """No mail can be made; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class CampaignMail:
    """Everything that all mails of one version of a campaign share."""

    name: str
    compiled: CompiledMail
    sender: Sender
    configuration_set: str
    template: BulkTemplate | None  # only where the settings ask for bulk


class MailMaker:
    """Makes the mail of a row; holds compiled campaigns.

    One thread prepares, any number make mails of what is prepared.
    """

    def __init__(
        self, settings: Settings, session: Session, clock: Callable[[], float] = boottime
    ) -> None:
        self._settings = settings
        self._install = installation_id(session)
        self._secret = address_key_secret(session)
        self._mails: dict[int, tuple[int, CampaignMail]] = {}
        self._asked_at: dict[int, float] = {}
        self._clock = clock

    def prepare(self, session: Session, campaign_id: int, version: int) -> None:
        """Have the campaign compiled before rows of it are made; raises CannotMake."""
        known = self._mails.get(campaign_id)
        if known is None or known[0] != version:
            self._mails[campaign_id] = (version, self._compile(session, campaign_id))
        now = self._clock()
        self._asked_at[campaign_id] = now
        if len(self._mails) > _KEPT:
            for other in [c for c, at in self._asked_at.items() if at < now - _IN_USE_SECONDS]:
                del self._asked_at[other], self._mails[other]

    def _compile(self, session: Session, campaign_id: int) -> CampaignMail:
        c = Campaign
        row: Any = session.execute(
            select(c.name, c.subject, c.html, c.text, c.from_email, c.from_name, c.reply_to,
                   c.configuration_set).where(c.id == campaign_id)
        ).one()  # fmt: skip
        settings = self._settings
        own = row.from_email.strip()
        bulk = settings.ses_send_api is SendApi.BULK
        try:
            compiled = compile_mail(
                row.subject, row.html, row.text, postal_address=settings.postal_address
            )
            return CampaignMail(
                row.name,
                compiled,
                make_sender(
                    own or settings.sender_email,
                    row.from_name or ("" if own else settings.sender_name),
                    row.reply_to or settings.reply_to,
                ),
                row.configuration_set or settings.ses_configuration_set,
                bulk_template(compiled) if bulk else None,
            )
        except (TemplateProblem, Unsendable) as problem:
            raise CannotMake(f"The mail cannot be made: {problem}") from problem

    def mail_of(self, campaign_id: int) -> CampaignMail:
        """What all mails of a prepared campaign share."""
        return self._mails[campaign_id][1]

    def _values(self, row: ClaimedRow, mail: CampaignMail) -> tuple[str, dict[str, str]]:
        """A row's unsubscribe link and all its variables."""
        token = make_token(self._secret, row.id, row.campaign_id, row.address_hash)
        link = f"{self._settings.base_url}/u/{token}"
        values = mail_variables(
            json.loads(row.variables),
            email=row.email,
            unsubscribe_url=link,
            campaign_name=mail.name,
        )
        return link, values

    def _tags(self, row: ClaimedRow) -> dict[str, str]:
        return campaign_tags(self._install, row.campaign_id, row.id, row.attempt_id)

    def make_entry(self, row: ClaimedRow) -> BulkEmail:
        """The row's entry in a bulk call; raises CannotMake with what is wrong for this person."""
        mail = self.mail_of(row.campaign_id)
        if mail.template is None:
            raise CannotMake("The campaign is not prepared for bulk calls.")
        link, values = self._values(row, mail)
        try:
            data = mail.template.data(values)
        except TemplateProblem as problem:
            raise CannotMake(f"The mail could not be made for this person: {problem}") from problem
        return BulkEmail(row.email, data, link, self._tags(row))

    def make(self, row: ClaimedRow) -> OutgoingEmail:
        """The mail of one row; raises CannotMake with what is wrong for this person."""
        mail = self.mail_of(row.campaign_id)
        link, values = self._values(row, mail)
        try:
            rendered = mail.compiled.render(values)
        except TemplateProblem as problem:
            raise CannotMake(f"The mail could not be made for this person: {problem}") from problem
        return OutgoingEmail(
            sender=mail.sender,
            to=row.email,
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            unsubscribe_url=link,
            tags=self._tags(row),
            configuration_set=mail.configuration_set,
        )
