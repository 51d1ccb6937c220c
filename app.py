"""Wiring of the web application: settings, database, extensions, blueprints and commands.

No routes and no logic live here. Nothing here touches AWS or starts a thread: the scheduler
is a process of its own, started by whoever serves the application (see supervisor.py).
"""

from __future__ import annotations

import click
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

import commands
import sns_handler
import supervisor
import web
from config import ROOT, ConfigError, Settings, load_settings
from database import make_engine, make_sessions
from web.database import Wiring

#: The largest request body, in bytes; uploads have a limit of their own, see services.uploads.
MAX_BODY_BYTES = 2 * 1024**3


def create_app(settings: Settings | None = None) -> Flask:
    """The application over the given settings, or over those of the environment.

    Raises config.ConfigError when the environment cannot be used.
    """
    settings = settings or _settings()
    app = Flask("app", root_path=str(ROOT), instance_path=str(settings.instance_dir))
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=8 * 1024**2,  # a mail of 1 MB in HTML and text, percent-coded
        SESSION_COOKIE_NAME="bes_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_base_url.startswith("https://"),
        TEMPLATES_AUTO_RELOAD=settings.flask_env == "development",
    )
    if settings.trusted_proxies:
        hops = settings.trusted_proxies  # the Host header stays what the proxy sends
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    engine = make_engine(settings.database_url)
    app.extensions["bes"] = Wiring(settings, engine, make_sessions(engine))
    web.init_app(app)
    sns_handler.init_app(app)
    commands.register(app)
    supervisor.follow_flask_run(settings)
    return app


def _settings() -> Settings:
    """The environment's settings; the flask command shows what is wrong without a traceback."""
    try:
        return load_settings()
    except ConfigError as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(str(error)) from error
