"""Real interactions, real posters and real texts, from import to verdict."""

import json

from robustrec.cli.main import run


def test_movielens_from_import_to_verdict(shared_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert run(["data", "import", str(shared_folder / "data" / "movielens"), "--name", "movielens", "-q"]) == 0
    capsys.readouterr()
    short = ["--set", "training.max_epochs=2", "--set", "training.learning_rate=0.01", "--fail-on", "never"]
    assert run(["audit", "--model", "vbpr", "--dataset", "movielens", "--json", "-q", *short]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dataset"] | {"filters": []} == {
        **report["dataset"],
        "edition": "full",
        "synthetic": False,
        "n_users": 671,
        "n_items": 3379,
        "n_train": 72045,
        "n_validation": 8640,
        "n_test": 8640,
        "filters": [],
    }
    assert [each["subject"]["strategy"] for each in report["subjects"]] == ["vanilla", "sgbd"]
    assert {each["status"] for each in report["statuses"]} == {"ok"}
    ratios = {row["metric"] for row in report["findings"] if row["metric"].startswith("snr")}
    assert ratios == {"snr_db_image", "snr_db_text"}
    assert not any("without a picture" in note for each in report["subjects"] for note in each["notes"])
