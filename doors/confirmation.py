"""Confirming a subscription through the SNS API of the topic's own region.

Never by opening the address in the message: that address is the sender's choice.
"""

from __future__ import annotations

import logging

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import AwsClients, why_not
from domain.sns_messages import SnsMessage

logger = logging.getLogger(__name__)


def confirm_subscription(clients: AwsClients, message: SnsMessage) -> str | None:
    """Confirm; None when done, or the reason in a sentence.

    With AuthenticateOnUnsubscribe nobody who sees a notification can end the subscription; that
    needs our credentials and the right sns:ConfirmSubscription. Without them an unsigned call
    confirms as well.
    """
    region = message.region or ""
    topic = {"TopicArn": message.topic_arn, "Token": message.token}
    try:
        clients.sns(region).confirm_subscription(**topic, AuthenticateOnUnsubscribe="true")
        return None
    except (ClientError, BotoCoreError) as error:
        logger.info("confirming %s with our rights: %s", message.topic_arn, why_not(error))
    try:
        clients.sns_unsigned(region).confirm_subscription(**topic)
        return None
    except (ClientError, BotoCoreError) as error:
        return why_not(error)
