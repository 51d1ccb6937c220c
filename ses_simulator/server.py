"""Starting and stopping a simulator, and sending each request to the part that answers it."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from ses_simulator.control import Control, as_json
from ses_simulator.events import ACCOUNT_ID
from ses_simulator.faults import Faults
from ses_simulator.http_server import HttpConnection, Request, Response
from ses_simulator.outbox import Outbox
from ses_simulator.publisher import Publisher
from ses_simulator.regions import DEFAULT_QUEUE, DEFAULT_TOPIC
from ses_simulator.ses_api import SesApi
from ses_simulator.sns_api import SnsApi
from ses_simulator.sqs_api import SqsApi
from ses_simulator.world import Options, World

logger = logging.getLogger(__name__)
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/")
INVITATION_SECONDS: Final = 3.0
T = TypeVar("T")


class Simulator:
    """A running simulator. Read and switch it from any thread; `call` runs code on its own."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.world = World(options)
        self.publisher = Publisher(self.world)
        self.url = ""
        self._ses = SesApi(self.world, self.publisher)
        self._sqs = SqsApi(self.world, lambda: self.url)
        self._sns = SnsApi(self.world, self.publisher)
        self._control = Control(self.world, self.publisher)
        self._connections: set[HttpConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._stop_asked = False

    @property
    def faults(self) -> Faults:
        """The switches: assign to its fields, or `clear()`."""
        return self.world.faults

    @property
    def outbox(self) -> Outbox:
        """What was accepted."""
        return self.world.outbox

    @property
    def queue_url(self) -> str:
        """The URL of the default event queue."""
        return f"{self.url}/{ACCOUNT_ID}/{DEFAULT_QUEUE}"

    @property
    def topic_arn(self) -> str:
        """The ARN of the default event topic."""
        return f"arn:aws:sns:{self.options.region}:{ACCOUNT_ID}:{DEFAULT_TOPIC}"

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that SNS messages are signed with."""
        return self.call(lambda: self.world.signer.certificate_pem)

    def call(self, what: Callable[[], T]) -> T:
        """Run `what` on the simulator's thread and return its result."""
        if self._loop is None:
            raise RuntimeError("the simulator is not running")
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(what())
            except BaseException as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result(timeout=30)

    def reset(self, keep_setup: bool = True) -> None:
        """Forget mails, events, messages, suppressions and faults, and what was set up if told."""
        self.call(lambda: self.world.reset(keep_setup=keep_setup))

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until `stop`; `ready` is called once the port is open."""
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        if self._stop_asked:
            return
        server = await self._loop.create_server(
            lambda: HttpConnection(self.handle, self._connections),
            self.options.host,
            self.options.port,
            backlog=1024,
        )
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://{self.options.host}:{port}"
        ready()
        invitation = asyncio.ensure_future(self._invite_webhooks())
        await self._stopped.wait()
        invitation.cancel()
        server.close()
        for connection in list(self._connections):
            connection.close()
        await self.publisher.close()

    async def _invite_webhooks(self) -> None:
        """Ask the webhooks named at the start until they confirm: they may start after us."""
        region = self.world.region(self.options.region)
        topic = region.topics[self.topic_arn]
        waiting = list(self.options.webhooks)
        while waiting:
            waiting = [
                url
                for url in waiting
                if not self._sns.subscribe_webhook(region, topic, url).confirmed
            ]
            await asyncio.sleep(INVITATION_SECONDS)

    def stop(self) -> None:
        """End: the port is closed and, if there is one, the thread has ended on return."""
        self._stop_asked = True
        if self._loop is not None and self._stopped is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def run_in_thread(self) -> None:
        """Serve from a thread of its own; returns when the port is open. Raises OSError."""
        ready = threading.Event()
        problems: list[OSError] = []

        def run() -> None:
            try:
                asyncio.run(self.serve(ready.set))
            except OSError as problem:
                problems.append(problem)
                ready.set()

        self._thread = threading.Thread(target=run, name="ses-simulator", daemon=True)
        self._thread.start()
        if not ready.wait(timeout=10):
            raise RuntimeError("the simulator did not open its port")
        if problems:
            raise problems[0]

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer one request; whatever goes wrong here is a 500."""
        try:
            return self._dispatch(request)
        except Exception:
            logger.exception("could not answer %s %s", request.method, request.path)
            return as_json({"message": "the simulator failed: see its log"}, 500)

    def _dispatch(self, request: Request) -> Response | Awaitable[Response]:
        if request.path.startswith("/_sim"):
            return self._control.handle(request) or as_json({"error": "no such page"}, 404)
        if self.world.faults.unreachable:
            return Response(drop=True)
        scope = _SCOPE.search(request.headers.get("authorization", ""))
        region = self.world.region(scope[1] if scope else self.options.region)
        if request.path.startswith("/v2/email/"):
            return self._ses.handle(region, request)
        if "x-amz-target" in request.headers:
            return self._sqs.handle(region, request)
        if "Action=" in request.query or b"Action=" in request.body[:8192]:
            return self._sns.handle(region, request)
        return as_json({"message": "not found"}, 404)

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()


def start(**options: Any) -> Simulator:
    """Start a simulator in a thread. Options as in `world.Options`; port 0 is any free one."""
    simulator = Simulator(Options(**options))
    simulator.run_in_thread()
    return simulator
