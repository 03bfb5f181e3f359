"""The reports of the reports folder in short, each checked; what was read is kept while the file stays the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from robustrec import __version__
from robustrec.audits.checked import checked_report
from robustrec.digests import Stamp, file_stamp, is_settled, remembered
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.reading.names import short_names
from robustrec.results.report import JUDGEMENT_RULES
from robustrec.results.reports_folder import MAX_BYTES, report_files
from robustrec.subject import Record, Subject
from robustrec.untrusted import UnreadableError, parse_json, read_text

_FORMAT = 1
_SHOWN_NAME = 13


class ListedReport(Record):
    """A file of the reports folder in short.

    Attributes:
        name: file name without its ending.
        verdict: the verdict, checked against the findings; "" if the file cannot be read.
        reason: why.
        created: end of the run.
        dataset: name of the data set.
        edition: full or sample.
        digest: of the data.
        suite: name of the suite.
        subjects: what was audited.
        problem: why the file cannot be read, or is refused.
        other: whether it is the result of another command, such as a comparison.
    """

    name: str
    verdict: str = ""
    reason: str = ""
    created: AwareDatetime | None = None
    dataset: str = ""
    edition: str = ""
    digest: str = ""
    suite: str = ""
    subjects: tuple[Subject, ...] = ()
    problem: str = ""
    other: bool = False

    @property
    def names(self) -> list[str]:
        """Short names of the models and strategies, over the seeds."""
        first = [each.model_copy(update={"seed": 0}) for each in self.subjects]
        return list(dict.fromkeys(short_names(list(dict.fromkeys(first))).values()))


def listed_reports(home: Path, progress: Progress = silent) -> list[ListedReport]:
    """Return the files of the reports folder in short, the newest first.

    Args:
        home: the home folder.
        progress: reports each file.
    """
    files = report_files(home)
    found = []
    for place, path in enumerate(files):
        found.append(listed_report(path, home / "digests"))
        progress("reading reports", place + 1, len(files))
    return newest_first(found)


def newest_first(reports: Iterable[ListedReport]) -> list[ListedReport]:
    """Return reports by the end of their runs, the newest first; those that cannot be read last."""
    return sorted(reports, key=_order, reverse=True)


def _order(report: ListedReport) -> tuple[float, str]:
    return (report.created.timestamp() if report.created else -math.inf, report.name)


def listed_report(path: Path, cache: Path, *, keep: bool = True) -> ListedReport:
    """Return a file of the reports folder in short.

    Args:
        path: the file.
        cache: folder of what was read of files that are still the same.
        keep: whether to add to it.
    """
    stamps = [file_stamp(path), file_stamp(path.with_name(f"{path.stem}.users.npz"))]
    state: list[Stamp | str | int | None] = [*stamps, __version__, JUDGEMENT_RULES, _FORMAT]
    settled = keep and bool(stamps[0]) and all(is_settled(each) for each in stamps)
    content = remembered(cache, f"report {path}", state, lambda: _read(path).model_dump(mode="json"), settled=settled)
    try:
        return ListedReport.model_validate(content, strict=False)
    except ValidationError:  # somebody changed what was kept
        return _read(path)


def _read(path: Path) -> ListedReport:
    try:
        content = parse_json(read_text(path, most=MAX_BYTES))
        if isinstance(content, dict) and "findings" not in content:
            return ListedReport(name=path.stem, other=True)
        report = checked_report(path)
    except UnreadableError as error:
        return ListedReport(name=path.stem, problem=f"cannot be read: {error}")
    except RobustrecError as error:
        return ListedReport(name=path.stem, problem=error.what)
    return ListedReport(
        name=path.stem,
        verdict=report.verdict,
        reason=report.verdict_reason,
        created=report.created,
        dataset=report.dataset.name,
        edition=report.dataset.edition,
        digest=report.dataset.digest,
        suite=report.suite.name,
        subjects=tuple(each.subject for each in report.subjects),
    )


def shown_names(names: Sequence[str]) -> dict[str, str]:
    """Return for each name the shortest beginning that no other has, which ends after the minutes or later."""
    found = {}
    for name in names:
        for length in range(min(_SHOWN_NAME, len(name)), len(name) + 1):
            if sum(other.startswith(name[:length]) for other in names) <= 1:
                break
        found[name] = name[:length]
    return found


def when_text(moment: datetime | None) -> str:
    """Return a time to the minute, UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
