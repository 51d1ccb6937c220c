"""What protects every page: response headers, the login guard and CSRF protection.

Whatever has no entry in PUBLIC_ENDPOINTS needs a signed-in person; a test walks all routes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, abort, request
from flask_login import LoginManager, current_user
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response as AnyResponse

from web.input import refuse_unstorable

#: Everything that may be reached without signing in. Static files and icons are our own code.
PUBLIC_ENDPOINTS = frozenset(
    {
        "static",
        "bootstrap.static",
        "icons.sprite",
        "auth.login",
        "auth.setup",
        "public.unsubscribe",
        "public.undo",
        "public.reason",
        "signup.form",
        "signup.confirm",
        "signup.leave",
        "health.healthz",
        "health.readyz",
        "health.metrics",  # guarded by its own token
    }
)

#: Posts that carry their own proof: signed unsubscribe tokens (RFC 8058) and links
#: of sign-ups. The sign-up form itself may stand on any site: it needs the stamp of our own page.
CSRF_EXEMPT_BLUEPRINTS = ("public", "signup")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "frame-ancestors 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)

csrf = CSRFProtect()
login_manager = LoginManager()


def init_app(app: Flask) -> None:
    """Put the guard before and the headers after every request."""
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)  # as long as the session lasts
    login_manager.init_app(app)
    app.before_request(require_login)  # before CSRF: a stranger is asked to sign in, not refused
    csrf.init_app(app)
    app.before_request(refuse_unstorable)
    app.after_request(add_headers)


def require_login() -> AnyResponse | None:
    """Send strangers to the sign-in page; a live update gets 401, so that its script stops."""
    if request.endpoint is None or request.endpoint in PUBLIC_ENDPOINTS:
        return None
    if current_user.is_authenticated:
        return None
    if request.headers.get("X-Live"):
        abort(401)
    answer: AnyResponse = login_manager.unauthorized()  # web.auth shows how to sign in
    return answer


def add_headers(response: Response) -> Response:
    """The same headers on every answer; a view that set its own policy keeps it."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "SAMEORIGIN")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint in ("static", "bootstrap.static"):
        if "v" in request.args:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        headers.setdefault("Cache-Control", "no-store")
    return response


def local_path(target: str | None, fallback: str) -> str:
    """A path of this site to go back to; anything that names a host becomes `fallback`."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return fallback
    if any(ord(character) < 32 for character in target):
        return fallback
    parts = urlsplit(target)
    return fallback if parts.scheme or parts.netloc else target
