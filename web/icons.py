"""The icons: the part of Bootstrap-Flask's sprite that this product uses, cut out at start.

The package's sprite weighs 1.1 MB. Names are found by reading our own templates and views for
quoted words that are icons; `icon_url` refuses a name that is none, so that a typing error
shows in the first test that renders the page.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import flask_bootstrap
from flask import Blueprint, Flask, Response, current_app, url_for

_SPRITE = Path(flask_bootstrap.__file__).parent / "static/bootstrap5/icons/bootstrap-icons.svg"
_SYMBOL = re.compile(r'<symbol[^>]* viewBox="([^"]+)" id="([a-z0-9-]+)">(.*?)</symbol>', re.S)
_QUOTED = re.compile(r"""["']([a-z0-9]+(?:-[a-z0-9]+)*)["']""")

blueprint = Blueprint("icons", __name__)


@dataclass(frozen=True)
class Sprite:
    """The icons in use as one SVG document."""

    names: frozenset[str]
    svg: bytes
    version: str


@cache
def make_sprite(sources: tuple[Path, ...]) -> Sprite:
    """Cut the icons whose names stand quoted in `sources` out of the package's sprite."""
    known = {name: (box, body) for box, name, body in _SYMBOL.findall(_SPRITE.read_text("utf-8"))}
    wanted: set[str] = set()
    for source in sources:
        wanted.update(_QUOTED.findall(source.read_text("utf-8")))
    names = sorted(wanted & known.keys())
    symbols = "".join(
        f'<symbol viewBox="{known[name][0]}" id="{name}">{known[name][1]}</symbol>'
        for name in names
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{symbols}</svg>'.encode()
    return Sprite(frozenset(names), svg, hashlib.blake2b(svg, digest_size=6).hexdigest())


def init_app(app: Flask) -> None:
    """Make the sprite of this application and give templates `icon_url`."""
    root = Path(app.root_path)
    sources = [*(root / "templates").rglob("*.html"), *(root / "web").glob("*.py")]
    app.extensions["bes_icons"] = make_sprite(tuple(sorted(sources)))
    app.add_template_global(icon_url, "icon_url")
    app.register_blueprint(blueprint)


def icon_url(name: str) -> str:
    """Where an icon lives; KeyError for a name that the package does not have."""
    sprite: Sprite = current_app.extensions["bes_icons"]
    if name not in sprite.names:
        raise KeyError(f"no icon is called {name!r}")
    return f"{url_for('icons.sprite', v=sprite.version)}#{name}"


@blueprint.get("/icons.svg")
def sprite() -> Response:
    """The icons in use; the address changes with the content, so it is kept for a year."""
    response = Response(current_app.extensions["bes_icons"].svg, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
