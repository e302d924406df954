"""Sections -> one HTML file, with styles and figures inside. Texts are escaped: what a run records is foreign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from marl_app.report.blocks import Section


class Part(NamedTuple):
    """The sections of the same key: one, or one of each of two runs; `columns` has the names of the runs, if two."""

    key: str
    title: str
    sections: Sequence[Section]
    columns: Sequence[str]


def render(title: str, subtitle: str, first: Sequence[Section], runs: Mapping[str, Sequence[Section]]) -> str:
    """Return the page. first: sections that stand before those of the runs. runs: name -> its sections."""
    names = list(runs) if len(runs) > 1 else []
    # 1. Group sections of the same key: first the common ones, then those of each run, next to each other.
    groups = [Part(section.key, section.title, [section], []) for section in first]
    taken = {section.key for section in first}
    for sections in zip(*runs.values(), strict=True):
        if sections[0].key not in taken:
            groups.append(Part(sections[0].key, sections[0].title, sections, names))
    # 2. Sections without records in any run are not shown; the page ends with a list of the reasons.
    parts = [part for part in groups if not all(section.absent for section in part.sections)]
    absent = [(part.title, _reasons(part)) for part in groups if part not in parts]
    # 3. Fill in the template. Names in a run are foreign text, so everything is escaped unless it is marked as safe.
    environment = Environment(
        loader=PackageLoader("marl_app.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("page.html.jinja")
    return page.render(title=title, subtitle=subtitle, parts=parts, absent=absent)


def _reasons(part: Part) -> str:
    """Return why a section is absent, once if it is so for the same reason in both runs."""
    reasons = dict.fromkeys(section.absent for section in part.sections)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{name}: {s.absent}" for name, s in zip(part.columns, part.sections, strict=True))
