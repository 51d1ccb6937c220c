"""How often an open page asks: as the server names it, and more slowly where the server is slow."""

import time
from datetime import UTC, datetime

import pytest

from database import writing
from domain.statuses import CampaignStatus
from tests.factories import add_campaign, add_recipients
from tests.flow.processes import until
from web.database import db

SLOW_SECONDS = 1.5
#: Keeps the pauses that the page's script asks for, in the order in which it does.
_KEEP_PAUSES = """
window.pauses = [];
const real = window.setTimeout;
window.setTimeout = (what, ms, ...rest) => {
  if (ms >= 1000) window.pauses.push(ms);
  return real(what, ms, ...rest);
};
"""


@pytest.fixture
def campaign(app):
    """A campaign that is sending; its id."""
    now = datetime.now(UTC)
    with app.app_context(), writing(db.session):
        made = add_campaign(db.session(), now, status=CampaignStatus.SENDING)
        add_recipients(db.session(), made, ["ada@example.com"], now)
        return made.id


def pauses(visitor, path):
    """The pause before the first question, and the one after its answer; milliseconds."""
    visitor.page.add_init_script(_KEEP_PAUSES)
    visitor.go(path)
    until(lambda: visitor.page.evaluate("pauses.length") > 1, "the page has asked")
    return visitor.page.evaluate("pauses")[:2]


@pytest.mark.parametrize("path", ["/", "/campaigns/{campaign}"])
def test_a_slow_server_is_asked_more_slowly(app, visitor, campaign, path):
    answer = app.wsgi_app

    def slowly(environ, start_response):
        if environ["PATH_INFO"].endswith("/live"):
            time.sleep(SLOW_SECONDS)
        return answer(environ, start_response)

    app.wsgi_app = slowly
    first, second = pauses(visitor, path.format(campaign=campaign))
    assert first == 2000
    assert second >= 4 * SLOW_SECONDS * 1000
    assert visitor.faults == []
