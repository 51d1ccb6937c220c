"""A web server of the installation under test, subscribed to the simulator's events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from werkzeug.serving import make_server

from app import create_app
from aws.clients import AwsClients
from config import Settings
from tests.flow.schedulers import wait_for


@contextmanager
def webhook_of(environment: Mapping[str, str], simulator: Any) -> Iterator[str]:
    """Serve the application while the block runs, its webhook confirmed; the webhook's URL."""
    settings = Settings.from_env(environment)
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/sns-notifications"
        with closing(AwsClients(settings)) as clients:
            sns = clients.sns("us-east-1")
            sns.subscribe(TopicArn=simulator.topic_arn, Protocol="http", Endpoint=url)
            wait_for(lambda: _confirmed(sns, simulator.topic_arn, url))
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions["bes"].engine.dispose()


def _confirmed(sns: Any, topic: str, url: str) -> bool:
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return any(one["Endpoint"] == url and one["SubscriptionArn"][:4] == "arn:" for one in listed)
