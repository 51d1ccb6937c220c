"""Configuration sets of SESv2 and their event destinations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ses_simulator.aws_errors import AwsError
from ses_simulator.outcomes import API_NAMES
from ses_simulator.publisher import Publisher
from ses_simulator.regions import ConfigurationSet
from ses_simulator.ses_calls import ONE, Call, Route, not_found, page
from ses_simulator.submissions import bad_request
from ses_simulator.topics import Publication
from ses_simulator.world import World

VALIDATED: Final = "Successfully validated SNS topic for Amazon SES event publishing."
MAX_DESTINATIONS: Final = 10
_OPTION_GROUPS: Final = {
    "tracking-options": "TrackingOptions",
    "delivery-options": "DeliveryOptions",
    "reputation-options": "ReputationOptions",
    "sending": "SendingOptions",
    "suppression-options": "SuppressionOptions",
    "vdm-options": "VdmOptions",
    "archiving-options": "ArchivingOptions",
}


class ConfigurationSets:
    """Operations on configuration sets."""

    def __init__(self, world: World, publisher: Publisher) -> None:
        self._world = world
        self._publisher = publisher

    def routes(self) -> list[Route]:
        """Which call is which operation."""
        named = f"/configuration-sets/{ONE}"
        events, event = f"{named}/event-destinations", f"{named}/event-destinations/{ONE}"
        options = f"{named}/({'|'.join(_OPTION_GROUPS)})"
        destination = "ConfigurationSetEventDestination"
        return [
            ("POST", "/configuration-sets", "CreateConfigurationSet", self._create_set),
            ("POST", "/list-configuration-sets", "ListConfigurationSets", self._list_sets),
            ("GET", named, "GetConfigurationSet", self._get_set),
            ("DELETE", named, "DeleteConfigurationSet", self._delete_set),
            ("PUT", options, "PutConfigurationSetOptions", self._put_set_options),
            ("GET", events, f"Get{destination}s", self._get_destinations),
            ("POST", events, f"Create{destination}", self._create_destination),
            ("PUT", event, f"Update{destination}", self._update_destination),
            ("DELETE", event, f"Delete{destination}", self._delete_destination),
        ]

    def _set(self, call: Call) -> ConfigurationSet:
        try:
            return call.region.configuration_sets[call.path[0]]
        except KeyError:
            raise not_found(f"Configuration set <{call.path[0]}> does not exist.") from None

    def _create_set(self, call: Call) -> dict[str, Any]:
        name = call.body["ConfigurationSetName"]
        if name in call.region.configuration_sets:
            message = f"Configuration set <{name}> already exists."
            raise AwsError("AlreadyExistsException", message)
        options = {k: v for k, v in call.body.items() if k.endswith("Options")}
        made = ConfigurationSet(name, options, call.body.get("Tags", []))
        call.region.configuration_sets[name] = made
        return {}

    def _list_sets(self, call: Call) -> dict[str, Any]:
        names, token = page(
            list(call.region.configuration_sets),
            call.body.get("NextToken", ""),
            int(call.body.get("PageSize") or 1000),
        )
        return {"ConfigurationSets": names} | token

    def _get_set(self, call: Call) -> dict[str, Any]:
        found = self._set(call)
        defaults = {
            "DeliveryOptions": {"TlsPolicy": "OPTIONAL"},
            "ReputationOptions": {"ReputationMetricsEnabled": False},
            "SendingOptions": {"SendingEnabled": True},
        }
        return {"ConfigurationSetName": found.name, "Tags": found.tags} | defaults | found.options

    def _delete_set(self, call: Call) -> dict[str, Any]:
        del call.region.configuration_sets[self._set(call).name]
        return {}

    def _put_set_options(self, call: Call) -> dict[str, Any]:
        self._set(call).options[_OPTION_GROUPS[call.path[1]]] = call.body
        return {}

    def _get_destinations(self, call: Call) -> dict[str, Any]:
        destinations = list(self._set(call).destinations.values())
        if self._world.faults.without_send:
            destinations = [
                d | {"MatchingEventTypes": [t for t in d["MatchingEventTypes"] if t != "SEND"]}
                for d in destinations
            ]
        return {"EventDestinations": destinations}

    def _create_destination(self, call: Call) -> dict[str, Any]:
        found, name = self._set(call), call.body["EventDestinationName"]
        if name in found.destinations:
            raise AwsError("AlreadyExistsException", f"Event destination <{name}> already exists.")
        if len(found.destinations) >= MAX_DESTINATIONS:
            raise AwsError("LimitExceededException", "Too many event destinations.")
        self._store_destination(call, found, name, call.body["EventDestination"])
        return {}

    def _update_destination(self, call: Call) -> dict[str, Any]:
        found, name = self._set(call), call.path[1]
        if name not in found.destinations:
            raise not_found(f"Event destination <{name}> does not exist.")
        changed = {**found.destinations[name], **call.body["EventDestination"]}
        self._store_destination(call, found, name, changed)
        return {}

    def _store_destination(
        self, call: Call, found: ConfigurationSet, name: str, value: Mapping[str, Any]
    ) -> None:
        types = value.get("MatchingEventTypes") or []
        unknown = set(types) - set(API_NAMES.values())
        if unknown or not types:
            raise bad_request(f"Invalid event types: {sorted(unknown)}")
        known = found.destinations.get(name)
        arn = value.get("SnsDestination", {}).get("TopicArn")
        if arn:
            topic = call.region.topics.get(arn)
            if topic is None:
                raise bad_request(f"SNS topic <{arn}> not found.")
            if known is None or known.get("SnsDestination") != value.get("SnsDestination"):
                self._publisher.publish(topic, Publication(topic, VALIDATED, time.time()))
        found.destinations[name] = {"Enabled": False, **value, "Name": name}

    def _delete_destination(self, call: Call) -> dict[str, Any]:
        if self._set(call).destinations.pop(call.path[1], None) is None:
            raise not_found(f"Event destination <{call.path[1]}> does not exist.")
        return {}
