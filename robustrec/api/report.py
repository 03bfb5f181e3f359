"""The report of an audit, for Python and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from robustrec.errors import RobustrecError
from robustrec.report.forms.findings_table import arrow_table
from robustrec.report.forms.notebook import notebook_html
from robustrec.report.forms.outputs import Output, write_outputs
from robustrec.results.report import Report as StoredReport
from robustrec.results.report import write_report

if TYPE_CHECKING:
    import pandas
    import pyarrow


class Report(StoredReport):
    """The report of one audit: verdict, gates, findings and their provenance.

    `findings` are rows of one shape, and `to_frame` has them as a table. In a notebook, it is shown as verdict, gates
    and main results.
    """

    _arrays: bytes | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, report: StoredReport, arrays: bytes | None = None) -> Report:
        """Return a report with the per-user arrays of its run, the bytes of an npz file."""
        found = cls.model_construct(**dict(report))
        found._arrays = arrays
        return found

    @property
    def passed(self) -> bool:
        """Whether the verdict is pass."""
        return self.verdict == "pass"

    def to_arrow(self) -> pyarrow.Table:
        """Return the findings as a pyarrow table, with the provenance as metadata.

        Raises:
            RobustrecError: pyarrow is not installed.
        """
        return arrow_table(self)

    def to_frame(self) -> pandas.DataFrame:
        """Return the findings as a pandas data frame, one row per finding, with unrounded numbers.

        Raises:
            RobustrecError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise RobustrecError(
                "to_frame needs pandas, but pandas is not installed",
                where="Report.to_frame",
                fix="pip install pandas, or use to_arrow() or findings",
            ) from error
        from robustrec.report.forms.findings_table import COLUMNS, values_of

        return pandas.DataFrame([values_of(finding) for finding in self.findings], columns=list(COLUMNS))

    def save(self, path: Path | str) -> Report:
        """Write the report as JSON, or in the format of another ending: .html, .md, .csv, .parquet or .xml (JUnit).

        A JSON file gets the per-user arrays beside it, which comparisons need.

        Raises:
            RobustrecError: the file cannot be written, or its ending names no format.
        """
        target = Path(path)
        form = _FORMS.get(target.suffix.lower())
        if form is None:
            raise RobustrecError(
                f"{target.suffix!r} is not the ending of a report format",
                where=f"Report.save, {target}",
                fix=f"use {', '.join(_FORMS)}",
            )
        if form == "json":
            return self.save_json(target)
        write_outputs(self, [Output(form, target)])
        return self

    def save_json(self, path: Path | str) -> Report:
        """Write the report as JSON whatever its ending is, with the per-user arrays beside it; see `save`."""
        if self._arrays is None:
            write_report(self, Path(path))
            return self
        from robustrec.audits.outcome import write_outcome

        return Report.of(write_outcome(self, self._arrays, Path(path)), self._arrays)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    def __repr__(self) -> str:
        return f"<Report {self.verdict}: {self.verdict_reason} ({len(self.findings)} findings)>"

    def __str__(self) -> str:
        return repr(self)


_FORMS: dict[str, Any] = {
    ".json": "json",
    ".html": "html",
    ".md": "markdown",
    ".csv": "csv",
    ".parquet": "parquet",
    ".xml": "junit",
}
