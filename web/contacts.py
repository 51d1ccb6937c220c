"""Contacts: found by address, and everything about one of them; taken along, changed, erased."""

from __future__ import annotations

import json

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response as AnyResponse
from wtforms import Field, StringField, TextAreaField
from wtforms.validators import ValidationError

from database import writing
from services import contacts, erasure
from services.campaigns import Refused
from web.context import now
from web.database import session, wiring
from web.formatting import count
from web.input import at_most, row_number

blueprint = Blueprint("contacts", __name__, url_prefix="/contacts")


class FieldsForm(FlaskForm):
    """A person's fields, a line each, as `name: value`."""

    fields = TextAreaField("Fields", validators=[at_most(20_000)])

    def named_values(self) -> dict[str, str]:
        """The fields by the names of their variables; raises Refused for other lines."""
        return contacts.fields_of(self.fields.data or "")

    def validate_fields(self, _: Field) -> None:
        """What is wrong stands at the fields, not at another part of the form."""
        try:
            self.named_values()
        except Refused as refusal:
            raise ValidationError(str(refusal)) from refusal


class ContactForm(FieldsForm):
    """Fields and tags as a person writes them."""

    tags = StringField("Tags", validators=[at_most(2_000)])


@blueprint.get("/")
def index() -> str:
    """Contacts, newest first, or by the beginning of the address."""
    query = request.args.get("q", "")[:320].strip()
    before = request.args.get("before", type=row_number)
    rows, more = contacts.contact_page(session(), query, before=before)
    return render_template(
        "contacts/index.html",
        rows=rows,
        query=query,
        newer=url_for(".index", q=query or None) if before else None,
        older=url_for(".index", before=more, q=query or None) if more else None,
    )


@blueprint.post("/open")
def open_() -> AnyResponse:
    """Go to the page of an address, also of one that only campaigns know."""
    try:
        with writing(session()) as db:
            found = contacts.open_address(db, request.form.get("address", ""), now())
    except Refused as refusal:
        flash(str(refusal), "error")
        return redirect(url_for(".index"), code=303)
    return redirect(url_for(".show", contact_id=found.id), code=303)


@blueprint.get("/<int:contact_id>")
def show(contact_id: int) -> str:
    """Everything about one contact."""
    return render_template("contacts/show.html", told=contacts.story(session(), contact_id))


@blueprint.route("/<int:contact_id>/edit", methods=["GET", "POST"])
def edit(contact_id: int) -> str | tuple[str, int] | AnyResponse:
    """Change the fields and the tags."""
    told = contacts.story(session(), contact_id)
    lines = "\n".join(f"{name}: {value}" for name, value in told.variables.items())
    form = ContactForm(data={"fields": lines, "tags": ", ".join(told.tags)})
    if form.validate_on_submit():
        try:
            with writing(session()) as db:
                contacts.set_fields(db, contact_id, form.named_values(), now())
                contacts.set_tags(db, contact_id, (form.tags.data or "").split(","))
            flash("Saved.")
            return redirect(url_for(".show", contact_id=contact_id), code=303)
        except Refused as refusal:
            form.tags.errors = [str(refusal)]
            told = contacts.story(session(), contact_id)
    page = render_template(
        "contacts/edit.html", form=form, told=told, known=contacts.all_tags(session())
    )
    return page, 400 if form.errors else 200


@blueprint.get("/<int:contact_id>/export")
def export(contact_id: int) -> Response:
    """What is kept about the person, as JSON."""
    document = contacts.as_document(contacts.story(session(), contact_id))
    text = json.dumps(document, indent=2, ensure_ascii=False)
    response = Response(text, content_type="application/json; charset=utf-8")
    name = f"contact-{contact_id}-{now():%Y-%m-%d}.json"
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@blueprint.route("/<int:contact_id>/erase", methods=["GET", "POST"])
def erase(contact_id: int) -> str | AnyResponse:
    """Erase the person, after a page that says what goes and what stays."""
    if request.method == "GET":
        return render_template("contacts/erase.html", told=contacts.story(session(), contact_id))
    contacts.get_contact(session(), contact_id)
    session().rollback()
    keep_out = request.form.get("keep_out") == "yes"
    done = erasure.erase(wiring().sessions, contact_id, now(), keep_out=keep_out)
    flash(
        f"Erased: the contact, its address in {count(done.mails, 'mail')}, "
        f"the text of {count(done.events, 'event')}."
    )
    return redirect(url_for(".index"), code=303)
