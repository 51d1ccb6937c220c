"""Signing in and out, the first account, and the theme: what concerns the person who looks."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, flash, g, make_response, redirect, render_template, request, url_for
from flask import session as cookie
from flask.blueprints import BlueprintSetupState
from flask_login import UserMixin, current_user, login_user, logout_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import BooleanField, EmailField, HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired, EqualTo

from database import writing
from models import User
from services import users
from services.installation import drop_setup_token, is_setup_token
from web import resend
from web.context import THEMES, now
from web.database import session
from web.formatting import duration
from web.input import FORM_TYPE, at_most
from web.security import local_path, login_manager

blueprint = Blueprint("auth", __name__)
_WRONG = "Address and password do not belong together. Check both; capitals count in the password."
_YEAR = 365 * 24 * 3600


class SignedIn(UserMixin):
    """The person of a session: plain values, so that no page holds a database row."""

    def __init__(self, user: User) -> None:
        self.id = user.id
        self.email = user.email
        self.time_zone = user.time_zone
        self._session_key = user.session_key

    def get_id(self) -> str:
        """What the cookie carries: worthless once the session key was changed."""
        return f"{self.id}.{self._session_key}"


class LoginForm(FlaskForm):
    """The sign-in form."""

    email = EmailField("Email", validators=[DataRequired("Write your address."), at_most(320)])
    password = PasswordField("Password", validators=[DataRequired("Write your password.")])
    keep = BooleanField("Keep me signed in on this device for 14 days")
    kept = HiddenField()  # a form of ours whose session had ended, see web.resend


class SetupForm(FlaskForm):
    """The form for the first account."""

    token = StringField("One-time token", validators=[DataRequired("Copy it from the terminal.")])
    email = EmailField("Email", validators=[DataRequired("Write your address."), at_most(320)])
    password = PasswordField("Password", validators=[DataRequired("Choose a password.")])
    again = PasswordField(
        "Password again", validators=[EqualTo("password", "The two passwords differ.")]
    )


@blueprint.record_once
def _set_lifetime(state: BlueprintSetupState) -> None:
    state.app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(days=14)


@login_manager.user_loader
def load_user(identity: str) -> SignedIn | None:
    """The person a cookie names, unless their sessions were ended since."""
    number, _, key = identity.partition(".")
    user = session().get(User, int(number)) if number.isdigit() else None
    return SignedIn(user) if user and user.session_key == key else None


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> str | tuple[str, int] | Response:
    """The sign-in page; without any account it leads to the first-run page."""
    target = local_path(request.args.get("next"), url_for("dashboard.index"))
    if current_user.is_authenticated:
        return redirect(target, code=303)
    if not users.has_users(session()):
        return redirect(url_for("auth.setup"), code=303)
    form = LoginForm()
    if not form.validate_on_submit():
        return render_template("auth/login.html", form=form, problem="")
    problem = _sign_in(form)
    if problem:
        return render_template("auth/login.html", form=form, problem=problem), 401
    if kept := resend.unpacked(form.kept.data or ""):
        return resend.page(kept, "You are signed in again", "Nothing was changed yet.")
    return redirect(target, code=303)


@login_manager.unauthorized_handler
def ask_to_sign_in() -> Response:
    """Where a stranger is led: signing in comes first, and what they sent is kept meanwhile."""
    if kept := resend.from_request():
        form = LoginForm(formdata=None, kept=kept.packed())
        return make_response(render_template("auth/login.html", form=form, problem=""), 401)
    wanted = "/"
    if request.url_rule is not None and "GET" in (request.url_rule.methods or ()):
        wanted = request.full_path.rstrip("?")
    elif request.mimetype == FORM_TYPE:  # other bodies of strangers are not read
        wanted = local_path(request.form.get("back"), "/")
    return redirect(url_for("auth.login", next=None if wanted == "/" else wanted))


def _sign_in(form: LoginForm) -> str:
    """Sign the person in; a sentence when it was not possible."""
    email, password = form.email.data, form.password.data
    with writing(session()) as db:
        attempt = users.take_attempt(db, email, request.remote_addr or "-", now())
    if attempt.wait_seconds:
        return (
            "Too many attempts. For the account’s safety, wait "
            f"{duration(attempt.wait_seconds)} before the next one."
        )
    user = users.find_user(session(), email)
    known = user.password_hash if user else None
    session().rollback()  # hashing takes a while: no transaction stays open
    try:
        right = users.password_is_right(known, password)
    except users.TooManyAtOnce:
        return "Many people are signing in at this moment. Try again in a few seconds."
    if user is None or not right:
        return _WRONG
    with writing(session()) as db:
        fresh = db.get_one(User, user.id)
        users.note_success(db, fresh, attempt, now())
        person = SignedIn(fresh)
    enter(person, keep=form.keep.data)
    return ""


def enter(person: SignedIn, *, keep: bool) -> None:
    """Begin a session that shares nothing with the one before it (session fixation)."""
    cookie.clear()
    g.pop("csrf_token", None)  # the token of the session before it
    cookie.permanent = keep
    login_user(person)


@blueprint.route("/setup", methods=["GET", "POST"])
def setup() -> str | tuple[str, int] | Response:
    """The first account, guarded by the token that the start printed; gone once it exists."""
    if users.has_users(session()):
        return redirect(url_for("auth.login"), code=303)
    form = SetupForm(data={"token": request.args.get("token", "")})
    if not form.validate_on_submit():
        return render_template("auth/setup.html", form=form, problem="")
    email, password = form.email.data, form.password.data
    with writing(session()) as db:
        attempt = users.take_attempt(db, "setup", request.remote_addr or "-", now())
    if attempt.wait_seconds:
        problem = f"Too many attempts. Wait {duration(attempt.wait_seconds)} before the next one."
        return render_template("auth/setup.html", form=form, problem=problem), 401
    try:
        with writing(session()) as db:
            if not is_setup_token(db, form.token.data):
                raise users.UserProblem(
                    "This is not the token of the last start. Copy it from the terminal where "
                    "the server runs; a restart prints a new one."
                )
            user = users.create_first_user(db, email, password, now())
            drop_setup_token(db)
            person = SignedIn(user)
    except users.UserProblem as problem:
        return render_template("auth/setup.html", form=form, problem=str(problem)), 400
    enter(person, keep=False)
    flash("Your account is ready.")
    return redirect(url_for("dashboard.index"), code=303)


@blueprint.post("/logout")
def logout() -> Response:
    """Sign out everywhere: copies of the cookie stop working as well."""
    with writing(session()) as db:
        users.end_sessions(db, int(current_user.id))
    logout_user()
    cookie.clear()
    return redirect(url_for("auth.login"), code=303)


@blueprint.post("/theme/<theme>")
def set_theme(theme: str) -> Response:
    """Remember the theme in this browser and go back to where the person was."""
    back = local_path(request.form.get("back"), url_for("dashboard.index"))
    response = redirect(back, code=303)
    if theme in THEMES:
        response.set_cookie("theme", theme, max_age=_YEAR, samesite="Lax", httponly=True)
    return response
