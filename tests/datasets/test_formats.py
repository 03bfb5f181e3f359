"""The same shop in every format is the same data set; formats are recognised and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tiny_folders import picture
from written_formats import WRITERS, Shop, arrow_bytes, catalog_table, interactions_table, saved, small_shop, written

from robustrec.cli.main import run
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.manifest import read_manifest
from robustrec.datasets.ratings import read_ratings
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.errors import RobustrecError

LABELS = {
    "csv": "CSV: ratings.csv (108 rows), items.csv (12 rows)",
    "csv.gz": "CSV: ratings.csv.gz (108 rows), items.csv (12 rows)",
    "csv.bz2": "CSV: ratings.csv.bz2 (108 rows), items.csv (12 rows)",
    "csv.xz": "CSV: ratings.csv.xz (108 rows), items.csv (12 rows)",
    "recbole": "RecBole atomic files: shop.inter (108 rows), shop.item (12 rows)",
    "movielens-1m": "MovieLens files: ratings.dat (108 rows), movies.dat (12 rows)",
    "movielens-csv": "MovieLens files: ratings.csv (108 rows), movies.csv (12 rows)",
    "jsonl": "JSON Lines: interactions.jsonl (108 rows), items.jsonl (12 rows)",
    "parquet": "Parquet: interactions.parquet (108 rows), items.parquet (12 rows)",
    "partitioned": "Parquet: interactions/ (3 files, 108 rows), items/ (3 files, 12 rows)",
    "huggingface": "Hugging Face dataset: interactions/ (2 files, 108 rows), items/ (2 files, 12 rows)",
}


def imported(source: Path, home: Path, **options: Any) -> Dataset:
    import_folder(source, "mine", home, ImportOptions(replace=True, **options))
    return load_dataset("mine", home=home)


def recognised(home: Path) -> str:
    return read_manifest(home / "data" / "mine").recognised


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("reference")
    return imported(written(place / "shop", "csv", small_shop()), place / "home")


@pytest.mark.parametrize("form", WRITERS)
def test_a_shop_is_the_same_data_set_in_every_format(tmp_path: Path, home: Path, form: str, reference: Dataset) -> None:
    found = imported(written(tmp_path / "shop", form, small_shop()), home)
    assert recognised(home) == LABELS[form]
    assert found.digest == reference.digest
    assert found.catalog is not None
    assert found.catalog.n_texts == 12


rows = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "10", "007", "a"]),
        st.sampled_from(["3", "04", "x", "é", "10"]),
        st.sampled_from([0.5, 1.0, 4.1, 5.0]),
        st.integers(1_000_000_000, 1_000_000_003),
    ),
    min_size=1,
    max_size=25,
)


@example(rows=[("a", "x", 0.5, 10**9), ("1", "3", 0.5, 10**9)], lowest=None)  # the first line is no header
@given(rows=rows, lowest=st.sampled_from([None, 1.0, 4.1]))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_same_interactions_in_every_format_are_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], lowest: float | None
) -> None:
    place = tmp_path_factory.mktemp("formats")
    table = pa.table(
        {
            "user_id": [row[0] for row in rows],
            "item_id": pa.array([row[1] for row in rows]).dictionary_encode(),
            "rating": pa.array([row[2] for row in rows], pa.float32()),
            "timestamp": pa.array([row[3] * 10**9 for row in rows], pa.timestamp("ns", "UTC")),
        }
    )
    for form in ("csv", "csv.gz", "recbole", "jsonl", "movielens-1m"):
        written(place, form, Shop(tuple(rows)))
    pq.write_table(table, place / "ratings.parquet", row_group_size=7)
    (place / "stream.arrow").write_bytes(arrow_bytes(table, rows=4))
    (place / "file.arrow").write_bytes(arrow_bytes(table, stream=False, rows=4))
    of_user = {user: [row for row in rows if row[0] == user] for user in dict.fromkeys(row[0] for row in rows)}
    names = ("item", "rating", "timestamp")
    lists = [
        {"user": user, **{name: [row[at] for row in each] for at, name in enumerate(names, start=1)}}
        for user, each in of_user.items()
    ]
    (place / "lists.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lists))
    pq.write_table(pa.Table.from_pylist(lists), place / "lists.parquet")
    found = set()
    for name in ("ratings.csv", "ratings.csv.gz", "shop.inter", "interactions.jsonl", "ratings.dat", "ratings.parquet",
                 "stream.arrow", "file.arrow", "lists.jsonl", "lists.parquet"):  # fmt: skip
        columns = ("user", "item", "rating", "timestamp") if name == "ratings.dat" else None
        try:
            read = read_ratings(place / name, k=1, min_rating=lowest, columns=columns)
        except RobustrecError as error:
            found.add(error.what)
            continue
        inter = read.interactions
        found.add(repr((inter.users, inter.items, inter.labels, read.user_ids, read.item_ids, read.filters)))
    assert len(found) == 1, found


@pytest.mark.parametrize("form", ["recbole", "parquet", "huggingface", "movielens-1m"])
def test_one_command_imports_and_says_what_it_found(
    tmp_path: Path, home: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "shop", form, small_shop())
    assert run(["data", "import", str(source), "--name", "mine", "--home", str(home)]) == 0
    assert LABELS[form] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ratings.csv.gz", "interactions.parquet", "interactions.jsonl", "shop.inter"])
def test_a_single_file(tmp_path: Path, home: Path, name: str) -> None:
    form = {".gz": "csv.gz", ".parquet": "parquet", ".jsonl": "jsonl", ".inter": "recbole"}[Path(name).suffix]
    source = written(tmp_path / "shop", form, small_shop())
    found = imported(source / name, home)
    assert found.catalog is not None
    assert (found.catalog.n_texts, len(found.interactions.users)) == (0, 108)
    assert recognised(home).endswith(f"{name} (108 rows)")
    assert not any("not read" in row.reason for row in found.filters)


def test_several_formats_are_an_error_that_lists_them(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "shop"
    for form in ("csv", "parquet"):
        written(source, form, small_shop())
    (source / "ratings.csv").rename(source / "interactions.csv")
    with pytest.raises(RobustrecError, match=r"CSV: interactions.csv; Parquet: interactions.parquet") as caught:
        imported(source, home)
    assert caught.value.fix.startswith("choose one (csv, parquet): robustrec data import ")
    assert caught.value.fix.endswith("--format csv")
    for form in ("csv", "parquet"):
        imported(source, home, format=form)
        assert recognised(home).startswith({"csv": "CSV: inter", "parquet": "Parquet: inter"}[form])
    with pytest.raises(RobustrecError, match="no interactions in the format recbole"):
        imported(source, home, format="recbole")
    with pytest.raises(RobustrecError, match="unknown format 'xls'"):
        imported(source, home, format="xls")


def test_format_overrides_the_suffix(tmp_path: Path, home: Path, reference: Dataset) -> None:
    shop = Shop(small_shop().rows)
    for form, name, other in (
        ("parquet", "interactions.parquet", "log.bin"),
        ("jsonl", "interactions.jsonl", "log.txt"),
        ("movielens", "ratings.dat", "log.txt"),
    ):
        source = written(tmp_path / form, {"movielens": "movielens-1m"}.get(form, form), shop)
        (source / name).rename(source / other)
        found = imported(source / other, home, format=form)
        assert (found.interactions.users == reference.interactions.users).all()


@pytest.mark.parametrize("form", ["csv", "csv.gz", "recbole", "jsonl", "parquet", "huggingface"])
def test_columns_are_named_in_every_format(tmp_path: Path, home: Path, form: str, reference: Dataset) -> None:
    source = written(tmp_path / "shop", form, small_shop())
    names = {"user_id": "wer", "item_id": "was", "rating": "wie", "timestamp": "wann", "title": "heisst"}
    for path in [path for path in source.rglob("*") if path.suffix in (".csv", ".inter", ".item", ".jsonl")]:
        text = path.read_text()
        for old, new in names.items():
            text = text.replace(f'"{old}"' if form == "jsonl" else old, f'"{new}"' if form == "jsonl" else new)
        path.write_text(text)
    if form == "csv.gz":
        import gzip

        text = gzip.decompress((source / "ratings.csv.gz").read_bytes()).decode()
        text = text.replace("user_id,item_id,rating,timestamp", "wer,was,wie,wann")
        (source / "ratings.csv.gz").write_bytes(gzip.compress(text.encode()))
    if form in ("parquet", "huggingface"):
        tables = {"interactions": interactions_table(small_shop()), "items": catalog_table(small_shop())}
        for name, table in tables.items():
            renamed = table.rename_columns([names.get(each, each) for each in table.column_names])
            if form == "parquet":
                pq.write_table(renamed, source / f"{name}.parquet")
            else:
                saved(source / name, renamed)
    given = ("user=wer", "item=was", "rating=wie", "timestamp=wann", "title=heisst")
    places = {"csv": ("ratings.csv", "items.csv"), "csv.gz": ("ratings.csv.gz", "items.csv"),
              "recbole": ("shop.inter", "shop.item"), "jsonl": ("interactions.jsonl", "items.jsonl"),
              "parquet": ("interactions.parquet", "items.parquet"),
              "huggingface": ("interactions", "items")}  # fmt: skip
    interactions, items = map(Path, places[form])
    found = imported(source, home, columns=given, interactions=interactions, items=items)
    assert found.digest == reference.digest
    with pytest.raises(RobustrecError, match=r"column 'wo' is not found: the columns are \['we"):
        imported(source, home, columns=("user=wo", "item=was"), interactions=interactions)
    with pytest.raises(RobustrecError, match=r"column 'nix' of the catalog is not found: it has \["):
        imported(source, home, columns=(*given[:4], "title=nix"), interactions=interactions, items=items)


@pytest.mark.parametrize(
    ("columns", "what"),
    [(("user=a", "b"), "'b' is not KIND=COLUMN"), (("user=a", "user=b"), "is there twice"),
     (("rateing=a",), "is not KIND=COLUMN"), (("user=",), "is not KIND=COLUMN")],
)  # fmt: skip
def test_wrong_names_of_columns(tmp_path: Path, home: Path, columns: tuple[str, ...], what: str) -> None:
    with pytest.raises(RobustrecError, match=what) as caught:
        imported(written(tmp_path / "shop", "csv", small_shop()), home, columns=columns)
    assert caught.value.where == "option --columns"


@pytest.mark.parametrize("form", ["parquet", "huggingface", "partitioned"])
def test_pictures_stored_in_the_catalog(tmp_path: Path, home: Path, form: str) -> None:
    shop = small_shop()
    stored = {name: picture((20 * at, 10, 10)) for at, name in enumerate(shop.items) if at % 4}
    found = imported(written(tmp_path / "shop", form, Shop(shop.rows, shop.items, stored)), home)
    assert found.catalog is not None
    assert found.catalog.n_pictures == len(stored) == 9
    for row, name in enumerate(sorted(shop.items, key=int)):
        assert found.catalog.picture_bytes(row) == stored.get(name)
    assert not (found.folder / "stored.zip").exists()


def test_a_stored_picture_that_cannot_be_read_names_the_table_and_the_row(tmp_path: Path, home: Path) -> None:
    shop = small_shop()
    source = written(tmp_path / "shop", "parquet", Shop(shop.rows, shop.items, {"10": b"no picture"}))
    with pytest.raises(RobustrecError) as caught:
        imported(source, home)
    assert "items.parquet: picture-in-file-0-row-2" in caught.value.where
    assert "stored.zip" not in str(caught.value)
    assert imported(source, home, skip_unreadable=True).catalog is not None


def test_published_shards_and_saved_splits_are_taken_as_they_are(tmp_path: Path, home: Path) -> None:
    table = interactions_table(small_shop())
    source = tmp_path / "hub" / "data"
    source.mkdir(parents=True)
    for name, first, rows in (("train-00000-of-00002", 0, 40), ("train-00001-of-00002", 40, 40),
                              ("validation-00000-of-00001", 80, 12), ("test-00000-of-00001", 92, 16)):  # fmt: skip
        pq.write_table(table.slice(first, rows), source / f"{name}.parquet")
    saved_at = tmp_path / "saved"
    saved_at.mkdir()
    (saved_at / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    for name, first, rows in (("train", 0, 80), ("validation", 80, 12), ("test", 92, 16)):
        saved(saved_at / name, table.slice(first, rows))
    hub, disk = imported(source.parent, home), imported(saved_at, home)
    assert hub.digest == disk.digest
    assert hub.split is not None
    assert hub.split.kind == "published"
    assert recognised(home).startswith(
        "Hugging Face dataset: train/ (2 files, 80 rows), validation/ (2 files, 12 rows)"
    )


def test_lists_of_lightgcn_are_a_published_split(tmp_path: Path, home: Path) -> None:
    users = {user: [item for each, item, *_ in small_shop().rows if each == user] for user in map(str, range(100, 112))}
    source = tmp_path / "lists"
    source.mkdir()
    (source / "train.txt").write_text("".join(f"{user} {' '.join(items[:-2])}\n" for user, items in users.items()))
    (source / "test.txt").write_text("".join(f"{user} {' '.join(items[-2:])}\n" for user, items in users.items()))
    found = imported(source, home)
    assert recognised(home) == "LightGCN lists: train.txt (84 rows), test.txt (24 rows)"
    assert found.interactions.labels.tolist().count(2) == 24
    assert not any("cut off" in row.reason for row in found.filters)
    (source / "test.txt").write_text((source / "test.txt").read_text()[:-1])
    assert any("last item may be cut off" in row.reason for row in imported(source, home).filters)


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_a_compressed_file_with_split_labels_is_that_file(tmp_path: Path, packed: str) -> None:
    import bz2
    import gzip
    import lzma

    rows = "".join(f"{user}\t{item}\t{item % 3}\n" for user in range(6) for item in range(6))
    text = f"userID\titemID\tx_label\n{rows}".encode()
    digests = []
    for name, data in (
        ("shop.inter", text),
        (f"shop.inter.{packed}", {"gz": gzip, "bz2": bz2, "xz": lzma}[packed].compress(text)),  # type: ignore[attr-defined]
    ):
        source = tmp_path / name.replace(".", "-")
        source.mkdir()
        (source / name).write_bytes(data)
        target = import_folder(source, f"shop-{len(digests)}", tmp_path / "home")
        digests.append(load_dataset(str(target), home=tmp_path / "home").digest)
    assert digests[0] == digests[1]
