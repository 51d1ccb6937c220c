"""`flask --app app campaigns …`, the part about recipients: import, verify, test, export.

These do their work in this process; the web pages queue the same work for the scheduler.
"""

from __future__ import annotations

import click

from aws.clients import AwsClients
from commands.campaigns import campaigns
from commands.terminal import answer, changing, json_option, now, person, refuse, sessions, settings
from email_service import make_email_service
from services import test_mails


@campaigns.command("test")
@click.argument("campaign_id", metavar="ID", type=int)
@click.argument("email")
@json_option
def test(campaign_id: int, email: str, as_json: bool) -> None:
    """Send the campaign's mail to one address, to look at; it never counts."""
    with changing() as session:
        mail = test_mails.create(session, campaign_id, email, by=person(), now=now())
        mail_id = mail.id
    service = make_email_service(AwsClients(settings()))
    sent = test_mails.run(sessions(), mail_id, settings=settings(), service=service)
    if sent.status == test_mails.FAILED:
        refuse(f"The test mail was not sent: {sent.detail}")
    document = {"id": campaign_id, "status": sent.status}
    answer(document, as_json, f"The test mail to {sent.email} is {sent.status.replace('_', ' ')}.")
