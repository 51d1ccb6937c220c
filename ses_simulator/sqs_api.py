"""The SQS JSON protocol: the operations that a poller, a dashboard and a set-up use."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ses_simulator.aws_errors import AwsError, aws_json
from ses_simulator.events import ACCOUNT_ID
from ses_simulator.http_server import Request, Response
from ses_simulator.queues import Message, Queue, Text
from ses_simulator.regions import Region
from ses_simulator.world import World

JSON: Final = "application/x-amz-json-1.0"
Parameters = dict[str, Any]


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class SqsApi:
    """Dispatches SQS calls."""

    def __init__(self, world: World, base_url: Callable[[], str]) -> None:
        self._world = world
        self._base_url = base_url
        self._operations: dict[str, Callable[[Region, Parameters], Parameters]] = {
            "CreateQueue": self._create,
            "DeleteQueue": self._delete_queue,
            "ListQueues": self._list,
            "GetQueueUrl": self._url,
            "GetQueueAttributes": self._get_attributes,
            "SetQueueAttributes": self._set_attributes,
            "ListQueueTags": lambda r, p: {"Tags": self._queue(r, p).tags},
            "TagQueue": self._tag,
            "UntagQueue": self._untag,
            "PurgeQueue": self._purge,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change,
            "ChangeMessageVisibilityBatch": self._change_batch,
            "ListDeadLetterSourceQueues": self._sources,
        }

    def handle(self, region: Region, request: Request) -> Response | Awaitable[Response]:
        """Answer one call; a receive may take its time."""
        name = request.headers["x-amz-target"].partition(".")[2]
        try:
            self._may(name)
            parameters = json.loads(request.body or b"{}")
            self._world.stats[f"call {name}"] += 1
            if name == "ReceiveMessage":
                return self._receive(region, parameters)
            operation = self._operations.get(name)
            if operation is None:
                raise AwsError("UnknownOperationException", f"The simulator has no {name}.", 404)
            return Response(
                body=json.dumps(operation(region, parameters)).encode(), content_type=JSON
            )
        except AwsError as error:
            return aws_json(error)

    def _may(self, operation: str) -> None:
        faults = self._world.faults
        if faults.expired_credentials:
            raise AwsError("ExpiredToken", "The security token included is expired", 403)
        if "*" in faults.deny or operation in faults.deny:
            message = f"Access to the resource is denied: sqs:{operation.lower()}"
            raise AwsError("AccessDeniedException", message, 403)

    def _queue(self, region: Region, parameters: Parameters) -> Queue:
        name = str(parameters.get("QueueUrl", "")).rstrip("/").rpartition("/")[2]
        try:
            return region.queues[name]
        except KeyError:
            message = "The specified queue does not exist."
            raise AwsError("QueueDoesNotExist", message) from None

    def _queue_url(self, queue: Queue) -> str:
        return f"{self._base_url()}/{ACCOUNT_ID}/{queue.name}"

    def _create(self, region: Region, parameters: Parameters) -> Parameters:
        name = parameters["QueueName"]
        known = region.queues.get(name)
        queue = region.add_queue(name)
        wanted = parameters.get("Attributes") or {}
        if known is None:
            queue.attributes |= wanted
            queue.tags |= parameters.get("tags") or {}
        elif any(queue.attributes.get(key) != value for key, value in wanted.items()):
            message = "A queue already exists with the same name and a different value."
            raise AwsError("QueueNameExists", message)
        return {"QueueUrl": self._queue_url(queue)}

    def _delete_queue(self, region: Region, parameters: Parameters) -> Parameters:
        del region.queues[self._queue(region, parameters).name]
        return {}

    def _list(self, region: Region, parameters: Parameters) -> Parameters:
        prefix = parameters.get("QueueNamePrefix") or ""
        queues = [q for name, q in sorted(region.queues.items()) if name.startswith(prefix)]
        return {"QueueUrls": [self._queue_url(queue) for queue in queues]}

    def _url(self, region: Region, parameters: Parameters) -> Parameters:
        queue = self._queue(region, {"QueueUrl": parameters["QueueName"]})
        return {"QueueUrl": self._queue_url(queue)}

    def _get_attributes(self, region: Region, parameters: Parameters) -> Parameters:
        queue = self._queue(region, parameters)
        visible, in_flight, delayed = queue.counts()
        known = queue.attributes | {
            "QueueArn": queue.arn,
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(in_flight),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
            "CreatedTimestamp": str(queue.created),
            "LastModifiedTimestamp": str(queue.created),
        }
        names = parameters.get("AttributeNames") or []
        if "All" not in names:
            known = {name: value for name, value in known.items() if name in names}
        return {"Attributes": known} if known else {}

    def _set_attributes(self, region: Region, parameters: Parameters) -> Parameters:
        queue = self._queue(region, parameters)
        for name, value in parameters["Attributes"].items():
            if value == "":
                queue.attributes.pop(name, None)
            else:
                queue.attributes[name] = value
        return {}

    def _tag(self, region: Region, parameters: Parameters) -> Parameters:
        self._queue(region, parameters).tags |= parameters["Tags"]
        return {}

    def _untag(self, region: Region, parameters: Parameters) -> Parameters:
        tags = self._queue(region, parameters).tags
        for key in parameters["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _purge(self, region: Region, parameters: Parameters) -> Parameters:
        self._queue(region, parameters).purge()
        return {}

    def _sources(self, region: Region, parameters: Parameters) -> Parameters:
        arn = self._queue(region, parameters).arn
        urls = [
            self._queue_url(queue)
            for queue in region.queues.values()
            if arn in queue.attributes.get("RedrivePolicy", "")
        ]
        return {"queueUrls": urls}

    def _send(self, region: Region, parameters: Parameters) -> Parameters:
        queue = self._queue(region, parameters)
        body = parameters["MessageBody"]
        if len(body.encode()) > int(queue.attributes["MaximumMessageSize"]):
            raise _invalid("One or more parameters are invalid. Reason: Message is too long.")
        message = Message(Text(body), time.time(), attributes=parameters.get("MessageAttributes"))
        queue.send(message, parameters.get("DelaySeconds"))
        return {"MessageId": message.message_id, "MD5OfMessageBody": _md5(body)}

    def _send_batch(self, region: Region, parameters: Parameters) -> Parameters:
        def one(entry: Parameters) -> Parameters:
            return self._send(region, entry | {"QueueUrl": parameters["QueueUrl"]})

        return self._batch(region, parameters, one)

    def _receive(self, region: Region, parameters: Parameters) -> Response | Awaitable[Response]:
        queue = self._queue(region, parameters)
        most = int(parameters.get("MaxNumberOfMessages") or 1)
        if not 1 <= most <= 10:
            raise _invalid(f"Value {most} for parameter MaxNumberOfMessages is invalid.")
        attributes = queue.attributes
        visibility = parameters.get("VisibilityTimeout")
        visible_after = float(attributes["VisibilityTimeout"] if visibility is None else visibility)
        wait = parameters.get("WaitTimeSeconds")
        seconds = float(attributes["ReceiveMessageWaitTimeSeconds"] if wait is None else wait)
        if not 0 <= seconds <= 20:
            raise _invalid(f"Value {seconds} for parameter WaitTimeSeconds is invalid.")
        names = set(parameters.get("MessageSystemAttributeNames") or ())
        names |= set(parameters.get("AttributeNames") or ())
        received = queue.receive(most, visible_after)
        if received or seconds == 0:
            return self._received(received, names)
        return self._received_later(queue, most, visible_after, seconds, names)

    async def _received_later(
        self, queue: Queue, most: int, visibility: float, wait: float, names: set[str]
    ) -> Response:
        return self._received(await queue.receive_wait(most, visibility, wait), names)

    def _received(self, messages: list[Message], names: set[str]) -> Response:
        self._world.stats["messages received"] += len(messages)
        listed = [_written(message, names) for message in messages]
        body = json.dumps({"Messages": listed} if listed else {})
        return Response(body=body.encode(), content_type=JSON)

    def _delete(self, region: Region, parameters: Parameters) -> Parameters:
        if not self._queue(region, parameters).delete(parameters["ReceiptHandle"]):
            raise AwsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
        self._world.stats["messages deleted"] += 1
        return {}

    def _delete_batch(self, region: Region, parameters: Parameters) -> Parameters:
        def one(entry: Parameters) -> Parameters:
            return self._delete(region, entry | {"QueueUrl": parameters["QueueUrl"]})

        return self._batch(region, parameters, one)

    def _change(self, region: Region, parameters: Parameters) -> Parameters:
        seconds = float(parameters["VisibilityTimeout"])
        queue = self._queue(region, parameters)
        if not queue.change_visibility(parameters["ReceiptHandle"], seconds):
            raise AwsError("MessageNotInflight", "The message is not in flight.")
        return {}

    def _change_batch(self, region: Region, parameters: Parameters) -> Parameters:
        def one(entry: Parameters) -> Parameters:
            return self._change(region, entry | {"QueueUrl": parameters["QueueUrl"]})

        return self._batch(region, parameters, one)

    def _batch(
        self, region: Region, parameters: Parameters, one: Callable[[Parameters], Parameters]
    ) -> Parameters:
        self._queue(region, parameters)
        entries = parameters.get("Entries") or []
        if not entries:
            raise AwsError("EmptyBatchRequest", "There should be at least one entry.")
        if len(entries) > 10:
            message = f"Maximum number of entries per request are 10. You have sent {len(entries)}."
            raise AwsError("TooManyEntriesInBatchRequest", message)
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise AwsError("BatchEntryIdsNotDistinct", "Two entries have the same Id.")
        successful, failed = [], []
        for entry in entries:
            try:
                successful.append({"Id": entry["Id"], **one(entry)})
            except AwsError as error:
                failed.append(
                    {
                        "Id": entry["Id"],
                        "Code": error.code,
                        "Message": error.message,
                        "SenderFault": True,
                    }
                )
        return {"Successful": successful, "Failed": failed}


def _written(message: Message, names: set[str]) -> Parameters:
    body = message.body.text()
    document: Parameters = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": _md5(body),
        "Body": body,
    }
    system = {
        "ApproximateReceiveCount": str(message.receives),
        "SentTimestamp": str(int(message.sent * 1000)),
        "ApproximateFirstReceiveTimestamp": str(int(message.first_received * 1000)),
        "SenderId": ACCOUNT_ID,
    }
    shown = {k: v for k, v in system.items() if "All" in names or k in names}
    if shown:
        document["Attributes"] = shown
    if message.attributes:
        document["MessageAttributes"] = message.attributes
    return document
