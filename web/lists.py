"""Lists: all of them, one with its members, people added, taken off and uploaded."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse
from wtforms import StringField
from wtforms.validators import DataRequired

from audience_models import ContactList
from database import writing
from domain.statuses import JobKind, JobStatus, MemberStatus
from models import Job
from services import (
    exports,
    job_queue,
    list_imports,
    list_members,
    lists,
    recipients,
    signup_forms,
)
from services.campaigns import Refused
from web import once
from web.contacts import FieldsForm
from web.context import now
from web.database import session, wiring
from web.exports import download
from web.file_uploads import LARGEST, FileForm, can_go_on, go_on, take
from web.formatting import count, number
from web.input import at_most, row_number
from web.live import live_response

blueprint = Blueprint("lists", __name__, url_prefix="/lists")
_RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)


class ListForm(FlaskForm):
    """What a list is called."""

    name = StringField("List name", validators=[DataRequired("Give the list a name.")])
    description = StringField("What it is for", validators=[at_most(500)])


class PersonForm(FieldsForm):
    """One person, added by hand."""

    email = StringField("Email address", validators=[DataRequired("Write the address.")])


@blueprint.get("/")
def index() -> str:
    """All lists."""
    return render_template("lists/index.html", lists=lists.all_lists(session()))


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> str | tuple[str, int] | AnyResponse:
    """Make a list."""
    form = ListForm()
    if form.validate_on_submit():
        try:
            with writing(session()) as db:
                page = once.take(db, request.form.get("once"), now())
                if page is None:
                    name, about = form.name.data, form.description.data or ""
                    made = lists.create_list(db, name, about, now(), current_user.email)
                    page = url_for(".show", list_id=made.id)
                    once.keep(db, request.form.get("once"), page)
            return redirect(page, code=303)
        except Refused as refusal:
            form.name.errors = [str(refusal)]
    return render_template("lists/edit.html", form=form, found=None), 400 if form.errors else 200


@blueprint.route("/<int:list_id>/edit", methods=["GET", "POST"])
def edit(list_id: int) -> str | tuple[str, int] | AnyResponse:
    """Rename a list."""
    found = lists.get_list(session(), list_id)
    form = ListForm(obj=found)
    if form.validate_on_submit():
        try:
            with writing(session()) as db:
                about = form.description.data or ""
                lists.rename_list(db, list_id, form.name.data, about, now())
            return redirect(url_for(".show", list_id=list_id), code=303)
        except Refused as refusal:
            form.name.errors = [str(refusal)]
            found = lists.get_list(session(), list_id)
    return render_template("lists/edit.html", form=form, found=found), 400 if form.errors else 200


@blueprint.get("/<int:list_id>")
def show(list_id: int) -> str:
    """One list with a page of its members."""
    found = lists.get_list(session(), list_id)
    query = request.args.get("q", "").strip()[:320]
    asked = request.args.get("state", "")
    status = MemberStatus(asked) if asked in list(MemberStatus) else None
    page = lists.member_page(
        session(), list_id, status=status, text=query,
        after=_id("after"), before=_id("before"),
    )  # fmt: skip
    here: dict[str, Any] = {"list_id": list_id, "q": query or None, "state": asked or None}
    shown = number(len(page.rows))
    return render_template(
        "lists/show.html",
        found=found,
        signup=signup_forms.form_of(session(), list_id),
        rows=page.rows,
        query=query,
        chosen=status,
        statuses=list(MemberStatus),
        position=f"{shown} that match" if query or status else f"{shown} shown",
        newer=url_for(".show", before=page.before, **here) if page.before else None,
        older=url_for(".show", after=page.after, **here) if page.after else None,
    )


def _id(name: str) -> int | None:
    found = request.args.get(name, type=row_number)
    return found or None


@blueprint.route("/<int:list_id>/add", methods=["GET", "POST"])
def add(list_id: int) -> str | tuple[str, int] | AnyResponse:
    """Add one person by hand."""
    found = lists.get_list(session(), list_id)
    form = PersonForm()
    if form.validate_on_submit():
        try:
            with writing(session()) as db:
                is_new = list_members.add_one(
                    db, list_id, form.email.data, form.named_values(), now()
                )
            flash(f"{form.email.data.strip()} {'added' if is_new else 'was on the list already'}.")
            return redirect(url_for(".show", list_id=list_id), code=303)
        except Refused as refusal:
            form.email.errors = [str(refusal)]
            found = lists.get_list(session(), list_id)
    return render_template("lists/add.html", form=form, found=found), 400 if form.errors else 200


@blueprint.post("/<int:list_id>/remove")
def remove(list_id: int) -> AnyResponse:
    """Take chosen members off the list; they can be put back, so nothing is asked."""
    ids = request.form.getlist("id", type=row_number)[: 10 * lists.PAGE_SIZE]
    with writing(session()) as db:
        gone = list_members.remove(db, list_id, ids, now())
    if gone:
        flash(f"{count(gone, 'person', 'people')} taken off the list.")
    else:
        flash("Choose at least one person who is subscribed.", "error")
    return redirect(url_for(".show", list_id=list_id), code=303)


@blueprint.route("/<int:list_id>/delete", methods=["GET", "POST"])
def delete(list_id: int) -> str | AnyResponse:
    """Delete a list, after a page that says what that means."""
    found = lists.get_list(session(), list_id)
    if request.method == "GET":
        sentence = (
            "The people stay as contacts, with their history, and campaigns that were sent keep "
            "their recipients. Who unsubscribed from this list alone is no longer remembered."
        )
        return _confirm(found, f"Delete the list {found.name}?", sentence, "Delete the list")
    name = found.name
    session().rollback()
    lists.delete_list(wiring().sessions, list_id)
    flash(f"The list {name} is deleted.")
    return redirect(url_for(".index"), code=303)


def _confirm(found: ContactList, title: str, sentence: str, deed: str) -> str:
    return render_template(
        "lists/confirm.html", found=found, title=title, sentence=sentence, deed=deed,
        action=request.path, back=url_for(".show", list_id=found.id),
    )  # fmt: skip


@blueprint.route("/<int:list_id>/upload", methods=["GET", "POST"])
def upload(list_id: int) -> str | tuple[str, int] | AnyResponse:
    """Take a file and queue its import into the list."""
    found = lists.get_list(session(), list_id)
    form = FileForm()

    def queue(db: Session, upload_id: int, name: str) -> str:
        by = current_user.email
        job = list_imports.enqueue_import(db, list_id, upload_id, name, by, now())
        return url_for(".show_import", list_id=list_id, job_id=job.id)

    if form.validate_on_submit():
        try:
            return redirect(take(form, None, queue), code=303)
        except Refused as refusal:
            form.file.errors = [str(refusal)]
            found = lists.get_list(session(), list_id)
    page = render_template(
        "lists/upload.html", found=found, form=form, largest=LARGEST,
        jobs=list_imports.imports_of(session(), list_id),
    )  # fmt: skip
    return page, 400 if form.errors else 200


@blueprint.get("/<int:list_id>/imports/<int:job_id>")
def show_import(list_id: int, job_id: int) -> str:
    """An import into the list: its progress, then its answer."""
    return render_template("lists/import.html", **_import(list_id, job_id))


@blueprint.get("/<int:list_id>/imports/<int:job_id>/progress")
def import_progress(list_id: int, job_id: int) -> Response:
    """The part of that page which changes while it runs."""
    state = _import(list_id, job_id)
    return live_response(render_template("lists/_import.html", **state), int(state["running"]))


def _job(list_id: int, job_id: int) -> Job:
    job = session().get(Job, job_id)
    mine = list_imports.list_of_job(session(), job_id) == list_id
    if job is None or not mine or job.kind is not JobKind.IMPORT:
        abort(404)
    return job


def _import(list_id: int, job_id: int) -> dict[str, Any]:
    job = _job(list_id, job_id)
    result = job.result or {}
    running = job.status in _RUNNING
    undone = "undone" in result
    finished = not running and not undone and "rows" in result
    return {
        "found": lists.get_list(session(), list_id),
        "job": job,
        "filename": str(job.parameters.get("filename") or f"upload {job.id}"),
        "running": running,
        "failed": job.status is JobStatus.FAILED or undone,
        "undone": undone,
        "can_go_on": can_go_on(job),
        "report": recipients.report(session(), job_id) if finished else None,
    }


@blueprint.get("/<int:list_id>/imports/<int:job_id>/rejects")
def rejects(list_id: int, job_id: int) -> Response:
    """The refused rows with the reason, to be mended and uploaded again."""
    job = _job(list_id, job_id)
    return download(exports.refused_rows(wiring().sessions, job.id), f"refused rows {job.id}")


@blueprint.post("/<int:list_id>/imports/<int:job_id>/stop")
def stop(list_id: int, job_id: int) -> AnyResponse:
    """Stop an import; what it added so far stays, and can be undone."""
    job = _job(list_id, job_id)
    with writing(session()) as db:
        job_queue.request_stop(db, job.id, now())
    return redirect(url_for(".show_import", list_id=list_id, job_id=job_id), code=303)


@blueprint.post("/<int:list_id>/imports/<int:job_id>/resume")
def resume(list_id: int, job_id: int) -> AnyResponse:
    """Take up a stopped import where it stopped."""
    go_on(_job(list_id, job_id))
    return redirect(url_for(".show_import", list_id=list_id, job_id=job_id), code=303)


@blueprint.route("/<int:list_id>/imports/<int:job_id>/undo", methods=["GET", "POST"])
def undo(list_id: int, job_id: int) -> str | AnyResponse:
    """Take back what one import added, after a page that says what that is."""
    _job(list_id, job_id)
    if request.method == "GET":
        found = lists.get_list(session(), list_id)
        sentence = (
            "Everybody whom this file added goes off the list again. Who was on it before stays."
        )
        return _confirm(found, "Undo this import?", sentence, "Undo this import")
    session().rollback()
    removed = list_imports.undo_import(wiring().sessions, job_id, now())
    flash(f"Undone: {count(removed, 'person', 'people')} taken off the list.")
    return redirect(url_for(".show", list_id=list_id), code=303)
