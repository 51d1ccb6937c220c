"""The suppression list: look, search, add, remove; addresses, domains and wildcards alike."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse
from wtforms import Field, StringField, TextAreaField
from wtforms.validators import DataRequired, ValidationError

from database import writing
from domain.addresses import AddressProblem, ParsedAddress
from domain.statuses import SuppressionReason
from domain.suppression_files import entry_of
from domain.suppression_patterns import Pattern, parse_pattern
from models import Suppression
from services import suppression
from web.context import now
from web.database import session
from web.formatting import count, number
from web.input import at_most, row_number

blueprint = Blueprint("suppressions", __name__, url_prefix="/suppressions")
PAGE = 50
MOST_AT_ONCE = 10_000
_STEP = 40
_SAID_NO = {SuppressionReason.UNSUBSCRIBED, SuppressionReason.COMPLAINED}


class AddForm(FlaskForm):
    """Addresses as a person pastes them."""

    addresses = TextAreaField(
        "Addresses, domains, wildcards",
        validators=[DataRequired("Write at least one address or domain.")],
    )
    note = StringField("Why", validators=[at_most(200)])

    def validate_addresses(self, field: Field) -> None:
        """Every piece must be an address; the first faults are named with their text."""
        pieces = [piece for piece in re.split(r"[\s,;]+", field.data or "") if piece]
        if len(pieces) > MOST_AT_ONCE:
            raise ValidationError(f"These are {len(pieces):,} entries: add at most 10,000 at once.")
        found = [(piece, entry_of(piece)) for piece in pieces]
        faults = [
            f"“{piece[:100]}”: {fault}"
            for piece, fault in found
            if isinstance(fault, AddressProblem)
        ]
        if faults:
            rest = f" And {len(faults) - 5:,} more." if len(faults) > 5 else ""
            raise ValidationError(" ".join(faults[:5]) + rest)
        self.parsed = [one for _, one in found if not isinstance(one, AddressProblem)]


@blueprint.get("/")
def index() -> str:
    """The list, newest first, by reason and by the beginning of the address."""
    query = request.args.get("q", "")[:320].strip()
    reason = _reason(request.args.get("reason"))
    before = request.args.get("before", type=row_number)
    domains = request.args.get("show") == "domains"
    page = suppression.search(
        session(), query, reason=reason, only_patterns=domains, before=before, limit=PAGE
    )
    by_reason = suppression.count_by_reason(session())
    counts = [(known, by_reason.get(known, 0)) for known in SuppressionReason]
    total = sum(by_reason.values())
    here: dict[str, Any] = {
        "q": query or None,
        "reason": reason.value if reason else None,
        "show": "domains" if domains else None,
    }
    return render_template(
        "suppressions/index.html",
        rows=[(row, _pattern(row)) for row in page.rows],
        patterns=suppression.count_patterns(session()),
        domains=domains,
        counts=counts,
        total=total,
        query=query,
        reason=here["reason"],
        position=_position(len(page.rows), total, reason, by_reason, query or here["show"], before),
        newer=url_for(".index", **here) if before else None,
        older=url_for(".index", before=page.next_before, **here) if page.next_before else None,
    )


@blueprint.route("/add", methods=["GET", "POST"])
def add() -> str | tuple[str, int] | AnyResponse:
    """Put addresses on the list by hand."""
    form = AddForm()
    if not form.validate_on_submit():
        return render_template("suppressions/add.html", form=form), 400 if form.errors else 200
    added = _suppress(form.parsed, (form.note.data or "").strip() or None)
    known = len(form.parsed) - added
    said = f"{count(added, 'entry', 'entries')} added." if added else "Nothing had to be added."
    flash(said + (f" {number(known)} already on the list." if known else ""))
    return redirect(url_for(".index"), code=303)


def _suppress(entries: list[ParsedAddress | Pattern], note: str | None) -> int:
    """How many were new; in short steps, so that sending goes on between them."""
    source = f"Added by {current_user.email}"
    manual, added = SuppressionReason.MANUAL, 0
    for start in range(0, len(entries), _STEP):
        with writing(session()) as db:
            added += sum(
                suppression.suppress_pattern(db, one, manual, source, now(), note)
                if isinstance(one, Pattern)
                else suppression.suppress(db, one.address, manual, source, None, now(), note)
                for one in entries[start : start + _STEP]
            )
    return added


def _pattern(row: Suppression) -> Pattern | None:
    """The domain or wildcard that an entry is."""
    found = parse_pattern(row.address or "")
    return found if isinstance(found, Pattern) else None


@blueprint.post("/remove")
def remove() -> str | AnyResponse:
    """Take chosen addresses off the list, after a page that says what it means."""
    numbers = request.form.getlist("id", type=row_number)[: 10 * PAGE]
    rows = list(session().scalars(select(Suppression).where(Suppression.id.in_(numbers))))
    if not rows:
        flash("Choose at least one address first.", "error")
        return redirect(url_for(".index"), code=303)
    if request.form.get("confirmed") != "yes":
        said_no = sum(row.reason in _SAID_NO for row in rows)
        patterns = [found for row in rows if (found := _pattern(row))]
        return render_template(
            "suppressions/remove.html", rows=rows, said_no=said_no, patterns=patterns
        )
    with writing(session()) as db:
        for row in rows:
            suppression.withdraw(db, row.address_hash, row.reason)
    flash(f"{count(len(rows), 'entry', 'entries')} removed. Mail can reach them again.")
    return redirect(url_for(".index"), code=303)


def _reason(value: str | None) -> SuppressionReason | None:
    return SuppressionReason(value) if value in list(SuppressionReason) else None


def _position(
    shown: int,
    total: int,
    reason: SuppressionReason | None,
    by_reason: dict[SuppressionReason, int],
    query: str | None,
    before: int | None,
) -> str:
    word = "Older" if before else "Newest"
    if query:
        return f"{word} {number(shown)} that match"
    return f"{word} {number(shown)} of {number(by_reason.get(reason, 0) if reason else total)}"
