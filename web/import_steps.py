"""The steps between an upload and its import: look at the file, map its columns, try the import.

What was chosen travels in the address and in the job, so that every step can be reloaded, shared
and left, and works without scripts.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.file_problems import FileProblem
from domain.statuses import JobKind
from domain.text_tables import DELIMITERS
from models import Job
from services import column_choices, file_looks, job_queue
from services.campaigns import EDITABLE, get_campaign
from services.dry_runs import variables_used
from services.file_looks import FileLook
from services.recipients import ImportOptions
from web import column_form, once
from web.context import now
from web.database import session, wiring
from web.input import row_number

blueprint = Blueprint(
    "import_steps", __name__, url_prefix="/campaigns/<int:campaign_id>/recipients"
)
#: Encodings to choose from, by Python's name for them.
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16 (little endian)",
    "utf-16-be": "UTF-16 (big endian)",
    "cp1252": "Western (Windows-1252)",
    "iso8859-15": "Western (ISO 8859-15)",
    "mac_roman": "Western (Mac)",
    "cp1250": "Central European (Windows-1250)",
    "iso8859_2": "Central European (ISO 8859-2)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek (Windows-1253)",
    "iso8859_7": "Greek (ISO 8859-7)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC)",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "cp949": "Korean (Windows-949)",
}
_SIGNS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Vertical bar"}
_SAME = {"utf-8-sig": "utf-8", "utf_8": "utf-8", "utf-16": "utf-16", "ascii": "utf-8"}


@blueprint.route("/files/<int:upload_id>", methods=["GET", "POST"])
def look(campaign_id: int, upload_id: int) -> str | tuple[str, int] | AnyResponse:
    """How the file reads; each part can be changed and read again."""
    if (closed := _closed(campaign_id)) is not None:
        return closed
    if request.method == "POST":
        chosen = _reading(request.form)
        if request.form.get("do") == "import":
            return _start(JobKind.IMPORT, campaign_id, upload_id, _options(chosen))
        step = ".columns" if request.form.get("do") == "columns" else ".look"
        return redirect(
            url_for(step, campaign_id=campaign_id, upload_id=upload_id, **chosen), code=303
        )
    try:
        seen = _look(campaign_id, upload_id, _options(request.args))
    except FileProblem as problem:
        return _unreadable(campaign_id, str(problem)), 400
    return render_template(
        "imports/look.html",
        campaign=get_campaign(session(), campaign_id),
        look=seen,
        encodings=ENCODINGS,
        signs=_SIGNS,
        chosen=_reading(request.args),
        seen=signature(_reading(request.args)),
        encoding_word=encoding_word(seen),
    )


@blueprint.route("/files/<int:upload_id>/columns", methods=["GET", "POST"])
def columns(campaign_id: int, upload_id: int) -> str | tuple[str, int] | AnyResponse:
    """What each column is for; then the dry run, or the import at once."""
    if (closed := _closed(campaign_id)) is not None:
        return closed
    campaign = get_campaign(session(), campaign_id)
    reading = _reading(request.args)
    try:
        seen = _look(campaign_id, upload_id, _options(reading))
    except FileProblem as problem:
        return _unreadable(campaign_id, str(problem)), 400
    if seen.layout is None:
        return redirect(
            url_for(".look", campaign_id=campaign_id, upload_id=upload_id, **reading), code=303
        )
    wanted = variables_used(campaign)
    known = column_choices.recall(session(), seen.layout.headers)
    mapping = column_form.Mapping.suggested(seen, seen.layout, wanted, campaign.variables, known)
    if (earlier := _earlier(campaign_id, upload_id)) is not None:
        mapping.choose(earlier)
    error = None
    if request.method == "POST":
        error = mapping.read(request.form)
        if error is None:
            kind = JobKind.IMPORT if request.form.get("do") == "import" else JobKind.DRY_RUN
            options = _options(reading, mapping.choice)
            return _start(kind, campaign_id, upload_id, options, seen.layout.headers)
    page = render_template(
        "imports/columns.html",
        campaign=campaign,
        look=seen,
        mapping=mapping,
        remembered=known is not None and mapping.is_of(known),
        reading=reading,
        error=error,
        signs=_SIGNS,
        encoding_word=encoding_word(seen),
    )
    return page, 400 if error else 200


@blueprint.post("/imports/<int:job_id>/import")
def carry_out(campaign_id: int, job_id: int) -> AnyResponse:
    """Import what a dry run has tried, read and mapped in the same way."""
    tried = session().get(Job, job_id)
    if tried is None or tried.campaign_id != campaign_id or tried.kind is not JobKind.DRY_RUN:
        abort(404)
    options = ImportOptions.from_parameters(tried.parameters)
    return _start(JobKind.IMPORT, campaign_id, tried.upload_id or 0, options)


def _start(
    kind: JobKind,
    campaign_id: int,
    upload_id: int,
    options: ImportOptions,
    headers: tuple[str, ...] = (),
) -> AnyResponse:
    """Queue a job for the file and lead to its page."""
    key = request.form.get("once")
    session().rollback()
    filename = file_looks.kept_file(session(), campaign_id, upload_id).filename
    with writing(session()) as db:
        page = once.take(db, key, now())
        if page is None:
            choice = options.email_column
            if headers and choice is not None:
                column_choices.remember(
                    db, headers, column_choices.Choice(choice, options.names), now()
                )
            parameters = {"filename": filename, **options.as_parameters()}
            job = job_queue.enqueue(
                db, kind, campaign_id, upload_id, parameters, current_user.email, now()
            )
            page = url_for("imports.show", campaign_id=campaign_id, job_id=job.id)
            once.keep(db, key, page)
    return redirect(page, code=303)


def _look(campaign_id: int, upload_id: int, options: ImportOptions) -> FileLook:
    session().rollback()  # a large workbook takes a second: no transaction is open meanwhile
    return file_looks.look_at(wiring().sessions, campaign_id, upload_id, options)


def _closed(campaign_id: int) -> AnyResponse | None:
    if get_campaign(session(), campaign_id).status in EDITABLE:
        return None
    flash("This campaign has been launched: nobody can be added to it.", "error")
    return redirect(url_for("campaigns.show", campaign_id=campaign_id), code=303)


def _unreadable(campaign_id: int, sentence: str) -> str:
    return render_template(
        "imports/unreadable.html",
        campaign=get_campaign(session(), campaign_id),
        sentence=sentence,
    )


def _earlier(campaign_id: int, upload_id: int) -> column_choices.Choice | None:
    """The mapping of the dry run whose columns are to be changed."""
    job = session().get(Job, request.args.get("job", 0, type=row_number))
    if job is None or job.campaign_id != campaign_id or job.upload_id != upload_id:
        return None
    options = ImportOptions.from_parameters(job.parameters)
    if options.email_column is None:
        return None
    return column_choices.Choice(options.email_column, options.names)


def _reading(sent: Any) -> dict[str, Any]:
    """How the file is to be read, as far as a person changed it; for the address.

    A header row counts only for the reading it was chosen in: another sheet has other rows.
    """
    reading = {
        name: sent[name] for name in ("encoding", "delimiter", "sheet") if sent.get(name, "")
    }
    header = sent.get("header", "")
    if header.isdigit() and sent.get("seen", signature(reading)) == signature(reading):
        reading["header"] = header
    return reading


def signature(reading: dict[str, Any]) -> str:
    """A reading without its header row, as one word."""
    return "/".join(reading.get(name, "") for name in ("encoding", "delimiter", "sheet"))


def _options(reading: Any, choice: column_choices.Choice | None = None) -> ImportOptions:
    encoding, delimiter = reading.get("encoding"), reading.get("delimiter")
    header = str(reading.get("header", ""))
    return ImportOptions(
        encoding=encoding if encoding in ENCODINGS else None,
        delimiter=delimiter if delimiter in DELIMITERS else None,
        sheet=reading.get("sheet") or None,
        header_line=int(header) if header.isdigit() and len(header) < 9 else None,
        email_column=choice.email_column if choice else None,
        names=choice.names if choice else {},
    )


def encoding_word(seen: FileLook) -> str:
    """The encoding of a text file in words."""
    if seen.text is None:
        return ""
    name = _SAME.get(seen.text.encoding, seen.text.encoding)
    return ENCODINGS.get(name, name.upper().replace("_", "-"))
