"""A mail's HTML as a document of its own, to be shown in a sandboxed frame.

Mails are written with inline styles and remote pictures, so this answer has its own policy:
no script, no form, no navigation; styles and pictures only.
"""

from __future__ import annotations

from flask import Response, render_template

from services.previews import Preview

#: `sandbox` holds even if the address is opened outside the frame. allow-same-origin lets our
#: own page keep the place while one types; without allow-scripts nothing inside can use it.
POLICY = "; ".join(
    (
        "sandbox allow-same-origin",
        "default-src 'none'",
        "style-src 'unsafe-inline' https: http:",
        "img-src data: https: http:",
        "font-src data: https: http:",
        "frame-ancestors 'self'",
        "form-action 'none'",
        "base-uri 'none'",
    )
)


def mail_frame(mail: Preview) -> Response:
    """The answer for a frame: the mail, or in its place why it cannot be made."""
    shown = mail.html
    if mail.problem is not None or not shown.strip():
        shown = render_template("previews/instead.html", mail=mail)
    response = Response(shown, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
