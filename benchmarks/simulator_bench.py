"""How fast the simulator itself is, so that other benchmarks do not measure it by mistake.

    python benchmarks/simulator_bench.py [--mails 20000]

Starts a simulator process of its own and speaks raw HTTP to it from one client process over a
few keep-alive connections: single sends, bulk sends of 50 entries, then the events out of the
queue. Prints operations a second of wall time and of the simulator's own CPU time, and its
memory at each quarter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 8
ENTRIES = 50
ROOT = Path(__file__).resolve().parents[1]
PAGE = "<p>Dear reader,</p>" + "<p>We stay open longer from now on.</p>" * 60


@dataclass(frozen=True)
class Usage:
    """CPU seconds and resident megabytes of a process."""

    cpu: float
    memory: float


def usage(pid: int) -> Usage:
    """From /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = (int(fields[11]) + int(fields[12])) / ticks
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(cpu, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def single(number: int) -> bytes:
    """The body of a SendEmail call with some 5 KB of mail."""
    return json.dumps(
        {
            "FromEmailAddress": "News <news@example.com>",
            "Destination": {"ToAddresses": [f"reader{number}@example.org"]},
            "Content": {
                "Simple": {
                    "Subject": {"Data": f"Hello {number}", "Charset": "UTF-8"},
                    "Body": {
                        "Html": {"Data": f"<h1>{number}</h1>{PAGE}"},
                        "Text": {"Data": f"{number}: we stay open longer. " * 40},
                    },
                    "Headers": [
                        {
                            "Name": "List-Unsubscribe",
                            "Value": f"<https://example.com/u/{number:040x}>",
                        },
                        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
                    ],
                }
            },
            "EmailTags": [
                {"Name": "bes_campaign", "Value": "1"},
                {"Name": "bes_recipient", "Value": str(number)},
            ],
            "ConfigurationSetName": "bes",
        }
    ).encode()


def bulk(number: int) -> bytes:
    """The body of a SendBulkEmail call for 50 recipients."""
    first = number * ENTRIES
    entries = [
        {
            "Destination": {"ToAddresses": [f"bulk{n}@example.org"]},
            "ReplacementTags": [{"Name": "bes_recipient", "Value": str(n)}],
            "ReplacementHeaders": [
                {"Name": "List-Unsubscribe", "Value": f"<https://example.com/u/{n:040x}>"}
            ],
            "ReplacementEmailContent": {
                "ReplacementTemplate": {"ReplacementTemplateData": json.dumps({"name": f"R {n}"})}
            },
        }
        for n in range(first, first + ENTRIES)
    ]
    template = {"Subject": "Hello {{name}}", "Html": "<h1>{{name}}</h1>" + PAGE, "Text": "{{name}}"}
    return json.dumps(
        {
            "FromEmailAddress": "News <news@example.com>",
            "DefaultContent": {"Template": {"TemplateContent": template, "TemplateData": "{}"}},
            "DefaultEmailTags": [{"Name": "bes_campaign", "Value": "2"}],
            "BulkEmailEntries": entries,
            "ConfigurationSetName": "bes",
        }
    ).encode()


class Client:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(
            self._parts.hostname, self._parts.port
        )

    async def post(self, path: str, body: bytes, headers: str = "") -> bytes:
        """The body of the answer; raises unless it is a 200."""
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        lengths = [line for line in answer.split(b"\r\n") if line.startswith(b"content-length")]
        return await self._reader.readexactly(int(lengths[0].split(b":")[1]))


async def drive(url: str, path: str, bodies: list[bytes]) -> float:
    """Seconds to post all bodies over a few connections."""
    work = iter(bodies)

    async def one() -> None:
        client = Client(url)
        await client.open()
        for body in work:
            await client.post(path, body)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


async def drain(url: str, most: int) -> tuple[int, float]:
    """Receive and delete up to `most` events; how many, and in how many seconds."""
    client = Client(url)
    await client.open()
    queue = f"{url}/000000000000/bes-events"
    target = "x-amz-target: AmazonSQS.{}\r\n"
    done, started = 0, time.perf_counter()
    while done < most:
        ask = json.dumps({"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1})
        answer = await client.post("/", ask.encode(), target.format("ReceiveMessage"))
        messages = json.loads(answer).get("Messages", [])
        if not messages:
            break
        entries = [
            {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)
        ]
        body = json.dumps({"QueueUrl": queue, "Entries": entries}).encode()
        await client.post("/", body, target.format("DeleteMessageBatch"))
        done += len(messages)
    return done, time.perf_counter() - started


def report(name: str, count: int, seconds: float, before: Usage, after: Usage) -> None:
    """One line of the table."""
    cpu = max(after.cpu - before.cpu, 0.01)
    print(
        f"{name:<28}{count:>9,}{count / seconds:>12,.0f}{count / cpu:>14,.0f}"
        f"{before.memory:>10,.0f}{after.memory:>8,.0f}"
    )


def measure(url: str, pid: int, mails: int) -> None:
    """The whole table."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {CONNECTIONS} connections")
    print(f"{'':<28}{'count':>9}{'per second':>12}{'per CPU sec.':>14}{'MB before, after':>18}")
    for quarter in range(4):
        numbers = range(quarter * mails // 4, (quarter + 1) * mails // 4)
        bodies = [single(n) for n in numbers]
        before = usage(pid)
        seconds = asyncio.run(drive(url, "/v2/email/outbound-emails", bodies))
        report(f"SendEmail, quarter {quarter + 1}", len(bodies), seconds, before, usage(pid))
    for quarter in range(4):
        bodies = [bulk(n) for n in range(quarter * mails // 50, (quarter + 1) * mails // 50)]
        before = usage(pid)
        seconds = asyncio.run(drive(url, "/v2/email/outbound-bulk-emails", bodies))
        count = len(bodies) * ENTRIES
        report(f"bulk entries, quarter {quarter + 1}", count, seconds, before, usage(pid))
    before = usage(pid)
    count, seconds = asyncio.run(drain(url, mails))
    report("events received, deleted", count, seconds, before, usage(pid))


def main() -> int:
    """Run against a simulator process of our own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--keep", type=int, default=10_000, help="mails that the outbox keeps")
    parser.add_argument("--queue-limit", type=int, default=50_000)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "ses_simulator", "--port", "0", "--rate", "1000000"]
    command += ["--keep", str(arguments.keep), "--queue-limit", str(arguments.queue_limit)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        try:
            measure(url, process.pid, arguments.mails)
        finally:
            process.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
