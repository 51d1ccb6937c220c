"""One blueprint per noun. A view validates, calls one service, commits, flashes and redirects."""

from __future__ import annotations

from importlib import import_module

from flask import Flask
from flask_bootstrap import Bootstrap5
from werkzeug.routing import IntegerConverter, Map

#: Modules with a `blueprint`. A new noun is one line here and one file beside this one.
BLUEPRINTS = (
    "web.auth",
    "web.account",
    "web.health",
    "web.dashboard",
    "web.campaigns",
    "web.campaign_actions",
    "web.editor",
    "web.previews",
    "web.lists",
    "web.list_verification",
    "web.contacts",
    "web.audiences",
    "web.segments",
    "web.suppressions",
    "web.suppression_files",
    "web.account_list",
    "web.notifications",
    "web.diagnostics",
    "web.public",
    "web.signup",
    "web.signup_settings",
    "web.test_mails",
    "web.exports",
    "web.verification",
    "web.imports",
    "web.import_steps",
)


class RowId(IntegerConverter):
    """`<int:…>` in a route: no larger than an id can be, so that odd addresses are 404."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, min=1, max=2**31 - 1)


def init_app(app: Flask) -> None:
    """Give an application (with its wiring present) the whole web side: session, guard, pages."""
    from web import context, database, errors, icons, live, security

    app.config.setdefault("BOOTSTRAP_SERVE_LOCAL", True)
    app.url_map.converters["int"] = RowId
    app.url_map.strict_slashes = False  # `/suppressions` is the page, no redirect to it
    database.connect(app)
    Bootstrap5(app)
    security.init_app(app)
    context.init_app(app)
    icons.init_app(app)
    live.init_app(app)
    errors.init_app(app)
    for name in BLUEPRINTS:
        app.register_blueprint(import_module(name).blueprint)
    for name in security.CSRF_EXEMPT_BLUEPRINTS:
        if name in app.blueprints:
            security.csrf.exempt(app.blueprints[name])
