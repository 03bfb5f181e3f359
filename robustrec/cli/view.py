"""`robustrec view`: the reports folder as a local page."""

from __future__ import annotations

import errno
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli import options
from robustrec.cli.descriptions import home_of
from robustrec.cli.terminal import say
from robustrec.errors import RobustrecError
from robustrec.streams import flush_stdout, write_text


def view(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any free one.")] = 8642,
    home: options.Home = None,
    quiet: options.Quiet = False,
) -> None:
    """Show the reports folder as a page on this machine; nothing is written, and Ctrl-C ends it with exit code 130.

    The page is on 127.0.0.1 only. It lists the reports with their verdicts and shows the page of each.
    """
    from robustrec.audits.checked import checked_report
    from robustrec.audits.listed_reports import ListedReport, listed_report, newest_first, when_text
    from robustrec.digests import file_stamp
    from robustrec.report.folder_pages import Pages, Row, Server
    from robustrec.results.reports_folder import report_files

    place = home_of(home)

    @lru_cache(maxsize=10_000)
    def listed(path: Path, _state: tuple[object, ...]) -> ListedReport:
        return listed_report(path, place / "digests", keep=False)

    def rows() -> list[Row]:
        return [
            Row(
                name=each.name,
                verdict=each.verdict or "unreadable",
                reason=each.reason or each.problem,
                models=", ".join(each.names),
                data=f"{each.dataset} ({each.edition})" if each.dataset else "",
                suite=each.suite,
                when=when_text(each.created),
                path=place / "reports" / f"{each.name}.json",
            )
            for each in newest_first(listed(path, tuple(file_stamp(path) or ())) for path in report_files(place))
            if not each.other
        ]

    try:
        server = Server(Pages(rows, checked_report, str(place / "reports")), port)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise RobustrecError(
            f"port {port} cannot be used: {error.strerror}",
            where=f"--port {port}",
            fix="use any free port: robustrec view --port 0" if taken else "use another port",
        ) from error
    with server:
        write_text(f"{server.url}\n")
        flush_stdout()
        say("reports of this machine; end with Ctrl-C", quiet=quiet)
        server.serve_forever()
