"""The reports folder: listed, found by the beginning of a name, opened, followed in time, and shown on one machine."""

from __future__ import annotations

import http.client
import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_up_report import SGBD, made_up_report, noise_only

from robustrec.audits.judged import judged_again
from robustrec.audits.listed_reports import listed_reports, shown_names
from robustrec.audits.suites import load_suite
from robustrec.cli.main import run
from robustrec.comparison.trend import joined, measured_in, trend_of
from robustrec.errors import RobustrecError
from robustrec.report.folder_pages import Pages, Row, Server, start_page
from robustrec.results.report import Report, read_report, write_report
from robustrec.results.reports_folder import find_report, report_files

SUITE = noise_only(load_suite("quick"))
HOSTILE = '20260301T000000000000-<img src=x onerror=alert(1)>\x1b[31m\u202e"&'


def _report(day: int = 3, **changes: object) -> Report:
    report = made_up_report(arrays=None, created=datetime(2026, 2, day, 4, 5, tzinfo=UTC), **changes)
    return judged_again(report, SUITE, now=report.created)


@pytest.fixture(scope="module")
def made() -> Report:
    """A report, judged."""
    return _report()


@pytest.fixture
def home(made: Report, tmp_path: Path) -> Path:
    """A home folder with two reports, a comparison, a damaged file and a report that is being written."""
    folder = tmp_path / "home" / "reports"
    folder.mkdir(parents=True)
    write_report(made, folder / "20260203T040500000000-clothing-quick.json")
    later = made.model_copy(update={"created": datetime(2026, 2, 4, tzinfo=UTC)})
    write_report(later, folder / "20260204T000000000000-clothing-quick.json")
    (folder / "20260205T000000000000-clothing-strategies.json").write_text('{"schema_version": 1}')
    (folder / "20260206T000000000000-broken.json").write_text('{"findings": ')
    (folder / ".20260207T000000000000-half.json.0123abcd").write_text("{")
    (folder / "20260207T000000000000-half.users.npz").write_bytes(b"PK")
    return tmp_path / "home"


def test_reports_are_listed_newest_first_without_what_is_half_written(home, capsys):
    assert run(["report", "list", "--home", str(home), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"][:8] for row in rows] == ["20260204", "20260203", "20260206"]
    assert rows[0]["verdict"] == read_report(home / "reports" / f"{rows[0]['name']}.json").verdict
    assert rows[2]["verdict"] == ""
    assert rows[2]["problem"]
    assert run(["report", "list", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines() if str(home) not in line)
    assert "UNREADABLE" in out
    assert "1 other result" in out
    assert "half" not in out


def test_an_edited_verdict_is_not_listed_as_one(home):
    path = home / "reports" / "20260204T000000000000-clothing-quick.json"
    before = listed_reports(home)[0]
    other = {"pass": "fail", "fail": "pass", "inconclusive": "pass"}[before.verdict]
    text = path.read_text()
    path.write_text(text.replace(f'"verdict": "{before.verdict}"', f'"verdict": "{other}"', 1))
    (found,) = [each for each in listed_reports(home) if each.name == path.stem]
    assert found.verdict == ""
    assert found.problem


def test_a_report_is_found_by_the_unique_beginning_of_its_name(home, tmp_path, monkeypatch, capsys):
    folder = home / "reports"
    assert find_report("20260203", home) == folder / "20260203T040500000000-clothing-quick.json"
    assert find_report("20260203T040500000000-clothing-quick", home).parent == folder
    with pytest.raises(RobustrecError, match="beginning of 4 reports: 20260203T0405"):
        find_report("2026", home)
    with pytest.raises(RobustrecError, match="not found"):
        find_report("2027", home)
    with pytest.raises(RobustrecError, match="not found") as raised:
        find_report("202", home)
    assert raised.value.fix == f"list the reports: robustrec report list --home {home}"
    monkeypatch.setenv("ROBUSTREC_HOME", str(home))
    with pytest.raises(RobustrecError, match="not found") as raised:
        find_report("202", home)
    assert raised.value.fix == "list the reports: robustrec report list"
    assert find_report("../x", home) == Path("../x")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "20260203").write_text("")
    assert find_report("20260203", home) == Path("20260203"), "a file that exists comes first"
    (tmp_path / "20260203").unlink()
    for command in (
        ["report", "show", "20260203"],
        ["report", "convert", "20260203", "--output-format", f"csv:{tmp_path / 'rows.csv'}"],
        ["gate", "20260203", "--fail-on", "never", "--baseline", "20260204"],
        ["baseline", "accept", "20260203", "--output", str(tmp_path / "baseline.json")],
        ["report", "open", "20260203"],
    ):
        assert run([*command, "--home", str(home)]) == 0, capsys.readouterr().err
        assert run([*command[:-1], "2027"] if command[-1] == "20260203" else [*command, "--home", str(tmp_path)]) == 2


def test_the_shown_beginning_of_a_name_is_unique():
    names = ["20260203T040500000000-a", "20260203T040501000000-a", "20260204T000000000000-b", "b", "ba"]
    shown = shown_names(names)
    assert shown["20260204T000000000000-b"] == "20260204T0000"
    assert shown["20260203T040501000000-a"] == "20260203T040501"
    for name, short in shown.items():
        assert [other for other in names if other.startswith(short)] == [name] or short == name


def test_open_prints_the_path_of_the_newest_page_and_writes_it_if_missing(home, capsys):
    page = home / "reports" / "20260204T000000000000-clothing-quick.html"
    assert run(["report", "open", "--latest", "--home", str(home)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text().startswith("<!doctype html>")
    assert run(["report", "open", "--latest", "--section", "noise", "--home", str(home)]) == 0
    assert capsys.readouterr().out == f"{page.as_uri()}#noise\n"
    assert run(["report", "open", "--latest", "--section", "nothing", "--home", str(home)]) == 2
    assert run(["report", "open", "--home", str(home)]) == 2
    assert run(["report", "open", "20260206", "--home", str(home)]) == 2


def test_links_in_the_reports_folder_are_not_followed(home, tmp_path, capsys):
    outside = tmp_path / "outside.json"
    (home / "reports" / "20260204T000000000000-clothing-quick.json").rename(outside)
    (home / "reports" / "20260204T000000000000-clothing-quick.json").symlink_to(outside)
    assert outside.stem not in {path.stem for path in report_files(home)}
    assert [each.name[:8] for each in listed_reports(home) if each.verdict] == ["20260203"]
    (home / "reports").rename(tmp_path / "moved")
    (home / "reports").symlink_to(tmp_path / "moved")
    assert listed_reports(home) == []
    capsys.readouterr()
    assert run(["report", "list", "--home", str(home)]) == 0
    assert "is a link and is not followed" in capsys.readouterr().err


def _trend(*reports: tuple[str, Report], condition: str | None = None):
    rows = [row for name, report in reports if (row := measured_in(report, name, SGBD, "ndcg@20", condition))]
    return trend_of(SGBD, "ndcg@20", rows, relative=condition is not None)


def test_a_trend_joins_only_what_was_measured_alike(made):
    data = made.dataset.model_copy(update={"digest": "e" * 64})
    other_suite = {**made.suite.content, "mask_validation": not made.suite.content.get("mask_validation")}
    other_data = made.model_copy(update={"dataset": data, "created": datetime(2026, 2, 5, tzinfo=UTC)})
    again = made.model_copy(update={"created": datetime(2026, 2, 4, tzinfo=UTC)})
    suite = made.suite.model_copy(update={"content": other_suite})
    elsewhere = other_data.model_copy(update={"suite": suite, "created": datetime(2026, 2, 6, tzinfo=UTC)})
    trend = _trend(("c", other_data), ("a", made), ("d", elsewhere), ("b", again))
    assert [point.measured.name for point in trend.points] == ["a", "b", "c", "d"], "in time, not as given"
    assert [[point.measured.name for point in group] for group in joined(trend.points)] == [["a", "b"], ["c"], ["d"]]
    assert "other data: digest eeeeeeee, before dddddddd" in trend.points[2].breaks[0]
    assert "other suite: mask_validation" in trend.points[3].breaks[0]
    assert trend.points[1].remarks == ("same training",)


def test_a_trend_breaks_where_the_metric_is_defined_otherwise(made):
    findings = [row.model_copy(update={"unit": "points"}) if row.metric == "ndcg@20" else row for row in made.findings]
    other = made.model_copy(update={"findings": tuple(findings), "created": datetime(2026, 2, 9, tzinfo=UTC)})
    assert _trend(("a", made), ("b", other)).points[1].breaks == ("other unit of the metric: points, before share",)


def test_a_trend_of_a_condition_is_of_relative_drifts(made):
    label = next(row.condition.label for row in made.findings if row.quantity == "drift" and row.audit == "noise")
    row = next(
        row
        for row in made.findings
        if row.subject == SGBD and row.condition.label == label and row.metric == "ndcg@20" and row.quantity == "drift"
    )
    (point,) = _trend(("a", made), condition=label).points
    assert (point.value, point.low, point.high) == (row.relative_drift, row.relative_ci_low, row.relative_ci_high)
    assert _trend(("a", made), condition="sigma2=7").points == ()


def test_the_trend_is_printed_with_the_baseline_marked(home, capsys):
    name = "20260203T040500000000-clothing-quick"
    assert run(["report", "trend", "-s", "sgbd", "--home", str(home), "--baseline", name]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert out.count("slmrec/sgbd/basic/seed 0: ndcg@20") == 1
    assert "vanilla" not in out
    (line,) = [line for line in out.splitlines() if "BASELINE" in line]
    assert line.split()[0] == "20260203T0405"
    assert re.search(r"\[[\d.]+, [\d.]+\]", line), "the interval is on one line"
    assert run(["report", "trend", "-m", "bpr", "--home", str(home)]) == 2
    assert run(["report", "trend", "-s", "sgbd", "--home", str(home), "--json"]) == 0
    (trend,) = json.loads(capsys.readouterr().out)
    assert [point["breaks"] for point in trend["points"]] == [[], []]


def test_names_are_escaped_on_the_page_and_on_the_console(home, made, capsys):
    path = home / "reports" / f"{HOSTILE.replace('/', '')}.json"
    write_report(made.model_copy(update={"created": datetime(2026, 3, 1, tzinfo=UTC)}), path)
    assert run(["report", "list", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    row = Row(path.stem, "pass", "<b>x</b>", "<i>m</i>", "d\u202e", "<s>", "", path)
    page = start_page([row], "<folder>")
    for raw in ("<img src", "<b>x", "<i>m", "<s>", "<folder>", "\x1b", "\u202e"):
        assert raw not in page, raw
    assert run(["report", "open", "20260301", "--home", str(home)]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.fixture
def server(home, made):
    """The local server on two reports and one that cannot be read."""
    files = report_files(home)
    rows = [Row(path.stem, "pass", "", "m", "d", "s", "", path) for path in files[:2]]
    rows += [Row(path.stem, "unreadable", "broken <b>", "", "", "", "", path) for path in files[-1:]]
    found = Server(Pages(lambda: rows, lambda _path: made, "reports"), 0)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def _ask(server: Server, method: str, target: str, **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, target, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    result = answer.status, dict(answer.headers), answer.read().decode()
    connection.close()
    return result


def test_the_server_shows_the_listed_reports_and_nothing_else(server, home, tmp_path):
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    status, headers, page = _ask(server, "GET", "/")
    assert status == 200
    assert "20260203T040500000000-clothing-quick" in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert server.server_address[0] == "127.0.0.1"
    status, headers, page = _ask(server, "GET", "/report/20260203T040500000000-clothing-quick?x=1")
    assert status == 200
    assert "Verdict" in page or "verdict" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert _ask(server, "HEAD", "/")[2] == ""
    broken = "/report/20260206T000000000000-broken"
    assert _ask(server, "GET", broken)[0] == 422
    assert _ask(server, "GET", broken)[1]["Content-Type"].startswith("text/plain")
    for target in (
        "/report/",
        "/report/../20260203T040500000000-clothing-quick.json",
        "/report/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/report//etc/passwd",
        "/report/20260203T040500000000-clothing-quick.json",
        "/report/20260207T000000000000-half",
    ):
        assert _ask(server, "GET", target)[0] == 404, target
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before, "nothing is written"


def test_the_server_answers_only_to_its_own_name_and_only_to_get(server):
    port = server.server_port
    assert _ask(server, "GET", "/", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example", ""):
        assert _ask(server, "GET", "/", Host=host)[0] == 403, host
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert _ask(server, method, "/")[0] == 405, method
    assert _ask(server, "TRACE", "/")[0] in (405, 501)


def test_a_port_that_is_taken_is_an_error(server, home, capsys):
    assert run(["view", "--port", str(server.server_port), "--home", str(home)]) == 2
    assert "--port 0" in capsys.readouterr().err
