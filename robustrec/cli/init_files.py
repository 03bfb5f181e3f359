"""The files that `robustrec init` writes: settings, a suite with gates for what the data have, and a CI workflow."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tomli_w

from robustrec import __version__

if TYPE_CHECKING:
    from robustrec.datasets.survey import Survey

SETTINGS, SUITE = "robustrec.toml", "robustrec-suite.toml"
WORKFLOWS = {"github": ".github/workflows/robustrec.yml", "gitlab": ".gitlab-ci.yml"}
HOME = ".robustrec"
FEW_ITEMS = 100


class Project(NamedTuple):
    """What the files are written for.

    Attributes:
        name: name of the data set.
        folder: folder of the data, relative to the project if it lies in it.
        found: what it holds.
        content: whether edited texts or pictures can be encoded: the catalog is encoded here, by `basic`.
    """

    name: str
    folder: Path
    found: Survey

    @property
    def content(self) -> bool:
        """Whether the catalog is encoded, so that edited texts and pictures can be encoded too."""
        return not self.found.features and bool(self.found.n_texts or self.found.n_pictures)

    @property
    def import_words(self) -> list[str]:
        """The command that imports the data."""
        words = ["robustrec", "data", "import", self.folder.as_posix(), "--name", self.name]
        return [*words, *self.found.options.words()]


def texts(project: Project, ci: str) -> dict[str, str]:
    """Return the text of each file by its path, relative to the project."""
    files = {SETTINGS: settings_text(project), SUITE: suite_text(project)}
    if ci in WORKFLOWS:
        files[WORKFLOWS[ci]] = _github(project) if ci == "github" else _gitlab(project)
    return files


def settings_text(project: Project) -> str:
    """Return the settings: data set, suite, and a model that reads what the data have."""
    both = {"image", "text"} <= set(project.found.features) or (project.found.n_texts and project.found.n_pictures)
    settings = {
        "dataset": project.name,
        "suite": SUITE,
        "model": ["slmrec" if both else "vbpr"],
        "strategy": ["vanilla", "sgbd"],
    }
    return (
        "# Settings of robustrec commands in this folder; options and ROBUSTREC_* variables take precedence.\n"
        "# Your own model: robustrec docs own-models. Your own encoder: robustrec docs own-encoders.\n"
        + tomli_w.dumps(settings)
    )


def suite_text(project: Project) -> str:
    """Return the suite: noise, merchant edits if the catalog is encoded, and gates for what the data have."""
    k = 20 if project.found.interactions.n_items >= FEW_ITEMS else 10
    edits = list(_edits(project))
    blocks = [
        f"# Gates for {project.name}. Keys: robustrec docs suites, robustrec docs gates.",
        _table(
            {
                "schema_version": 1,
                "name": project.name,
                "metrics": [f"ndcg@{k}", f"recall@{k}"],
                "stability": [f"rbo@{k}", f"changed@{k}"],
                "compare_with": "vanilla",
            }
        ),
        "[[audits]]\n" + _table({"kind": "noise", "sigma2": [1e-6], "relative": [0.1], "scopes": ["all"], "draws": 8}),
    ]
    if edits:
        merchant = {"kind": "merchant", "edits": edits, "severities": [3], "shares": [0.1], "draws": 6, "fragile": 3}
        blocks.append("[[audits]]\n" + _table(merchant | {"metric": f"ndcg@{k}", "exposure": k}))
    blocks += _gates(project, k, edits)
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _edits(project: Project) -> Iterator[str]:
    if project.content and project.found.n_titles:
        yield "truncation"
    elif project.content and project.found.n_texts:
        yield "typos"
    if project.content and project.found.n_pictures:
        yield "promo_badge"


def _gates(project: Project, k: int, edits: Sequence[str]) -> Iterator[str]:
    yield _gate(
        "A change of NDCG under small noise in either direction is a sign of an unstable model.",
        {"name": f"NDCG@{k} under noise", "select": f'{{ audit = "noise", sigma2 = 1e-6, metric = "ndcg@{k}" }}'},
        {"quantity": "relative_drift", "min": -0.02, "max": 0.02},
    )
    yield _gate(
        "The rbo of unchanged lists is 1, so a drift of -0.1 is an rbo of 0.9.",
        {"name": "list stability", "select": f'{{ audit = "noise", sigma2 = 1e-6, metric = "rbo@{k}" }}'},
        {"quantity": "drift", "min": -0.1, "severity": "warn"},
    )
    for edit in edits:
        select = f'{{ audit = "merchant", edit = "{edit}", severity = 3, metric = "exposure@{k}", group = "edited" }}'
        yield _gate(
            "Edited items leave the lists of the users who have them as test items.",
            {"name": f"exposure under {edit}", "select": select},
            {"quantity": "relative_drift", "min": -0.5, "optional": True},
        )
    if project.found.cold_test_users:
        select = f'{{ audit = "noise", sigma2 = 1e-6, metric = "ndcg@{k}", group = "cold_items" }}'
        yield _gate(
            "Items without training interactions are found by their features alone.",
            {"name": "cold items under noise", "select": select},
            {"quantity": "relative_drift", "min": -0.1, "severity": "warn", "optional": True},
        )
    yield _gate(
        "Robustness must not be gained at the cost of quality. Skipped if no strategy is compared with vanilla.",
        {
            "name": f"clean NDCG@{k} against vanilla",
            "select": f'{{ audit = "clean", metric = "ndcg@{k}", reference = "vanilla" }}',
        },
        {"quantity": "relative_drift", "min": -0.1, "severity": "warn", "optional": True},
    )


def _gate(why: str, what: dict[str, str], limits: dict[str, object]) -> str:
    lines = [f"# {why}", "[[gates]]", f'name = "{what["name"]}"', f"select = {what['select']}"]
    return "\n".join(lines) + "\n" + _table(limits)


def _table(content: dict[str, object]) -> str:
    lines = []
    for name, value in content.items():
        text = tomli_w.dumps({name: value}, multiline_strings=False)
        lines.append(" ".join(text.split()).replace("[ ", "[").replace(", ]", "]"))
    return "\n".join(lines)


def _commands(project: Project, *outputs: str) -> list[str]:
    imported = shlex.join([*project.import_words, "--replace", "--home", HOME])
    written = " ".join(f"--output-format {each}" for each in ("json:report.json", "html:report.html", *outputs))
    return [f"pip install robustrec=={__version__}", imported, f"robustrec audit --home {HOME} --quiet {written}"]


COMMENT = """\
if [ ! -f "$OUTPUT/comment.md" ]; then exit 0; fi
comments="repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments"
own='.[] | select(.user.type == "Bot" and (.body | startswith("<!-- robustrec comment -->"))) | .id'
method=POST; place=$comments
id=$(gh api --paginate "$comments" --jq "$own" | head -n 1) || id=
if [ -n "$id" ]; then method=PATCH; place="repos/$GITHUB_REPOSITORY/issues/comments/$id"; fi
gh api --silent --method "$method" "$place" --field "body=@$OUTPUT/comment.md" ||
  echo "::warning::robustrec: no comment was written; the job needs the permission pull-requests: write"
"""
"""Script of a step that writes the comment, or replaces that of an earlier run; the same as in the GitHub action."""
_LATER = """\
# Accept a baseline once, commit it, and add --baseline baseline.json to the audit:
#   robustrec baseline accept report.json --output baseline.json (robustrec docs ci).
# By default pip installs PyTorch for GPUs; for the smaller CPU build set PIP_EXTRA_INDEX_URL (robustrec docs install).
"""


def _github(project: Project) -> str:
    install, imported, audit = _commands(project, "comment:comment.md", "github")
    # GitHub would evaluate an expression in the name of a folder.
    imported = imported.replace("${{", "${{ '${{' }}")
    return f"""\
# Written by robustrec init. The job fails if a blocking gate is breached or the audit ends in an error.
{_LATER}\
name: robustness
on: [pull_request]
permissions: {{contents: read, pull-requests: write}}
jobs:
  audit:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      - run: {install}
      - uses: actions/cache@v4
        with:
          path: {HOME}
          key: robustrec-${{{{ github.run_id }}}}
          restore-keys: robustrec-
      # The data must be at this path; if they are not in the repository, download them in a step before.
      - run: >
          {imported}
      - run: >
          {audit}
      - name: Comment on the pull request
        if: always()
        shell: bash
        env:
          GH_TOKEN: ${{{{ github.token }}}}
          NUMBER: ${{{{ github.event.pull_request.number }}}}
          OUTPUT: .
        run: |
{textwrap.indent(COMMENT, " " * 10)}\
      - uses: actions/upload-artifact@v4
        if: always()
        with: {{name: robustness, path: "report.*"}}
"""


def _gitlab(project: Project) -> str:
    forms = ("comment:comment.md", "junit:gates.xml", "openmetrics:metrics.txt", "codequality:codequality.json")
    install, imported, audit = _commands(project, *forms)
    return f"""\
# Written by robustrec init. The job fails if a blocking gate is breached or the audit ends in an error.
{_LATER}\
robustness:
  image: python:3.12
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  cache:
    key: robustrec
    paths: [{HOME}/]
  script:
    - {install}
    # The data must be at this path; if they are not in the repository, download them before.
    - >
      {imported}
    - >
      {audit}
  artifacts:
    when: always
    paths: [report.json, report.users.npz, report.html, comment.md]
    reports:
      junit: gates.xml
      metrics: metrics.txt
      codequality: codequality.json
"""
