"""Every command as a user meets it: what it prints, its exit code, and errors in three parts."""

import json
import shutil
import signal

import numpy as np
import pytest

from robustrec.cli.commands import command_line
from robustrec.cli.main import run

QUICK = ["--set", "training.max_epochs=3", "--set", "training.learning_rate=0.01", "--set", "training.batch_size=128"]


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def suite(tmp_path):
    def write(minimum="-0.9", severity="error"):
        path = tmp_path / "suite.toml"
        path.write_text(
            f"""
schema_version = 1
name = "own"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
bootstrap = {{ replicates = 200 }}
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[gates]]
name = "lists stand noise"
select = {{ audit = "noise", metric = "rbo@20" }}
quantity = "drift"
min = {minimum}
severity = "{severity}"
"""
        )
        return str(path)

    return write


def _audit(folder, suite, *more):
    return run(["audit", "-m", "vbpr", "-d", str(folder), "--suite", suite, "--quiet", *QUICK, *more])


def _three_parts(capsys):
    told = capsys.readouterr().err
    assert told.startswith("error: "), told
    assert "\n  where: " in told
    assert "\n  fix:   " in told
    return told


def test_an_audit_prints_a_report_and_keeps_it_with_its_arrays(tiny_folder, suite, tmp_path, capsys):
    assert _audit(tiny_folder, suite(), "--output-format", f"json:{tmp_path / 'out' / 'r.json'}") == 0
    told = capsys.readouterr()
    assert "VERDICT: PASS" in told.out
    assert told.err == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["r.json", "r.users.npz"]
    kept = list((tmp_path / "home" / "reports").glob("*.json"))
    assert len(kept) == 1
    assert kept[0].with_suffix(".html").read_text().count("<!doctype html>") == 1
    assert kept[0].with_suffix(".html").name in told.out
    assert run(["report", "show", str(kept[0])]) == 0
    assert "VERDICT: PASS" in capsys.readouterr().out


@pytest.mark.parametrize(("minimum", "code"), [("-0.9", 0), ("0.0", 1)])
def test_a_page_that_cannot_be_drawn_leaves_the_verdict(
    minimum, code, tiny_folder, suite, tmp_path, capsys, monkeypatch
):
    from robustrec.report.forms import FORMATS

    def broken(report):
        raise ValueError("no ink")

    monkeypatch.setitem(FORMATS, "html", broken)
    assert _audit(tiny_folder, suite(minimum)) == code
    told = capsys.readouterr()
    assert "cannot write the HTML page (ValueError: no ink); the verdict is not affected" in told.err
    assert "VERDICT" in told.out
    assert "HTML report:" not in told.out
    assert _audit(tiny_folder, suite(minimum), "--output-format", f"html:{tmp_path / 'page.html'}") == 2


def _commands(command, words=()):
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*words, name))


def test_no_bracket_of_a_help_text_is_taken_for_markup(capsys):
    from rich.text import Text
    from typer.main import get_command

    for words, command in _commands(get_command(command_line())):
        for text in [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]:
            assert Text.from_markup(text).plain == text, (words, text)
    assert run(["audit", "--help"]) == 0
    assert "TOML file of waivers" in capsys.readouterr().out


def test_a_form_for_stdout_is_alone_there(tiny_folder, suite, tmp_path, capsys):
    page, table = tmp_path / "page.html", tmp_path / "findings.csv"
    files = ["--output-format", f"html:{page}", "--output-format", f"csv:{table}"]
    assert _audit(tiny_folder, suite("0.0"), "--output-format", "junit", *files) == 1
    told = capsys.readouterr().out
    assert told.startswith("<testsuites")
    assert 'failures="1"' in told
    assert "VERDICT" not in told
    assert "Verdict:" in page.read_text()
    assert table.read_text().startswith("model,strategy,features,seed,audit")


@pytest.mark.parametrize(
    ("minimum", "severity", "fail_on", "code"),
    [
        ("-0.9", "error", "error", 0),
        ("0.0", "error", "error", 1),
        ("0.0", "error", "never", 0),
        ("0.0", "warn", "error", 0),
        ("0.0", "warn", "warn", 1),
    ],
)
def test_exit_codes_follow_the_gates(minimum, severity, fail_on, code, tiny_folder, suite, capsys):
    # Lists that do not change at all are more than noise of a tenth of the features' spread leaves.
    assert _audit(tiny_folder, suite(minimum, severity), "--fail-on", fail_on) == code


def test_json_goes_to_stdout_alone_and_fits_the_published_schema(tiny_folder, suite, capsys):
    assert _audit(tiny_folder, suite(), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema_version"] == 3
    assert run(["report", "schema"]) == 0
    import jsonschema

    jsonschema.validate(report, json.loads(capsys.readouterr().out))


def test_a_dry_run_shows_the_plan_and_runs_nothing(tiny_folder, suite, tmp_path, capsys):
    assert _audit(tiny_folder, suite(), "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [each["strategy"]["name"] for each in plan["subjects"]] == ["vanilla", "sgbd"]
    assert plan["cost"] == {"trainings": 2, "rankings": 2 + 2 * 6 + 2 * 2, "encodings": 0, "gradients": 0}
    assert plan["subjects"][0]["training"]["max_epochs"] == 3
    assert not (tmp_path / "home" / "runs").exists()
    assert _audit(tiny_folder, suite(), "--dry-run") == 0
    assert "dry run, nothing was executed" in " ".join(capsys.readouterr().out.split())


def test_training_is_kept_and_evaluation_takes_it_from_the_store(tiny_folder, capsys):
    assert run(["train", "-m", "vbpr", "-m", "bpr", "-s", "sam", "-d", str(tiny_folder), "--json", "-q", *QUICK]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["subject"] for row in rows] == ["vbpr/sam/imported/seed 0", "bpr/sam/none/seed 0"]
    assert run(["train", "-m", "vbpr", "-s", "sam", "-d", str(tiny_folder), "--json", "-q", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)[0] == rows[0], "seconds included: it was not trained again"
    assert run(["evaluate", "-m", "vbpr", "-s", "sam", "-d", str(tiny_folder), "--json", "-q", *QUICK]) == 0
    value, low, high = json.loads(capsys.readouterr().out)[0]["recall@20"]
    assert low <= value <= high


def test_encode_and_lists_and_doctor(tiny_folder, capsys):
    assert run(["encode", "-d", str(tiny_folder), "--json", "-q"]) == 0
    assert [row["width"] for row in json.loads(capsys.readouterr().out)] == [12, 8]
    for what, name in [
        ("models", "slmrec"),
        ("strategies", "sgbd"),
        ("encoders", "basic"),
        ("audits", "noise"),
        ("suites", "quick"),
        ("metrics", "ndcg@k"),
    ]:
        assert run(["list", what, "--json"]) == 0
        rows = {row["name"]: row["what"] for row in json.loads(capsys.readouterr().out)}
        assert rows[name], what
    assert run(["doctor", "--json"]) == 0
    assert {row["status"] for row in json.loads(capsys.readouterr().out)} == {"ok"}
    assert run(["doctor", "--home", "/dev/null/x"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "slmrek"], "did you mean 'slmrec'"),
        (["--strategy", "sgdb"], "did you mean 'sgbd'"),
        (["--dataset", "clothin"], "did you mean 'clothing'"),
        (["--suite", "quik"], "did you mean 'quick'"),
        (["--features", "basik"], "did you mean 'basic'"),
        (["--edition", "ful"], "'full'"),
        (["--device", "gpu"], "auto, cpu, cuda"),
        (["--device", "cuda:99"], "--device cpu"),
        (["--seeds", "0"], "seeds"),
        (["--seed", "-1"], "seed"),
        (["--fail-on", "always"], "fail_on"),
        (["--set", "training.learning_rat=1"], "did you mean 'learning_rate'"),
        (["--set", "trainin.learning_rate=1"], "did you mean 'training'"),
        (["--set", "training.learning_rate=-1"], "greater than 0"),
        (["--set", "strategy.beta=0"], "greater than or equal to 1"),
        (["--set", "vbpr.latent_width=two"], "integer"),
        (["--set", "nonsense"], "SECTION.KEY=VALUE"),
        (["--output-format", "pdf:x"], "json:PATH"),
        (["--output-format", "parquet"], "parquet:PATH"),
        (["--output-format", "csv", "--output-format", "junit"], "csv:PATH"),
        (["--edition", "full", "--dataset", "clothing"], "data import"),
        (["--no-such-option"], "--help"),
    ],
)
def test_wrong_use_is_code_2_with_three_parts_before_any_work(arguments, told, tiny_folder, tmp_path, capsys):
    dataset = [] if "--dataset" in arguments else ["--dataset", str(tiny_folder)]
    model = [] if "--model" in arguments else ["--model", "vbpr"]
    assert run(["audit", "--quiet", *dataset, *model, *arguments]) == 2
    assert told in _three_parts(capsys)
    assert not (tmp_path / "home" / "runs").exists()


def _broken(tiny_folder, tmp_path, change):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    change(folder)
    return folder


def _truncate(folder):
    path = folder / "tiny.inter"
    path.write_bytes(path.read_bytes()[:-3])


def _mangle(folder):
    path = folder / "tiny.inter"
    path.write_text(path.read_text().replace("\n3\t", "\nthree\t", 1))


def _no_users_left(folder):
    path = folder / "tiny.inter"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(row[:-1] + "1" for row in rows)]) + "\n")


def _no_test_rows(folder):
    path = folder / "tiny.inter"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(row[:-1] + "0" if row.endswith("2") else row for row in rows)]) + "\n")


def _nan(folder):
    table = np.load(folder / "image_feat.npy")
    table[5, 3] = np.nan
    np.save(folder / "image_feat.npy", table)


def _too_few_rows(folder):
    np.save(folder / "text_feat.npy", np.load(folder / "text_feat.npy")[:-1])


@pytest.mark.parametrize("change", [_truncate, _mangle, _no_users_left, _no_test_rows, _nan, _too_few_rows])
def test_bad_data_is_code_2_with_three_parts_and_leaves_nothing(change, tiny_folder, suite, tmp_path, capsys):
    assert _audit(_broken(tiny_folder, tmp_path, change), suite()) == 2
    assert str(tmp_path / "broken") in _three_parts(capsys)
    home = tmp_path / "home"
    assert not list(home.glob("runs/*"))
    assert not list(home.glob("reports/*"))


def test_an_unwritable_home_is_code_2(tiny_folder, suite, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "file" / "home"))
    assert _audit(tiny_folder, suite()) == 2
    assert "ROBUSTREC_HOME" in _three_parts(capsys)


def test_an_output_that_cannot_be_written_is_an_error_before_the_work(tiny_folder, suite, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "r.json", tmp_path):
        assert _audit(tiny_folder, suite(), "--output-format", f"json:{place}") == 2
        assert str(place) in _three_parts(capsys)
    assert not (tmp_path / "home" / "runs").exists()


def test_a_damaged_run_is_an_error_that_says_what_to_remove(tiny_folder, suite, tmp_path, capsys):
    assert _audit(tiny_folder, suite(), "-s", "vanilla") == 0
    parameters = next((tmp_path / "home" / "runs").glob("*/parameters.safetensors"))
    content = bytearray(parameters.read_bytes())
    content[-4] ^= 1
    parameters.write_bytes(content)
    capsys.readouterr()
    assert _audit(tiny_folder, suite(), "-s", "vanilla") == 2
    assert f"rm -r {parameters.parent}" in _three_parts(capsys)


def test_an_internal_error_is_never_a_breached_gate(tiny_folder, suite, monkeypatch, capsys):
    from robustrec.api import auditing

    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(auditing, "measure", broken)
    assert _audit(tiny_folder, suite()) == 2
    assert "internal error: ZeroDivisionError: planted" in capsys.readouterr().err


def test_settings_come_from_file_environment_and_command_line_in_that_order(tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text('[tool.robustrec]\nsuite = "paper"\nseed = 5\nseeds = 2\n')
    monkeypatch.setenv("ROBUSTREC_SEED", "6")
    assert run(["config", "show", "--suite", "quick", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["suite"] == {"value": "quick", "source": "--suite"}
    assert settings["seed"] == {"value": 6, "source": "environment ROBUSTREC_SEED"}
    assert settings["seeds"]["value"] == 2
    assert "pyproject.toml" in settings["seeds"]["source"]
    assert settings["device"]["source"] == "default"


def test_the_list_of_metrics_is_the_one_that_is_computed(capsys):
    from robustrec.evaluation.kinds import KINDS

    assert run(["list", "metrics", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == [f"{name}@k" for name in KINDS]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("audit --model sl", "slmrec"),
        ("audit --dataset clo", "clothing"),
        ("audit --suite pa", "paper"),
        ("train --strategy sg", "sgbd"),
    ],
)
def test_the_shell_completes_names(words, expected, monkeypatch, capsys):
    monkeypatch.setenv("_ROBUSTREC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"robustrec {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert run([]) == 0
    assert capsys.readouterr().out.split() == [expected]
