"""Update the console excerpts of the tutorial and of the README from docs/tutorial-report.json.

    python docs/generate/site_tutorial.py [REPORT]

With REPORT, that report replaces docs/tutorial-report.json first.

The indented block under <!-- console: COMMAND --> is the output of the command. Under
<!-- console: COMMAND :: START --> it is the paragraph of the output that begins with START.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from robustrec.results.report import read_report, write_report

DOCS = Path(__file__).resolve().parents[1]
PAGES, REPORT = (DOCS / "tutorial.md", DOCS.parent / "README.md"), DOCS / "tutorial-report.json"
SUITE = "strict.toml"

_MARK = re.compile(r"^(<!-- console: (?P<command>.*?)(?: :: (?P<start>.*?))? -->)\n(?P<block>(?:\n| {4}.*\n)*)", re.M)
_RUN = "import sys; from robustrec.cli.main import main; sys.argv[0] = 'robustrec'; main()"


def refreshed(markdown: str) -> str:
    """Return the page with the current output of its commands."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(REPORT, folder / "report.json")
        (folder / "report.html").touch()
        suite = re.search(r"```toml\n(.*?)```", markdown, re.S)
        (folder / SUITE).write_text(suite[1] if suite else "", encoding="utf-8")

        printed: dict[str, str] = {}

        def again(mark: re.Match[str]) -> str:
            command, start = mark["command"], mark["start"]
            if command not in printed:
                printed[command] = _printed(command, folder)
            shown = printed[command]
            if start:
                shown = next((part for part in re.split(r"\n\s*\n", shown) if part.startswith(start)), "")
            if not shown:
                raise RuntimeError(f"{command} no longer prints anything that begins with {start!r}")
            lines = [f"    {line}".rstrip() for line in shown.strip("\n").splitlines()]
            return "\n".join([mark[1], "", *lines, "", ""])

        return _MARK.sub(again, markdown)


def _printed(command: str, folder: Path) -> str:
    """Return the output of a command at 80 columns; its exit code is ignored, because gates may fail."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROBUSTREC_")},
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTHONIOENCODING": "utf-8",
        "ROBUSTREC_HOME": str(folder),
    }
    words = [sys.executable, "-c", _RUN, *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"{command} printed nothing: {done.stderr.decode()}")
    return done.stdout.decode()


def keep(path: Path) -> None:
    """Store a report as the tutorial's, without its per-user arrays and the name of the kernel."""
    report = read_report(path)
    environment = report.environment.model_copy(update={"platform": sys.platform})
    write_report(report.model_copy(update={"arrays": None, "environment": environment}), REPORT)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        keep(Path(argument))
    for page in PAGES:
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
