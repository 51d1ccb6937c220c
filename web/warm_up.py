"""The first page made before anybody asks for it: once in the process that forks the workers.

A first page compiles templates and SQL statements, which would cost the first visitor of every
worker a third of a second beside a flood of notifications.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from flask import Flask, render_template
from flask_login import login_user
from sqlalchemy.exc import SQLAlchemyError

from models import User
from web.auth import SignedIn
from web.dashboard import dashboard_page
from web.database import wiring

logger = logging.getLogger(__name__)


def warm_up(app: Flask) -> None:
    """Compile all templates, make the dashboard once, and let go of every connection."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    nobody = User(id=0, email="", session_key="", created_at=datetime.now(UTC))
    with app.test_request_context("/"):
        try:
            login_user(SignedIn(nobody))
            render_template("dashboard/index.html", **dashboard_page())
        except SQLAlchemyError as error:
            logger.warning("the database did not answer before the start: %s", type(error).__name__)
        finally:
            wiring().engine.dispose()
