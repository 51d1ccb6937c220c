"""From an accepted mail to events on topics: when they happen, who hears of them, what goes wrong.

Also what else happens then: the suppression list grows, readers unsubscribe with one click.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Final

from ses_simulator import http_client
from ses_simulator.events import SUBJECT, Event
from ses_simulator.outbox import Mail
from ses_simulator.outcomes import API_NAMES, Kind, is_simulator_address
from ses_simulator.queues import Message
from ses_simulator.regions import Region, Suppressed
from ses_simulator.topics import Publication, QueuedPublication, Topic
from ses_simulator.webhooks import Delivery
from ses_simulator.world import World

_LEGACY: Final = frozenset({Kind.BOUNCE, Kind.COMPLAINT, Kind.DELIVERY})
_BAD: Final = (Kind.BOUNCE, Kind.COMPLAINT)
_COUNTED: Final = {kind: f"event {kind}" for kind in Kind}
_UNSUBSCRIBE_URL: Final = re.compile(r"<(https?://[^>]+)>")
_SEND_DELAY: Final = 0.05


class Publisher:
    """Schedules and publishes the events of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(
        self, mail: Mail, kind: Kind, delay: float, detail: str, recipients: tuple[str, ...]
    ) -> None:
        """Let something happen `delay` seconds from now at event speed 1."""
        world = self._world
        seconds = delay / world.options.event_speed + world.faults.delay_events
        if world.faults.reorder_events:
            seconds += world.random.random() * world.faults.reorder_events
        world.timeline.after(seconds, self.happen, mail, kind, detail, recipients)

    def schedule_send(self, mail: Mail) -> None:
        """The Send event, at once where it is to come before the answer."""
        if self._world.faults.event_before_response:
            self.happen(mail, Kind.SEND, "", mail.recipients)
        else:
            self.schedule(mail, Kind.SEND, _SEND_DELAY, "", mail.recipients)

    def happen(self, mail: Mail, kind: Kind, detail: str, recipients: tuple[str, ...]) -> None:
        """Something happens to a mail now."""
        now = time.time()
        name = f"{kind} {detail}" if detail else str(kind)
        mail.state = name if kind is Kind.BOUNCE else str(kind)
        mail.history.append((now, name))
        self._world.stats[_COUNTED[kind]] += 1
        if kind is Kind.UNSUBSCRIBE:
            self._unsubscribe(mail)
            return
        event = Event(mail, kind, detail, now, recipients)
        region = self._world.region(mail.region)
        if kind in _BAD:
            self._remember_bad_addresses(region, event)
        if self._is_lost(kind):
            self._world.stats["event lost"] += 1
            return
        self._publish_event(region, event)

    def publish(self, topic: Topic, publication: Publication) -> None:
        """Hand a message to every confirmed subscriber that wants it."""
        world = self._world
        for subscription in topic.subscriptions:
            if not subscription.confirmed or not subscription.wants(publication):
                continue
            if subscription.protocol == "sqs":
                queue = world.region(topic.region).queue_by_arn(subscription.endpoint)
                if queue is not None:
                    body = QueuedPublication(publication, subscription, world.signer)
                    queue.send(Message(body, publication.at))
            else:
                world.webhooks.enqueue(subscription, Delivery(publication, publication.at))

    def _publish_event(self, region: Region, event: Event) -> None:
        for topic in self._topics(region, event):
            publication = Publication(topic, event, event.at, SUBJECT)
            self.publish(topic, publication)
            if self._world.random.random() < self._world.faults.duplicate_events:
                # SNS repeats a message with its id; SES repeats an event under a new one.
                if self._world.random.random() < 0.5:
                    publication = Publication(topic, event, event.at, SUBJECT)
                self._world.stats["event duplicated"] += 1
                self.publish(topic, publication)
            if self._world.faults.legacy_notifications and event.kind in _LEGACY:
                self.publish(topic, Publication(topic, event, event.at, legacy=True))

    def _topics(self, region: Region, event: Event) -> list[Topic]:
        configuration_set = region.configuration_sets.get(event.mail.configuration_set)
        if configuration_set is None:
            return []
        if event.kind is Kind.SEND and self._world.faults.without_send:
            return []
        name = API_NAMES[event.kind]
        found = []
        for destination in configuration_set.destinations.values():
            if destination.get("Enabled") and name in destination["MatchingEventTypes"]:
                topic = region.topics.get(destination.get("SnsDestination", {}).get("TopicArn"))
                if topic is not None:
                    found.append(topic)
        return found

    def _is_lost(self, kind: Kind) -> bool:
        faults = self._world.faults
        if kind.value in faults.lose_kinds:
            return True
        return bool(faults.lose_events) and self._world.random.random() < faults.lose_events

    def _remember_bad_addresses(self, region: Region, event: Event) -> None:
        """Hard bounces and complaints enter the account's suppression list, as SES has it."""
        reason = ""
        if event.kind is Kind.BOUNCE and event.detail in ("Permanent/General", "Permanent/NoEmail"):
            reason = "BOUNCE"
        elif event.kind is Kind.COMPLAINT and event.detail == "abuse":
            reason = "COMPLAINT"
        if not reason or reason not in region.suppressed_reasons:
            return
        for address in event.recipients:
            if not is_simulator_address(address):
                region.suppressed[address] = Suppressed(
                    address, reason, event.at, event.mail.message_id, event.feedback_id
                )

    def _unsubscribe(self, mail: Mail) -> None:
        value = next((v for n, v in mail.headers if n.lower() == "list-unsubscribe"), "")
        url = _UNSUBSCRIBE_URL.search(value)
        if url is None or not http_client.is_loopback(url[1]):
            self._world.stats["unsubscribe impossible"] += 1
            return
        task = asyncio.ensure_future(self._post_unsubscribe(url[1]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post_unsubscribe(self, url: str) -> None:
        headers: dict[str, Any] = {"Content-Type": "application/x-www-form-urlencoded"}
        status = await http_client.post(url, headers, b"List-Unsubscribe=One-Click", 10)
        verdict = "posted" if 200 <= status < 300 else "failed"
        self._world.stats[f"unsubscribe {verdict}"] += 1

    async def close(self) -> None:
        """End what is still on its way."""
        for task in [*self._tasks, *self._world.webhooks.tasks]:
            task.cancel()
        await asyncio.sleep(0)
