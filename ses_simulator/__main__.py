"""`python -m ses_simulator`: the simulator as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Final

from ses_simulator.outcomes import Mix
from ses_simulator.server import Simulator
from ses_simulator.world import Options

HELP: Final = {
    "webhook": "subscribe this address to the event topic (may be repeated)",
    "rate": "recipients per second that the account may send to",
    "quota": "recipients per 24 hours; -1 is without limit",
    "event_speed": "how many times faster than usual events happen",
    "mix": "outcomes of ordinary addresses, such as bounce=0.02,open=0.5",
    "queue_limit": "visible messages kept per queue",
    "retry": "between the attempts of a webhook; AWS waits 20",
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    blank = Options()
    parser = argparse.ArgumentParser(prog="ses_simulator", description=__doc__)
    add = parser.add_argument
    add("--host", default=blank.host)
    add("--port", type=int, default=5001, help="0 takes any free one")
    add("--region", default=blank.region)
    add("--webhook", action="append", default=[], metavar="URL", help=HELP["webhook"])
    add("--rate", type=float, default=blank.max_send_rate, help=HELP["rate"])
    add("--quota", type=float, default=blank.daily_quota, help=HELP["quota"])
    add("--event-speed", type=float, default=blank.event_speed, help=HELP["event_speed"])
    add("--mix", type=Mix.parse, default=blank.mix, metavar="NAME=SHARE,...", help=HELP["mix"])
    add("--keep", type=int, default=blank.keep, help="mails kept whole")
    add("--queue-limit", type=int, default=blank.queue_limit, help=HELP["queue_limit"])
    add("--sns-retry-seconds", type=float, default=blank.sns_retry_seconds, help=HELP["retry"])
    add("--latency-ms", type=float, default=0.0, help="answer every send call this much later")
    add("--parent", type=int, metavar="PID", help="end when this parent process has ended")
    return parser.parse_args(arguments)


async def watch_parent(pid: int, simulator: Simulator) -> None:
    """Stop once the process has another parent than the one that started it."""
    while os.getppid() == pid:
        await asyncio.sleep(0.5)
    simulator.stop()


async def serve(arguments: argparse.Namespace) -> None:
    """Run until a signal or the parent's end."""
    simulator = Simulator(
        Options(
            host=arguments.host,
            port=arguments.port,
            region=arguments.region,
            max_send_rate=arguments.rate,
            daily_quota=arguments.quota,
            event_speed=arguments.event_speed,
            mix=arguments.mix,
            keep=arguments.keep,
            queue_limit=arguments.queue_limit,
            webhooks=tuple(arguments.webhook),
            sns_retry_seconds=arguments.sns_retry_seconds,
        )
    )
    simulator.faults.latency_ms = arguments.latency_ms
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, simulator.stop)
    watcher = None
    if arguments.parent is not None:
        watcher = asyncio.ensure_future(watch_parent(arguments.parent, simulator))
    await simulator.serve(lambda: print(f"SES simulator on {simulator.url}", flush=True))
    if watcher is not None:
        watcher.cancel()


def main() -> int:
    """The exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    arguments = parse(sys.argv[1:])
    # Mails live long: a collector that looks at all of them again and again costs a third. It looks
    # at few new ones at a time: while it does, no mail is received.
    gc.set_threshold(2_000, 2_500, 100)
    try:
        asyncio.run(serve(arguments))
    except OSError as error:
        print(f"SES simulator: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
