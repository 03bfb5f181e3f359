"""Tables of users: every format, ids as found, what is refused and counted, and data sets without them as before."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tiny_folders import N_USERS, Maker
from typer.testing import CliRunner

from robustrec.cli.data import app
from robustrec.datasets.archives import import_archive
from robustrec.datasets.describe import describe
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.registry import Dataset, load_folder
from robustrec.datasets.user_columns import read_user_columns
from robustrec.errors import RobustrecError

IDS = [f"u{user:02}" for user in range(8)]
COUNTRIES = ["Norway", "Sweden"] * 4


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a folder of ratings by 8 users with ids of text."""
    folder = tmp_path / "shop"
    folder.mkdir()
    lines = [f"{name},i{item}" for name in IDS for item in range(6)]
    (folder / "ratings.csv").write_text("\n".join(["user_id,item_id", *lines]) + "\n")
    return folder


def imported(folder: Path, table: str | None, columns: str = "country,age", **options: Any) -> Dataset:
    """Import a folder with a table of users in it, and load it."""
    home = folder.parent / "home"
    given = {"user_table": Path(table), "user_columns": tuple(columns.split(","))} if table else {}
    place = import_folder(folder, "mine", home, ImportOptions(replace=True, k=1, **given, **options))
    return load_folder(place, home=home)


def columns_of(data: Dataset) -> dict[str, list[Any]]:
    return read_user_columns(data.user_columns, data.interactions.n_users)


def csv_of(rows: list[tuple[Any, ...]], header: str = "user_id,country,age", separator: str = ",") -> str:
    lines = [separator.join("" if field is None else str(field) for field in row) for row in rows]
    return "\n".join([header.replace(",", separator), *lines]) + "\n"


ROWS = [(name, country, 20 + place) for place, (name, country) in enumerate(zip(IDS, COUNTRIES, strict=True))]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "recbole", "folder"])
def test_every_format_gives_the_same_columns(shop: Path, form: str) -> None:
    records = [dict(zip(("user_id", "country", "age"), row, strict=True)) for row in ROWS]
    name = {"recbole": "people.user", "folder": "people"}.get(form, f"people.{form}")
    if form == "jsonl":
        (shop / name).write_text("".join(json.dumps(each) + "\n" for each in records))
    elif form == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(
            pytest.importorskip("pyarrow").Table.from_pylist(records), shop / name
        )
    elif form == "recbole":
        (shop / name).write_text(csv_of(ROWS, "user_id:token,country:token,age:float", "\t"))
    elif form == "folder":
        (shop / name).mkdir()
        for part, rows in enumerate((records[:3], records[3:])):
            (shop / name / f"part-{part}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    else:
        (shop / name).write_text(csv_of(ROWS, separator="\t" if form == "tsv" else ","))
    data = imported(shop, name)
    assert columns_of(data) == {"age": [20.0 + place for place in range(8)], "country": COUNTRIES}
    assert not any("files that are not read" in row.reason and name in row.reason for row in data.filters)
    assert describe(data).user_columns == {"age": 8, "country": 8}


def test_users_of_movielens_have_no_header(shop: Path) -> None:
    (shop / "ratings.csv").write_text((shop / "ratings.csv").read_text().replace("u0", ""))
    (shop / "users.dat").write_text("".join(f"{user}::{'MF'[user % 2]}::{user}::10::48067\n" for user in range(8)))
    assert columns_of(imported(shop, "users.dat", "gender,age"))["gender"] == ["M", "F"] * 4
    (shop / "u.user").write_text("".join(f"{user}|24|{'MF'[user % 2]}|other|48067\n" for user in range(8)))
    assert columns_of(imported(shop, "u.user", "occupation,sex=gender"))["sex"] == ["M", "F"] * 4
    (shop / "u.user").write_text("1|24|M\n")
    with pytest.raises(RobustrecError, match="3 fields, but expected 5"):
        imported(shop, "u.user", "gender")


@pytest.mark.parametrize("line", ["1::M\0::1::10::48067\n", "1::M::1\n"])
def test_a_damaged_table_of_users_advises_another_one_and_no_catalog(shop: Path, line: str) -> None:
    (shop / "users.dat").write_text(f"0::F::0::10::48067\n{line}")
    with pytest.raises(RobustrecError) as caught:
        imported(shop, "users.dat", "gender,age")
    assert "--user-table FILE" in caught.value.fix
    assert "--items" not in caught.value.fix


def test_lines_are_matched_by_id_and_the_others_are_counted(shop: Path) -> None:
    rows = [*ROWS[1:6], ("U00", "Norway", None), ("stranger", "Chad", 3), ("u06", None, "n/a")]
    (shop / "people.csv").write_text(csv_of(rows[::-1], "Age Band,customer,nation").replace("Age Band", "x"))
    (shop / "people.csv").write_text(csv_of([(c, a, b) for a, b, c in rows[::-1]], "age,customer,nation"))
    data = imported(shop, "people.csv", "country=nation,age")
    assert columns_of(data)["country"] == [*COUNTRIES[:6], None, None]
    assert columns_of(data)["age"] == [None, 21, 22, 23, 24, 25, None, None]
    counts = {row.reason: row.rows for row in data.filters}
    assert counts["user table lines of users without interactions"] == 1
    assert counts["users that are missing in the user table"] == 1
    assert counts[next(reason for reason in counts if "differently written id in the user table" in reason)] == 1
    assert describe(data).user_columns == {"age": 5, "country": 6}


def test_nothing_but_the_named_columns_is_kept(shop: Path) -> None:
    (shop / "people.csv").write_text(csv_of([(*row, f"{row[0]}@mail") for row in ROWS], "user_id,country,age,email"))
    data = imported(shop, "people.csv", "country")
    assert data.user_columns is not None
    stored = data.user_columns.read_text()
    assert "mail" not in stored
    assert not any(name in stored for name in IDS), "users are numbers in it"


@pytest.mark.parametrize(
    ("rows", "columns", "what"),
    [
        ([*ROWS, ("u03", "Chad", 1)], "country", "duplicate user 'u03'"),
        ([("x", "Norway", 1), ("y", "Norway", 2)], "country", "none of the 2 lines of the user table has a user id"),
        ([("", "Norway", 1)], "country", "is not an id"),
        (ROWS, "city", "column 'city' of the user table is not found: it has ['user_id', 'country', 'age']"),
        (ROWS, "Country", "'Country' is not NAME or NAME=COLUMN"),
        (ROWS, "country,country", "is there twice"),
        (ROWS, "country,land=country", "names the column 'country' again"),
        (ROWS, "user=member,country", "column 'member' is not found"),
        (ROWS, "user=user_id", "no column of the user table is named"),
        ([(row[0], None, 3) for row in ROWS], "country", "no user of the interactions has a value"),
        ([(row[0], "NA", 3) for row in ROWS], "country,age", "no user of the interactions has a value"),
        ([(row[0], 1e13, 3) for row in ROWS], "country", None),
        ([("u01",)], "country", "1 field, but the header has 3"),
        ([], "country", "has no lines"),
    ],
)
def test_what_cannot_be_read_is_refused(
    shop: Path, rows: list[tuple[Any, ...]], columns: str, what: str | None
) -> None:
    (shop / "people.csv").write_text(csv_of(rows))
    if what is None:  # a text of many digits is a label, as in a catalog
        assert columns_of(imported(shop, "people.csv", columns))
        return
    with pytest.raises(RobustrecError) as raised:
        imported(shop, "people.csv", columns)
    assert what in raised.value.what
    assert raised.value.fix
    assert not (shop.parent / "home" / "data" / "mine").exists(), "complete or not at all"


def test_wrong_types_and_numbers_are_refused_with_their_line(shop: Path) -> None:
    for value, what in (({"a": 1}, "expected a string, but got dict"), (1e13, "is beyond 1e\\+12")):
        (shop / "people.jsonl").write_text(json.dumps({"user_id": "u01", "age": value}) + "\n")
        with pytest.raises(RobustrecError, match=what) as raised:
            imported(shop, "people.jsonl", "age")
        assert raised.value.where.endswith("people.jsonl: line 1, column age")


def test_a_column_that_tells_users_apart_is_refused(shop: Path) -> None:
    names = [f"v{user:03}" for user in range(60)]
    lines = [f"{name},i{item}" for name in names for item in range(6)]
    (shop / "ratings.csv").write_text("\n".join(["user_id,item_id", *lines]) + "\n")
    (shop / "people.csv").write_text(csv_of([(name, name, f"age {user % 30}") for user, name in enumerate(names)]))
    with pytest.raises(RobustrecError, match="'country' has 60 different values for 60 users"):
        imported(shop, "people.csv", "country")
    assert len(set(columns_of(imported(shop, "people.csv", "age"))["age"])) == 30


def test_options_of_users_need_each_other_and_a_file(shop: Path) -> None:
    with pytest.raises(RobustrecError, match="there is no table of users"):
        imported(shop, None, user_columns=("country",))
    (shop / "people.csv").write_text(csv_of(ROWS))
    with pytest.raises(RobustrecError, match=r"it has \['user_id', 'country', 'age'\]"):
        imported(shop, None, user_table=Path("people.csv"))
    with pytest.raises(RobustrecError, match=r"nothing\.csv not found") as raised:
        imported(shop, "nothing.csv")
    assert raised.value.where == "option --user-table"


def test_numbered_users_and_mappings_of_mmrec(tiny: Maker, home: Path) -> None:
    source = tiny()
    (source / "users.jsonl").write_text(
        "".join(json.dumps({"userID": user, "plan": "pro" if user % 2 else "free"}) + "\n" for user in range(N_USERS))
    )
    options = ImportOptions(user_table=Path("users.jsonl"), user_columns=("plan",), replace=True)
    data = load_folder(import_folder(source, "mine", home, options), home=home)
    assert columns_of(data) == {"plan": ["free", "pro"] * 3}
    again = load_folder(import_folder(data.folder, "again", home), home=home)
    assert columns_of(again) == columns_of(data), "a data set that is imported again keeps them"
    names = [f"n{user}" for user in range(N_USERS)]
    mapping = "".join(f"{name}\t{user}\n" for user, name in enumerate(names))
    (source / "u_id_mapping.csv").write_text("user_id\tuserID\n" + mapping)
    (source / "users.jsonl").write_text("".join(json.dumps({"user": name, "plan": name[1]}) + "\n" for name in names))
    data = load_folder(import_folder(source, "mine", home, options), home=home)
    assert columns_of(data) == {"plan": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}


def test_a_data_set_without_a_table_of_users_is_as_before(shop: Path) -> None:
    (shop / "people.csv").write_text(csv_of(ROWS))
    plain, data = imported(shop, None), imported(shop, "people.csv")
    assert plain.user_columns is None
    assert columns_of(plain) == {}
    assert data.digest == plain.digest, "columns of users change no training"
    assert "user_columns" not in (imported(shop, None).folder / "dataset.toml").read_text()
    assert describe(plain).user_columns == {}


def test_an_import_is_done_again_where_the_table_of_users_changed(shop: Path) -> None:
    home, table = shop.parent / "home", shop / "people.csv"
    table.write_text(csv_of(ROWS))
    options = ImportOptions(user_table=table, user_columns=("country",), k=1)
    place = import_folder(shop, "mine", home, options)
    assert import_folder(shop, "mine", home, options) == place, "a finished import of the same files"
    table.write_text(csv_of([(name, "Chad", age) for name, _, age in ROWS]))
    with pytest.raises(RobustrecError, match="already exists"):
        import_folder(shop, "mine", home, options)


def test_a_table_may_be_in_the_archive_or_beside_it(shop: Path) -> None:
    (shop / "people.csv").write_text(csv_of(ROWS))
    archive, home = shop.parent / "shop.zip", shop.parent / "home"
    with zipfile.ZipFile(archive, "w") as file:
        for path in shop.iterdir():
            file.write(path, path.name)
    for table in (Path("people.csv"), shop / "people.csv"):
        options = ImportOptions(user_table=table, user_columns=("country",), k=1, replace=True)
        data = load_folder(import_archive(archive, "mine", home, options), home=home)
        assert columns_of(data) == {"country": COUNTRIES}


def test_a_changed_file_of_columns_is_refused(shop: Path) -> None:
    (shop / "people.csv").write_text(csv_of(ROWS))
    data = imported(shop, "people.csv")
    assert data.user_columns is not None
    for line in ('{"userID": 8, "columns": {"age": 1}}', '{"userID": true}', '{"userID": 0}\n{"userID": 0}'):
        data.user_columns.write_text(line + "\n")
        with pytest.raises(RobustrecError, match="is not a number from 0 to 7 that is there once"):
            columns_of(data)


def test_the_command_prints_the_columns(shop: Path) -> None:
    (shop / "people.csv").write_text(csv_of(ROWS[:6]))
    words = [str(shop), "--name", "mine", "--k", "1", "--user-table", "people.csv", "--user-columns", "country,age"]
    result = CliRunner().invoke(app, ["import", *words, "--home", str(shop.parent / "home")])
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "user columns age of 6 of 8 users (75.0%), 2 without · country of 6 of 8 users (75.0%), 2 without" in shown
