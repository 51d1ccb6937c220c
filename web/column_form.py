"""The form that maps columns: what each is used as, suggested, chosen, and read back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.column_suggestions import KNOWN_FIELDS, suggestions
from domain.recipient_files import Layout, looks_like_address
from domain.variable_names import variable_name
from services.column_choices import Choice
from services.file_looks import FileLook

EMAIL, LEAVE, OWN, VARIABLE = "email", "leave", "own", "var:"
_FEW = 12


@dataclass(slots=True)
class Column:
    """One row of the form. `use` is what the select sends; `own` the name a person writes."""

    at: int
    header: str
    samples: str
    facts: str
    remark: str
    use: str
    natural: str
    own: str = ""

    @property
    def name(self) -> str | None:
        """The variable it becomes; None = left out, or the address."""
        if self.use == OWN:
            return variable_name(self.own, ())
        return self.use.removeprefix(VARIABLE) if self.use.startswith(VARIABLE) else None


@dataclass(slots=True)
class Mapping:
    """All columns of a file, and the variables that its mail needs."""

    columns: list[Column]
    wanted: Sequence[str]
    others: Sequence[str] = ()  # further names to choose: of the mail and of the campaign
    usual: Sequence[str] = field(default=KNOWN_FIELDS)

    @classmethod
    def suggested(
        cls,
        seen: FileLook,
        layout: Layout,
        wanted: Sequence[str],
        variables: Sequence[str],
        known: Choice | None,
    ) -> Mapping:
        """From the header and the first rows, or as the same header was mapped before."""
        natural = {at: name for name, at in layout.variables}
        proposals = suggestions(layout, wanted)
        columns = []
        for at, header in enumerate(layout.headers):
            proposal = proposals.get(at)
            name = proposal.name if proposal else None
            own = natural.get(at) or name or variable_name(header or f"column {at + 1}", ())
            columns.append(
                Column(
                    at,
                    header or f"Column {at + 1}",
                    *_facts(seen, layout, at),
                    proposal.remark if proposal else "",
                    EMAIL if at == layout.email_column else f"{VARIABLE}{name}" if name else LEAVE,
                    own,
                )
            )
        others = dict.fromkeys([*wanted, *(name for name in variables if name not in wanted)])
        mapping = cls(columns, wanted, list(others))
        if known is not None and known.email_column < len(columns):
            mapping.choose(known)
        return mapping

    def choose(self, choice: Choice) -> None:
        """Set every column as it was chosen before."""
        for column in self.columns:
            if column.at == choice.email_column:
                column.use = EMAIL
            elif column.at in choice.names:
                name = choice.names[column.at]
                column.use = LEAVE if name is None else f"{VARIABLE}{name}"
            elif column.use == EMAIL:
                column.use = LEAVE

    def is_of(self, choice: Choice) -> bool:
        """Whether the form shows this choice."""
        return self.choice == choice

    @property
    def choice(self) -> Choice:
        """What the form says now; an email column of -1 where none is chosen."""
        email = next((one.at for one in self.columns if one.use == EMAIL), -1)
        return Choice(email, {one.at: one.name for one in self.columns if one.at != email})

    @property
    def names(self) -> list[str]:
        """The variables that the columns become."""
        return [name for one in self.columns if (name := one.name) is not None]

    @property
    def absent(self) -> list[str]:
        """Variables that the mail uses and no column gives."""
        return [name for name in self.wanted if name not in self.names]

    def options(self, column: Column) -> list[tuple[str, list[tuple[str, str]]]]:
        """The groups of the select of one column: (label, [(value, words)])."""
        first = list(dict.fromkeys([column.natural, *self._now(column)]))
        shown = set(first)
        groups = [("", [(EMAIL, "Email address"), (LEAVE, "Leave out"), *_as_options(first)])]
        for label, names in (("Of this campaign", self.others), ("Usual fields", self.usual)):
            more = [name for name in names if name not in shown]
            shown.update(more)
            if more:
                groups.append((label, _as_options(more)))
        return [*groups, ("Your own", [(OWN, "Another name …")])]

    def _now(self, column: Column) -> list[str]:
        return [column.use.removeprefix(VARIABLE)] if column.use.startswith(VARIABLE) else []

    def read(self, sent: Any) -> str | None:
        """Take over what a person chose; a sentence where it cannot be carried out."""
        for column in self.columns:
            use = str(sent.get(f"use-{column.at}", column.use))
            column.own = str(sent.get(f"own-{column.at}", "")).strip()[:100]
            if use in (EMAIL, LEAVE, OWN):
                column.use = use
            elif use.startswith(VARIABLE):
                column.use = VARIABLE + variable_name(use.removeprefix(VARIABLE), ())
        return self._fault()

    def _fault(self) -> str | None:
        emails = [one.header for one in self.columns if one.use == EMAIL]
        if not emails:
            return "Say which column holds the email addresses."
        if len(emails) > 1:
            return f"Only one column can be the email address; {_listed(emails)} are."
        for one in self.columns:
            if one.use == OWN and not one.own:
                return f"Write a name for the column “{one.header}”, or leave it out."
        by_name: dict[str, list[str]] = {}
        for one in self.columns:
            if one.name is not None:
                by_name.setdefault(one.name, []).append(one.header)
        for name, headers in by_name.items():
            if len(headers) > 1:
                return f"{_listed(headers)} cannot all be {{{{ {name} }}}}: give one another name."
        return None


def _as_options(names: Collection[str]) -> list[tuple[str, str]]:
    return [(f"{VARIABLE}{name}", f"{{{{ {name} }}}}") for name in names]


def _listed(headers: list[str]) -> str:
    quoted = [f"“{header}”" for header in headers[:4]]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _facts(seen: FileLook, layout: Layout, at: int) -> tuple[str, str]:
    """The first values of a column, and what can be said of them."""
    rows = [row for row in seen.rows if row.line > seen.header_line]
    cells = [cell.strip() for row in rows if at < len(row.cells) and (cell := row.cells[at])]
    filled = [cell for cell in cells if cell]
    different = list(dict.fromkeys(filled))
    facts = f"{len(filled):,} of {len(rows):,} filled"
    if not filled:
        return "", "empty so far"
    if at == layout.email_column:
        facts += f", {sum(map(looks_like_address, filled)):,} look valid"
    elif len(different) <= _FEW < len(filled):
        facts += ", all the same" if len(different) == 1 else f", {len(different)} different"
    return ", ".join(value[:60] for value in different[:4]), facts
