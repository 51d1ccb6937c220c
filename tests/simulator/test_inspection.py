"""What can be seen under `/_sim/`: outbox, counts, receive times, pages; and what is bounded."""

from __future__ import annotations

import html
import json
import re
import time
from typing import Any

import pytest

from ses_simulator.outbox import BLOCK_ITEMS
from ses_simulator.outcomes import Mix
from ses_simulator.server import start
from tests.simulator.conftest import Account, fetch
from tests.simulator.test_sending import bulk, entry


def page(aws: Account, path: str) -> str:
    """The HTML of a page that answers 200."""
    status, body, headers = fetch(aws.simulator.url + path)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    return str(body.decode())


def test_outbox_json_is_filtered_and_paged(aws: Account) -> None:
    for number in range(7):
        tags = [{"Name": "bes_campaign", "Value": str(number % 2)}]
        aws.send(f"r{number}@example.org", EmailTags=tags)
    newest = aws.get("/_sim/outbox.json?limit=3")
    assert [mail["to"] for mail in newest["mails"]] == [[f"r{n}@example.org"] for n in (6, 5, 4)]
    older = aws.get(f"/_sim/outbox.json?limit=100&before={newest['next']}")
    assert [mail["sequence"] for mail in older["mails"]] == [4, 3, 2, 1]
    assert older["next"] is None
    assert len(aws.get("/_sim/outbox.json?tag=bes_campaign:1")["mails"]) == 3
    (found,) = aws.get("/_sim/outbox.json?to=r2@example.org")["mails"]
    assert aws.get(f"/_sim/outbox.json?message_id={found['message_id']}")["mails"] == [found]
    assert [m["to"] for m in aws.get("/_sim/outbox.json?q=R5")["mails"]] == [["r5@example.org"]]
    assert aws.get("/_sim/outbox.json")["total"] == 7


def test_counts_show_who_got_more_than_one(aws: Account) -> None:
    for to in ("a@example.org", "b@example.org", "A <a@example.org>"):
        aws.send(to)
    counts = aws.get("/_sim/counts.json")
    assert counts["more_than_once"] == {"a@example.org": 2}
    assert counts["counts"] == {"a@example.org": 2, "b@example.org": 1}
    assert aws.get("/_sim/outbox.json?counts=1")["counts"] == counts["counts"]
    assert aws.simulator.outbox.counts["a@example.org"] == 2


def test_receive_times_are_one_per_recipient_and_in_order(aws: Account) -> None:
    before = time.time()
    aws.send()
    bulk(aws, [entry(f"r{n}@example.org") for n in range(3)])
    times = aws.get("/_sim/received.json")
    assert times["total"] == len(times["received"]) == 4
    assert times["received"] == sorted(times["received"])
    assert before <= times["received"][0] <= times["received"][-1] <= time.time()
    assert len(aws.get("/_sim/received.json?after=3")["received"]) == 1


def test_reset_forgets_mails_events_and_messages(aws: Account) -> None:
    aws.send("success@simulator.amazonses.com")
    assert len(aws.events(1)) >= 1
    aws.send("delay@simulator.amazonses.com")
    aws.simulator.faults.sandbox = True
    assert fetch(f"{aws.simulator.url}/_sim/reset", "POST", b"{}")[0] == 200
    stats = aws.get("/_sim/stats")
    assert (stats["mails"], stats["addresses"], stats["pending_events"]) == (0, 0, 0)
    assert all(queue["visible"] == 0 for queue in stats["queues"].values())
    assert aws.get("/_sim/counts.json")["counts"] == {}
    assert aws.simulator.faults.sandbox is False
    assert aws.events(1, timeout=0.1) == []


def test_bodies_survive_compression_and_old_mails_leave(aws: Account) -> None:
    count = BLOCK_ITEMS * 3 + 5
    with start(keep=BLOCK_ITEMS * 2, event_speed=1000, mix=Mix.all_delivered()) as simulator:
        small = Account(simulator)
        ids = [
            small.send(
                f"r{number}@example.org",
                Content={
                    "Simple": {
                        "Subject": {"Data": f"s{number}"},
                        "Body": {"Text": {"Data": f"text {number} " * 50}},
                    }
                },
            )
            for number in range(count)
        ]
        outbox = small.get("/_sim/outbox.json?bodies=1&limit=1000")
        assert (outbox["total"], outbox["kept"]) == (count, BLOCK_ITEMS * 2)
        for mail in outbox["mails"]:
            number = mail["subject"][1:]
            assert mail["text"] == f"text {number} " * 50
        assert fetch(f"{simulator.url}/_sim/mails/{ids[0]}.json")[0] == 404
        assert len(small.get("/_sim/counts.json")["counts"]) == count
        small.close()


def test_full_queue_drops_the_oldest_and_says_so() -> None:
    with start(queue_limit=10, event_speed=1000, mix=Mix.all_delivered()) as simulator:
        small = Account(simulator)
        for _ in range(8):
            small.send()
        kept = small.events(10)
        assert len(kept) == 10
        queue = small.get("/_sim/stats")["queues"]["arn:aws:sqs:us-east-1:000000000000:bes-events"]
        assert queue["dropped"] == 6
        small.close()


def test_outbox_page_lists_searches_and_pages(aws: Account) -> None:
    for number in range(30):
        aws.send(f"reader{number}@example.org")
    first = page(aws, "/_sim/outbox")
    assert "30 mails" in first
    assert "reader29@example.org" in first
    assert "reader4@example.org" not in first
    older = re.search(r'href="([^"]+)">Older', first)
    assert older
    second = page(aws, html.unescape(older[1]))
    assert "reader4@example.org" in second
    assert "reader29@example.org" not in second
    found = page(aws, "/_sim/outbox?q=reader7")
    assert "reader7@example.org" in found
    assert "reader8@example.org" not in found
    assert "No mail has" in page(aws, "/_sim/outbox?q=nobody")


def test_opened_mail_shows_all_its_sides(aws: Account) -> None:
    simple = {
        "Subject": {"Data": "<b>Grüße</b>"},
        "Body": {
            "Html": {"Data": '<p><a ses:no-track href="/u/1">bye</a></p><script>1</script>'},
            "Text": {"Data": "plain <text>"},
        },
        "Headers": [
            {"Name": "List-Unsubscribe", "Value": "<https://example.com/u/1>"},
            {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
        ],
    }
    message_id = aws.send(Content={"Simple": simple})
    opened = page(aws, f"/_sim/outbox?id={message_id}")
    assert "&lt;b&gt;Grüße&lt;/b&gt;" in opened
    assert "both headers present" in opened
    assert f'src="/_sim/mails/{message_id}/html"' in opened
    assert "plain &lt;text&gt;" in page(aws, f"/_sim/outbox?id={message_id}&tab=text")
    assert "List-Unsubscribe: " in page(aws, f"/_sim/outbox?id={message_id}&tab=headers")
    source = page(aws, f"/_sim/outbox?id={message_id}&tab=source")
    assert "Content-Type: multipart/alternative" in source
    status, body, headers = fetch(f"{aws.simulator.url}/_sim/mails/{message_id}/html")
    assert status == 200
    assert b"ses:no-track" not in body
    assert headers["content-security-policy"].startswith("sandbox ")
    assert "allow-scripts" not in headers["content-security-policy"]


def test_answer_buttons_make_the_event(aws: Account) -> None:
    message_id = aws.send("silent@simulator.amazonses.com")
    assert [event["eventType"] for event in aws.events(1)] == ["Send"]
    opened = page(aws, f"/_sim/outbox?id={message_id}")
    values = re.findall(r'name="answer" value="([^"]+)"', opened)
    assert len(values) == 7
    for value in values:
        form = f"answer={value.replace(' ', '+').replace('/', '%2F')}".encode()
        fetch(f"{aws.simulator.url}/_sim/mails/{message_id}/events", "POST", form)
    seen = [event["eventType"] for event in aws.events(7)]
    assert seen == ["Delivery", "DeliveryDelay", "Bounce", "Bounce", "Complaint", "Open", "Click"]


def test_behaviour_page_switches_faults_and_keeps_what_only_json_can_say(aws: Account) -> None:
    url = f"{aws.simulator.url}/_sim/behaviour"
    aws.simulator.faults.update({"refuse": {"match": "x@"}})
    form = b"throttle=4&sandbox=on&refuse=0&unverified=a%40example.com,+example.org&latency_ms=5"
    assert fetch(url, "POST", form)[0] == 200
    faults: dict[str, Any] = aws.get("/_sim/faults")
    assert faults["throttle"]["every"] == 4
    assert faults["sandbox"] is True
    assert faults["refuse"]["match"] == "x@"
    assert faults["unverified"] == ["a@example.com", "example.org"]
    shown = page(aws, "/_sim/behaviour")
    assert 'name="throttle" value="4"' in shown
    assert 'name="sandbox" checked' in shown
    assert fetch(url, "POST", b"latency_ms=soon")[0] == 400
    assert aws.get("/_sim/faults") == faults
    fetch(url, "POST", b"clear=1")
    assert aws.get("/_sim/faults")["sandbox"] is False


@pytest.mark.parametrize("path", ["/_sim/reset", "/_sim/behaviour", "/_sim/faults"])
def test_other_sites_cannot_press_our_buttons(aws: Account, path: str) -> None:
    aws.send()
    status, _, _ = fetch(aws.simulator.url + path, "POST", b"{}", Origin="https://example.com")
    assert status == 403
    assert aws.get("/_sim/stats")["mails"] == 1


def test_unknown_paths_are_not_found_and_bad_requests_are_told(aws: Account) -> None:
    assert fetch(f"{aws.simulator.url}/_sim/nothing")[0] == 404
    assert fetch(f"{aws.simulator.url}/")[0] == 404
    assert fetch(f"{aws.simulator.url}/_sim/mails/nothing/html")[0] == 404
    body = json.dumps({"kind": "Explosion"}).encode()
    message_id = aws.send()
    assert fetch(f"{aws.simulator.url}/_sim/mails/{message_id}/events", "POST", body)[0] == 400
