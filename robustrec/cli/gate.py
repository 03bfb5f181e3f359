"""`robustrec gate`: judge an existing report by its own suite or another one, without new measurements."""

from __future__ import annotations

from pathlib import Path

from robustrec.cli import options
from robustrec.cli.terminal import data_console, finishing, message_console
from robustrec.streams import write_json


def gate(
    report: options.ReportName,
    suite: options.GivenSuite = None,
    gate: options.Gates = None,
    baseline: options.BaselineFile = None,
    waivers: options.WaiversFile = None,
    output_format: options.OutputFormats = None,
    home: options.Home = None,
    fail_on: options.FailOnName = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge the findings of a report again: with another suite, other thresholds, waivers or a baseline."""
    settings = options.settings_from(fail_on=fail_on).settings
    from robustrec.report.forms.outputs import parse_outputs, write_outputs

    path = options.report_file(report, home)
    baseline = None if baseline is None else options.report_file(baseline, home)
    inputs = [
        ("REPORT", path),
        ("--suite", Path(suite) if suite else None),
        ("--baseline", baseline),
        ("--waivers", waivers),
    ]
    outputs = parse_outputs(output_format or (), inputs=inputs, stdout_taken=as_json)
    from robustrec.api.judging import judge
    from robustrec.report.console.console import print_judgement
    from robustrec.results.arrays import moved_arrays
    from robustrec.results.report import write_report
    from robustrec.results.verdict import exit_code

    judged = judge(path, suite=suite, baseline=baseline, waivers=waivers or (), gates=gate or ())
    kept = [each for each in outputs if each.form == "json" and each.path is not None]
    for each in kept:
        write_report(moved_arrays(judged, path, each.path or path), each.path or path)
    with finishing(exit_code(judged.verdict, judged.gates, settings.fail_on)):
        write_outputs(judged, [each for each in outputs if each not in kept])
        if as_json:
            keys = {"verdict", "verdict_reason", "gates", "waivers", "baseline"}
            write_json(judged.model_dump(mode="json", include=keys), indent=1)
        to_stderr = as_json or any(each.path is None for each in outputs)
        console = message_console() if to_stderr else data_console()
        print_judgement(judged, console, location=path, fail_on=settings.fail_on)
