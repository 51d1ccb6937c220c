"""The account of the person who looks: another password for it."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask import session as cookie
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import PasswordField
from wtforms.validators import DataRequired, EqualTo

from database import writing
from models import User
from services import users
from web.auth import SignedIn, enter
from web.context import now
from web.database import session
from web.formatting import duration

blueprint = Blueprint("account", __name__, url_prefix="/account")
_BUSY = "Many people are signing in at this moment. Try again in a few seconds."


class PasswordForm(FlaskForm):
    """The form for another password."""

    present = PasswordField(
        "Present password", validators=[DataRequired("Write the password you have now.")]
    )
    password = PasswordField("New password", validators=[DataRequired("Choose a password.")])
    again = PasswordField(
        "New password again", validators=[EqualTo("password", "The two new passwords differ.")]
    )


@blueprint.route("/password", methods=["GET", "POST"])
def password() -> tuple[str, int] | Response:
    """Change the own password; every other session of this person ends."""
    form = PasswordForm()
    problem, code = "", 200
    if form.is_submitted():
        problem, code = (_change(form), 400) if form.validate() else ("", 400)
        if not problem and not form.errors:
            flash("Your password is changed. You are signed out everywhere else.")
            return redirect(url_for("account.password"), code=303)
    return render_template("auth/password.html", form=form, problem=problem), code


def _change(form: PasswordForm) -> str:
    """Store the new password and begin a new session; a sentence when it was not possible."""
    with writing(session()) as db:
        attempt = users.take_attempt(db, current_user.email, request.remote_addr or "-", now())
    if attempt.wait_seconds:
        return f"Too many attempts. Wait {duration(attempt.wait_seconds)} before the next one."
    user = session().get_one(User, int(current_user.id))
    known = user.password_hash
    session().rollback()  # hashing takes a while: no transaction stays open
    try:
        if not users.password_is_right(known, form.present.data):
            form.present.errors = ["This is not your present password. Capitals count."]
            return ""
        fresh = users.hash_new(form.password.data)
        with writing(session()) as db:
            changed = users.replace_hash(db, int(current_user.id), known, fresh)
            users.note_success(db, changed, attempt, now())
            person = SignedIn(changed)
    except users.TooManyAtOnce:
        return _BUSY
    except users.UserProblem as weak:
        form.password.errors = [str(weak)]
        return ""
    enter(person, keep=cookie.permanent)
    return ""
