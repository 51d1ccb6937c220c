"""A list's public sign-up as its owner sets it up, with who signed up lately."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import BooleanField, StringField, TextAreaField
from wtforms.validators import DataRequired

from audience_models import SignupForm
from database import writing
from domain.rendering import TemplateProblem
from domain.signup_mail import NAMES
from services import lists, signup_forms
from services.campaigns import Refused
from services.signup_forms import Words
from services.signups import KEPT_UNCONFIRMED
from web.context import now
from web.database import session, settings
from web.input import at_most
from web.test_mails import STATES
from web.wording import Wording

blueprint = Blueprint("signup_settings", __name__, url_prefix="/lists/<int:list_id>/signup")
_SAID = {
    **STATES,
    "withheld": Wording("Not mailed", "person-x", "st-skipped", "The address is suppressed."),
}


class SettingsForm(FlaskForm):
    """Everything about the public form and its mail."""

    is_open = BooleanField("People can sign up")
    title = StringField("Title", validators=[DataRequired("Give the form a title."), at_most(200)])
    sentence = TextAreaField("Sentence below it", validators=[at_most(1000)])
    consent = TextAreaField(
        "What people agree to",
        validators=[DataRequired("Say what people agree to."), at_most(1000)],
    )
    fields = TextAreaField("Fields beside the address", validators=[at_most(500)])
    subject = StringField("Subject of the mail", validators=[DataRequired("Write a subject.")])
    text = TextAreaField("Text of the mail", validators=[DataRequired("Write the mail.")])


@blueprint.route("/", methods=["GET", "POST"])
def edit(list_id: int) -> str | tuple[str, int] | Response:
    """The settings; opening is refused where the link in the mail could not work."""
    found = lists.get_list(session(), list_id)
    saved = signup_forms.form_of(session(), list_id)
    words = _words(saved) if saved else signup_forms.default_words(found, settings().sender_name)
    form = SettingsForm(
        data={
            "is_open": saved.is_open if saved else False,
            "title": words.title,
            "sentence": words.sentence,
            "consent": words.consent,
            "fields": "\n".join(words.fields),
            "subject": words.subject,
            "text": words.text,
        }
    )
    if form.validate_on_submit() and _save(list_id, form):
        flash("Saved.")
        return redirect(url_for(".edit", list_id=list_id), code=303)
    page = _show(list_id, form)
    return page, 400 if form.errors else 200


def _save(list_id: int, form: SettingsForm) -> bool:
    given = form.data
    words = Words(
        given["title"], given["sentence"] or "", given["consent"],
        (given["fields"] or "").splitlines(), given["subject"],
        given["text"].replace("\r\n", "\n"),
    )  # fmt: skip
    try:
        with writing(session()) as db:
            signup_forms.save(
                db, list_id, words, is_open=given["is_open"], settings=settings(), now=now()
            )
    except TemplateProblem as problem:
        is_subject = problem.part == form.subject.label.text
        (form.subject if is_subject else form.text).errors = [str(problem)]
        return False
    except Refused as refusal:
        form.form_errors.append(str(refusal))
        return False
    return True


def _show(list_id: int, form: SettingsForm) -> str:
    saved = signup_forms.form_of(session(), list_id)
    return render_template(
        "signup/settings.html",
        found=lists.get_list(session(), list_id),
        form=form,
        saved=saved,
        link=f"{settings().base_url}{url_for('signup.form', public_id=saved.public_id)}"
        if saved
        else "",
        fields=signup_forms.fields_of(saved) if saved else [],
        problems=signup_forms.problems(settings()),
        signups=signup_forms.latest(session(), list_id),
        said=_SAID,
        names=NAMES,
        kept_days=KEPT_UNCONFIRMED.days,
        most_fields=signup_forms.MOST_FIELDS,
    )


def _words(saved: SignupForm) -> Words:
    labels = [str(label) for label in saved.fields]
    return Words(
        saved.title, saved.sentence, saved.consent, labels, saved.subject, saved.text
    )  # fmt: skip
