"""The web side's session: Flask-SQLAlchemy over the product's own Base and engine.

`app.extensions["bes"]` holds a Wiring; nothing here makes a second engine or a second metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from config import Settings
from models import Base


@dataclass(frozen=True)
class Wiring:
    """What an application was built from: settings, engine and the factory of sessions."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]


if TYPE_CHECKING:

    class _RequestSession(Session):
        """What `db.session` behaves like: a Session that can be called for the real one."""

        def __call__(self) -> Session:
            """The session of this request."""


class _Database(SQLAlchemy):
    """Flask-SQLAlchemy whose engine is the one of the application's wiring."""

    session: _RequestSession  # type: ignore[assignment]

    def _apply_driver_defaults(self, options: dict[str, Any], app: Flask) -> None:
        """Nothing: database.make_engine decides about drivers and pragmas."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        engine: Engine = app.extensions["bes"].engine
        return engine


db = _Database(model_class=Base, session_options={"expire_on_commit": False})


def connect(app: Flask) -> None:
    """Tie `db` to an application whose wiring is present."""
    app.config["SQLALCHEMY_DATABASE_URI"] = wiring(app).settings.database_url
    db.init_app(app)


def wiring(app: Flask | None = None) -> Wiring:
    """What the application was built from; the current one unless another is named."""
    found: Wiring = (app or current_app).extensions["bes"]
    return found


def settings() -> Settings:
    """The settings of the current application."""
    return wiring().settings


def session() -> Session:
    """The session of this request, with its real type; ended when the request ends."""
    return db.session()
