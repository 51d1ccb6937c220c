"""The query protocol: SNS (topics, subscriptions, publishing) and STS GetCallerIdentity."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ses_simulator import http_client
from ses_simulator.aws_errors import AwsError, query_xml
from ses_simulator.events import ACCOUNT_ID
from ses_simulator.http_server import Request, Response
from ses_simulator.publisher import Publisher
from ses_simulator.regions import Region
from ses_simulator.topics import PENDING, Publication, Subscription, Topic
from ses_simulator.webhooks import Delivery
from ses_simulator.world import World

MAX_MESSAGE_BYTES: Final = 262_144
_TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9_\-]{1,256}")
_SUBSCRIPTION_ATTRIBUTES: Final = frozenset(
    {
        "DeliveryPolicy",
        "FilterPolicy",
        "FilterPolicyScope",
        "RawMessageDelivery",
        "RedrivePolicy",
        "SubscriptionRoleArn",
    }
)
_TOPIC_ATTRIBUTES: Final = frozenset(
    {
        "DeliveryPolicy",
        "DisplayName",
        "KmsMasterKeyId",
        "Policy",
        "SignatureVersion",
        "TracingConfig",
    }
)
Parameters = Mapping[str, str]


def element(name: str, value: Any) -> str:
    """A value as XML: maps of strings become entries, lists members, dicts elements."""
    if isinstance(value, Entries):
        inner = "".join(
            f"<entry><key>{escape(k)}</key><value>{escape(v)}</value></entry>"
            for k, v in value.items()
        )
    elif isinstance(value, Mapping):
        inner = "".join(element(k, v) for k, v in value.items())
    elif isinstance(value, list):
        inner = "".join(element("member", item) for item in value)
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


class Entries(dict[str, str]):
    """A map in the sense of the query protocol."""


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {message}")


def _entries(parameters: Parameters, prefix: str, key: str = "key") -> dict[str, str]:
    """`Prefix.entry.1.key` and `.value` (or `Prefix.member.1.Key` and `.Value`)."""
    found = {}
    value = "value" if key == "key" else key.replace("Key", "Value")
    pattern = re.compile(rf"{prefix}\.(?:entry|member)\.(\d+)\.{key}")
    for name, content in parameters.items():
        match = pattern.fullmatch(name)
        if match:
            found[content] = parameters.get(name[: -len(key)] + value, "")
    return found


class SnsApi:
    """Dispatches SNS and STS calls."""

    def __init__(self, world: World, publisher: Publisher) -> None:
        self._world = world
        self._publisher = publisher
        self._operations: dict[str, Callable[[Region, Parameters], dict[str, Any]]] = {
            "CreateTopic": self._create_topic,
            "DeleteTopic": self._delete_topic,
            "ListTopics": self._list_topics,
            "GetTopicAttributes": self._get_topic_attributes,
            "SetTopicAttributes": self._set_topic_attributes,
            "ListTagsForResource": self._list_tags,
            "TagResource": self._tag,
            "Subscribe": self._subscribe,
            "ConfirmSubscription": self._confirm,
            "Unsubscribe": self._unsubscribe,
            "ListSubscriptions": self._list_subscriptions,
            "ListSubscriptionsByTopic": self._list_by_topic,
            "GetSubscriptionAttributes": self._get_subscription_attributes,
            "SetSubscriptionAttributes": self._set_subscription_attributes,
            "Publish": self._publish,
            "GetCallerIdentity": self._caller,
        }

    def handle(self, region: Region, request: Request) -> Response:
        """Answer one call."""
        parameters = dict(parse_qsl(request.body.decode() or request.query, keep_blank_values=True))
        name = parameters.get("Action", "")
        try:
            self._may(name)
            operation = self._operations.get(name)
            if operation is None:
                raise AwsError("InvalidAction", f"The simulator has no {name}.")
            self._world.stats[f"call {name}"] += 1
            result = operation(region, parameters)
        except AwsError as error:
            return query_xml(error)
        metadata = {"RequestId": "00000000-0000-0000-0000-000000000000"}
        body = element(f"{name}Response", {f"{name}Result": result, "ResponseMetadata": metadata})
        return Response(body=body.encode(), content_type="text/xml")

    def subscribe_webhook(self, region: Region, topic: Topic, url: str) -> Subscription:
        """Subscribe an HTTP endpoint and ask it to confirm."""
        if not http_client.is_loopback(url):
            raise _invalid("Endpoint: the simulator delivers to http:// on loopback only")
        subscription = region.subscribe(topic, "http", url)
        if not subscription.confirmed:
            self._ask(subscription, "SubscriptionConfirmation")
        return subscription

    def _ask(self, subscription: Subscription, kind: str) -> None:
        self._world.webhooks.enqueue(subscription, Delivery(kind, time.time()))

    def _may(self, operation: str) -> None:
        faults = self._world.faults
        if faults.expired_credentials:
            message = "The security token included in the request is expired"
            raise AwsError("ExpiredToken", message, 403)
        if "*" in faults.deny or operation in faults.deny:
            message = f"User is not authorized to perform: {operation}"
            raise AwsError("AuthorizationError", message, 403)

    def _topic(self, region: Region, parameters: Parameters, name: str = "TopicArn") -> Topic:
        arn = parameters.get(name, "")
        if arn.split(":")[3:4] not in ([region.name], []):
            raise _invalid("TopicArn")
        try:
            return region.topics[arn]
        except KeyError:
            raise AwsError("NotFound", "Topic does not exist", 404) from None

    def _subscription(self, region: Region, parameters: Parameters) -> Subscription:
        found = region.subscription_by_arn(parameters.get("SubscriptionArn", ""))
        if found is None:
            raise AwsError("NotFound", "Subscription does not exist", 404)
        return found

    def _create_topic(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        name = parameters.get("Name", "")
        if not _TOPIC_NAME.fullmatch(name):
            raise _invalid("Topic Name")
        topic = region.add_topic(name)
        topic.attributes |= _entries(parameters, "Attributes")
        topic.tags |= _entries(parameters, "Tags", "Key")
        return {"TopicArn": topic.arn}

    def _delete_topic(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        region.topics.pop(parameters.get("TopicArn", ""), None)
        return {}

    def _list_topics(self, region: Region, _parameters: Parameters) -> dict[str, Any]:
        return {"Topics": [{"TopicArn": arn} for arn in sorted(region.topics)]}

    def _get_topic_attributes(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters)
        confirmed = sum(s.confirmed for s in topic.subscriptions)
        attributes = {
            "TopicArn": topic.arn,
            "Owner": ACCOUNT_ID,
            "DisplayName": "",
            "SubscriptionsConfirmed": str(confirmed),
            "SubscriptionsPending": str(len(topic.subscriptions) - confirmed),
            "SubscriptionsDeleted": "0",
            "SignatureVersion": topic.signature_version,
            "Policy": self._default_policy(topic),
        }
        return {"Attributes": Entries(attributes | topic.attributes)}

    def _default_policy(self, topic: Topic) -> str:
        statement = {
            "Sid": "ses",
            "Effect": "Allow",
            "Principal": {"Service": "ses.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic.arn,
            "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT_ID}},
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    def _set_topic_attributes(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters)
        name, value = parameters.get("AttributeName", ""), parameters.get("AttributeValue", "")
        if name not in _TOPIC_ATTRIBUTES:
            raise _invalid("AttributeName")
        if name == "SignatureVersion" and value not in ("1", "2"):
            raise _invalid("SignatureVersion")
        topic.attributes[name] = value
        return {}

    def _list_tags(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        tags = self._topic(region, parameters, "ResourceArn").tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _tag(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters, "ResourceArn")
        topic.tags |= _entries(parameters, "Tags", "Key")
        return {}

    def _subscribe(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters)
        protocol, endpoint = parameters.get("Protocol", ""), parameters.get("Endpoint", "")
        if protocol == "sqs":
            subscription = region.subscribe(topic, "sqs", endpoint)
            subscription.confirmed = True
        elif protocol in ("http", "https"):
            subscription = self.subscribe_webhook(region, topic, endpoint)
        else:
            raise _invalid("Protocol: the simulator delivers to sqs and http")
        for name, value in _entries(parameters, "Attributes").items():
            self._set_subscription(subscription, name, value)
        shown = subscription.confirmed or parameters.get("ReturnSubscriptionArn") == "true"
        return {"SubscriptionArn": subscription.arn if shown else "pending confirmation"}

    def _confirm(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters)
        for subscription in topic.subscriptions:
            if subscription.token == parameters.get("Token"):
                subscription.confirmed = True
                subscription.authenticated = parameters.get("AuthenticateOnUnsubscribe") == "true"
                return {"SubscriptionArn": subscription.arn}
        raise _invalid("Token")

    def _unsubscribe(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        subscription = self._subscription(region, parameters)
        subscription.topic.subscriptions.remove(subscription)
        if subscription.protocol == "http" and subscription.confirmed:
            self._ask(subscription, "UnsubscribeConfirmation")
        return {}

    def _list_subscriptions(self, region: Region, _parameters: Parameters) -> dict[str, Any]:
        topics = region.topics.values()
        return {"Subscriptions": [_listed(s) for t in topics for s in t.subscriptions]}

    def _list_by_topic(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters)
        return {"Subscriptions": [_listed(s) for s in topic.subscriptions]}

    def _get_subscription_attributes(
        self, region: Region, parameters: Parameters
    ) -> dict[str, Any]:
        subscription = self._subscription(region, parameters)
        authenticated = str(subscription.authenticated).lower()
        attributes = {
            "SubscriptionArn": subscription.arn,
            "TopicArn": subscription.topic.arn,
            "Owner": ACCOUNT_ID,
            "Protocol": subscription.protocol,
            "Endpoint": subscription.endpoint,
            "PendingConfirmation": str(not subscription.confirmed).lower(),
            "ConfirmationWasAuthenticated": authenticated,
            "RawMessageDelivery": "false",
            "SubscriptionPrincipal": f"arn:aws:iam::{ACCOUNT_ID}:user/simulator",
        }
        return {"Attributes": Entries(attributes | subscription.attributes)}

    def _set_subscription_attributes(
        self, region: Region, parameters: Parameters
    ) -> dict[str, Any]:
        subscription = self._subscription(region, parameters)
        name = parameters.get("AttributeName", "")
        self._set_subscription(subscription, name, parameters.get("AttributeValue", ""))
        return {}

    def _set_subscription(self, subscription: Subscription, name: str, value: str) -> None:
        if name not in _SUBSCRIPTION_ATTRIBUTES:
            raise _invalid("AttributeName")
        if name.endswith("Policy") and value:
            try:
                json.loads(value)
            except ValueError:
                raise _invalid(name) from None
        subscription.attributes[name] = value

    def _publish(self, region: Region, parameters: Parameters) -> dict[str, Any]:
        topic = self._topic(region, parameters)
        message = parameters.get("Message", "")
        if not message:
            raise _invalid("Empty message")
        if len(message.encode()) > MAX_MESSAGE_BYTES:
            raise _invalid("Message too long")
        publication = Publication(
            topic,
            message,
            time.time(),
            parameters.get("Subject"),
            message_attributes=_message_attributes(parameters) or None,
        )
        self._publisher.publish(topic, publication)
        return {"MessageId": publication.message_id}

    def _caller(self, _region: Region, _parameters: Parameters) -> dict[str, Any]:
        return {
            "Arn": f"arn:aws:iam::{ACCOUNT_ID}:user/simulator",
            "UserId": "AIDASIMULATOR",
            "Account": ACCOUNT_ID,
        }


def _listed(subscription: Subscription) -> dict[str, str]:
    return {
        "SubscriptionArn": subscription.arn if subscription.confirmed else PENDING,
        "Owner": ACCOUNT_ID,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "TopicArn": subscription.topic.arn,
    }


def _message_attributes(parameters: Parameters) -> dict[str, dict[str, str]]:
    """`MessageAttributes.entry.1.Name`, `.Value.DataType`, `.Value.StringValue`."""
    found: dict[str, dict[str, str]] = {}
    number = 1
    while (prefix := f"MessageAttributes.entry.{number}.") + "Name" in parameters:
        found[parameters[prefix + "Name"]] = {
            "Type": parameters.get(prefix + "Value.DataType", "String"),
            "Value": parameters.get(prefix + "Value.StringValue", ""),
        }
        number += 1
    return found
