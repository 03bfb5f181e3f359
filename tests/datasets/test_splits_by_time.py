"""Splits by time: closed forms, no leakage, independence of the row order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiny_folders import Maker

from robustrec.cli.main import run
from robustrec.datasets.conversion import Ratings, SplitOptions
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.ratings import read_published_split, read_ratings
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError

DAY = 86_400
START = 1_500_000_000 - 1_500_000_000 % DAY
Row = tuple[str, str, int, Any]
rows_of_anyone = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(1, 5), st.integers(0, 6)), min_size=25, max_size=70
).map(lambda rows: [(f"u{user}", f"i{item}", rating, START + DAY * day) for user, item, rating, day in rows])


def written(folder: Path, rows: list[Row], header: str = "user,item,rating,timestamp") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ratings.csv"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def read(path: Path, kind: Any, **options: Any) -> Ratings:
    return read_ratings(path, k=1, how=SplitOptions(kind=kind, **options))


def by_pair(found: Ratings) -> dict[tuple[str, str], int]:
    data = found.interactions
    rows = zip(data.users.tolist(), data.items.tolist(), data.labels.tolist(), strict=True)
    return {(found.user_ids[user], found.item_ids[item]): label for user, item, label in rows}


def first_times(rows: list[Row]) -> dict[tuple[str, str], int]:
    times: dict[tuple[str, str], int] = {}
    for user, item, _, time in rows:
        times[user, item] = min(time, times.get((user, item), time))
    return times


@given(rows=rows_of_anyone, kind=st.sampled_from(["leave-one-out", "leave-last-two"]), seed=st.integers(0, 3))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_last_interactions_of_each_user_are_held_out(tmp_path: Path, rows: list[Row], kind: str, seed: int) -> None:
    found = read(written(tmp_path, rows), kind, seed=seed)
    labels, times = by_pair(found), first_times(rows)
    assert labels.keys() == times.keys()
    for user in found.user_ids:
        own = [(times[pair], label) for pair, label in labels.items() if pair[0] == user]
        held = [label for _, label in own if label != TRAIN]
        assert sorted(held) == ([VALIDATION, TEST] if len(own) >= 3 else [])
        train, validation, test = ([time for time, label in own if label == each] for each in (TRAIN, VALIDATION, TEST))
        assert not test or max(train + validation) <= test[0]
        assert not validation or kind == "leave-one-out" or max(train) <= validation[0]
    assert found.split.early_test == 0


@given(rows=rows_of_anyone, share=st.sampled_from([0.1, 0.2, 0.3]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_cut_in_time_has_no_leakage(tmp_path: Path, rows: list[Row], share: float) -> None:
    """Training rows are before all validation rows, and these before all test rows; users without are left out."""
    try:
        found = read(written(tmp_path, rows), "time", test_share=share, valid_share=share)
    except RobustrecError:
        assume(False)
    labels, times = by_pair(found), first_times(rows)
    split = [[times[pair] for pair, label in labels.items() if label == each] for each in (TRAIN, VALIDATION, TEST)]
    cuts = [f"{found.split.valid_from}", f"{found.split.test_from}"]
    seconds = [int(np.datetime64(cut).astype("datetime64[s]").astype(np.int64)) for cut in cuts]
    assert max(split[0]) < seconds[0] <= min(split[1])
    assert max(split[1]) < seconds[1] <= min(split[2])
    held = [time for time in times.values() if time >= seconds[1]]
    later = [time for time in times.values() if time > seconds[1]]
    assert len(later) < share * len(times) + 1e-9 <= len(held) + 1e-9
    trained = {user for (user, _), label in labels.items() if label == TRAIN}
    cold = {pair: time for pair, time in times.items() if pair[0] not in trained}
    assert {pair for pair in times if pair not in labels} == cold.keys()
    counted = found.interactions.cold_users
    assert (counted.users, counted.validation + counted.test) == (len({user for user, _ in cold}), len(cold))
    assert counted.test == sum(time >= seconds[1] for time in cold.values())


@given(rows=rows_of_anyone, data=st.data(), kind=st.sampled_from(["random", "leave-one-out", "leave-last-two", "time"]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("keep", ["first", "last", "max", "sum"])
def test_the_order_of_rows_changes_nothing(
    tmp_path: Path, rows: list[Row], data: st.DataObject, kind: str, keep: str
) -> None:
    """With many ties in time and rating, so that the order could decide."""
    results = []
    for place in (rows, data.draw(st.permutations(rows))):
        try:
            found = read(written(tmp_path, list(place)), kind, keep=keep)
        except RobustrecError as error:
            results.append(error.what)
            continue
        results.append((by_pair(found), found.split, {row.reason: row.rows for row in found.filters}))
    assert results[0] == results[1]


def test_ties_are_not_broken_by_the_item(tmp_path: Path) -> None:
    """All interactions are at one time: each of three items is the test item of about a third of the users."""
    rows = [(f"u{user}", f"i{item}", 5, START) for user in range(600) for item in range(3)]
    found = read(written(tmp_path, rows), "leave-last-two")
    data = found.interactions
    counts = np.bincount(data.items[data.labels == TEST], minlength=3)
    assert counts.sum() == 600
    assert counts.min() > 150
    reasons = {row.reason: row.rows for row in found.filters}
    assert reasons == {
        "users with several last interactions at one time, told apart at random with the seed (kept)": 600
    }


def test_users_without_a_tie_at_the_boundary_are_not_counted(tmp_path: Path) -> None:
    rows = [("u", "a", 1, START), ("u", "b", 1, START), ("u", "c", 1, START + 1), ("u", "d", 1, START + 2)]
    assert not read(written(tmp_path, rows), "leave-last-two").filters
    assert not read(written(tmp_path, rows), "leave-one-out").filters
    tied = [*rows[:2], ("u", "c", 1, START + 2), ("u", "d", 1, START + 3), ("u", "e", 1, START + 2)]
    assert [row.rows for row in read(written(tmp_path, tied), "leave-last-two").filters] == [1]
    assert not read(written(tmp_path, tied), "leave-one-out").filters


@pytest.mark.parametrize(
    ("keep", "low", "test"),
    [
        ("first", None, "b"),  # a at day 0, b at day 3
        ("last", None, "a"),  # a at day 9
        ("max", None, "a"),  # a rated 5 at day 9
        ("sum", None, "a"),
        ("first", 3, "a"),  # a rated 5 at day 9 is the first that passes
        ("sum", 6, "a"),
    ],
)
def test_which_row_of_a_pair_is_kept(tmp_path: Path, keep: str, low: float | None, test: str) -> None:
    others = [("u", item, 6, START + DAY * day) for day, item in ((1, "c"), (2, "d"), (3, "b"))]
    rows = [("u", "a", 1, START), ("u", "a", 5, START + 9 * DAY), *others]
    how = SplitOptions(kind="leave-last-two", keep=keep)  # type: ignore[arg-type]
    found = read_ratings(written(tmp_path, rows), k=1, min_rating=low, how=how)
    assert [pair[1] for pair, label in by_pair(found).items() if label == TEST] == [test]


@pytest.mark.parametrize(
    ("keep", "kept"), [("first", "abc"), ("last", "bc"), ("max", "abc"), ("sum", "abcd")]
)  # fmt: skip
def test_min_rating_applies_to_what_is_kept(tmp_path: Path, keep: str, kept: str) -> None:
    """a was rated 5 and then 1, d twice 2: a count of 4 passes as a sum alone."""
    rows = [("u", "a", 5, 1), ("u", "a", 1, 2), ("u", "b", 4, 3), ("u", "c", 4, 4), ("u", "d", 2, 5), ("u", "d", 2, 6)]
    found = read_ratings(written(tmp_path, rows), k=1, min_rating=4, how=SplitOptions(keep=keep))  # type: ignore[arg-type]
    assert {item for _, item in by_pair(found)} == set(kept)


def test_dates_are_times_in_any_iso_form_and_cut_with_dates(tmp_path: Path) -> None:
    days = ["2020-01-01", "2020-02-01T10:00:00", "2020-03-01", "2020-03-01T00:00:00Z", "2020-04-01"]
    rows = [("u", f"i{place}", 1, day) for place, day in enumerate(days)]
    found = read(written(tmp_path, rows), "time", valid_from="2020-03-01", test_from="2020-04-01")
    assert list(by_pair(found).values()) == [TRAIN, TRAIN, VALIDATION, VALIDATION, TEST]
    assert (found.split.first, found.split.last) == ("2020-01-01", "2020-04-01")


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_the_unit_of_the_times_is_found(tmp_path: Path, unit: int) -> None:
    rows = [("u", f"i{day}", 1, (START + DAY * day) * unit) for day in range(10)]
    found = read(written(tmp_path, rows), "time")
    assert (found.split.valid_from, found.split.test_from) == ("2017-07-22", "2017-07-23")
    assert found.split.words.startswith("by time, one cut for all users; validation from 2017-07-22 (a share of 10%)")


def test_times_may_be_plain_numbers(tmp_path: Path) -> None:
    rows = [("u", f"i{place}", 1, place) for place in range(10)]
    found = read(written(tmp_path, rows), "time", valid_from="5", test_from="8.5")
    assert list(by_pair(found).values()) == [TRAIN] * 5 + [VALIDATION] * 4 + [TEST]
    with pytest.raises(RobustrecError, match="is a date, but the times are plain numbers"):
        read(tmp_path / "ratings.csv", "time", valid_from="2020-01-01", test_from="2021-01-01")


ONE_USER: list[Row] = [("u", f"i{day}", 1, START + DAY * day) for day in range(6)]


@pytest.mark.parametrize(
    ("rows", "header", "options", "what"),
    [
        ([("u", "a"), ("u", "b")], "user,item", {"kind": "time"}, "--split time needs the time of every interaction"),
        ([("u", "a"), ("u", "b")], "user,item", {"keep": "last"}, "--keep last needs the time of every interaction"),
        ([*ONE_USER, ("u", "x", 1, "soon")], None, {"kind": "leave-one-out"}, "'soon' is not a number or an ISO date"),
        ([*ONE_USER, ("u", "x", 1, START * 1000)], None, {"kind": "time"}, "the times are in different units"),
        (ONE_USER, None, {"kind": "time", "valid_from": "2017-07-15"}, "--test-from is missing"),
        (ONE_USER, None, {"kind": "time", "valid_from": "2018", "test_from": "2017-07-17"}, "left for train"),
        (ONE_USER, None, {"kind": "time", "valid_from": "2017-07-18", "test_from": "2017-07-17"}, "left for valid"),
        (ONE_USER, None, {"kind": "time", "valid_from": "2010", "test_from": "2017-07-17"}, "left for train"),
        (ONE_USER, None, {"kind": "time", "test_share": 0.5, "valid_share": 0.5}, "leave no training rows"),
        (ONE_USER, None, {"kind": "random", "test_share": 0.5}, "--test-share is of a split by time"),
        (ONE_USER, None, {"kind": "published"}, "the files give no split"),
        (ONE_USER, None, {"kind": "tmie"}, "split 'tmie'"),
        (ONE_USER, None, {"keep": "lst"}, "choice 'lst'"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused(
    tmp_path: Path, rows: list[Row], header: str | None, options: dict[str, Any], what: str
) -> None:
    path = written(tmp_path, rows, header or "user,item,rating,timestamp")
    with pytest.raises(RobustrecError) as caught:
        read(path, options.pop("kind", None), **options)
    assert what in caught.value.what
    assert caught.value.fix


def test_a_cut_that_leaves_no_test_user_is_refused(tmp_path: Path) -> None:
    rows = [(f"u{user}", f"i{item}", 1, START + DAY * user) for user in range(3) for item in range(4)]
    with pytest.raises(RobustrecError, match="no user with validation interactions has a training interaction"):
        read(written(tmp_path, rows), "time", valid_from="2017-07-15", test_from="2017-07-16")


def test_missing_times_are_counted(tmp_path: Path) -> None:
    rows = [*ONE_USER, ("u", "x", 1, ""), ("u", "y", 1, "NaN"), ("u", "z", 1, 0), ("u", "w", 1, -1)]
    found = read(written(tmp_path, rows), "leave-last-two")
    reasons = {row.reason: row.rows for row in found.filters}
    assert reasons == {"rows without a time": 2, "rows with a time of 0 or less, or infinite": 2}
    assert len(found.item_ids) == len(ONE_USER)


def test_a_published_split_is_kept_or_split_anew(tmp_path: Path) -> None:
    """The published split trains on the future, which is counted; all its rows can be split by time instead."""
    header = "user,item,rating,timestamp,split"
    labels = ["test", "train", "train", "train", "valid", "train"]
    rows = [(*row, label) for row, label in zip(ONE_USER, labels, strict=True)]
    path = written(tmp_path, rows, header)  # type: ignore[arg-type]
    found = read(path, None)
    assert (found.split.kind, found.split.source, found.split.early_test) == ("published", "a column", 1)
    assert read(path, "published").interactions.labels.tolist() == [2, 0, 0, 0, 1, 0]
    assert read(path, "leave-last-two").interactions.labels.tolist() == [0, 0, 0, 0, 1, 2]
    files = {}
    for label, name in enumerate(("train", "valid", "test")):
        own = [row for row, said in zip(ONE_USER, labels, strict=True) if said == name]
        files[label] = written(tmp_path / name, own).rename(tmp_path / f"{name}.csv")
    three = read_published_split(files)
    assert (three.split.kind, three.split.source) == ("published", "train.csv, valid.csv, test.csv")
    assert by_pair(three) == by_pair(found)
    assert by_pair(read_published_split(files, how=SplitOptions(kind="leave-last-two"), k=1)) == by_pair(
        read(path, "leave-last-two")
    )


def test_the_mmrec_layout_can_be_split_anew(tiny: Maker, tmp_path: Path) -> None:
    """Users and items keep their numbers, so that features and catalog still fit."""
    folder, home = tiny(items=True, features=("image",)), tmp_path / "home"
    import_folder(folder, "as-is", home)
    import_folder(folder, "anew", home, ImportOptions(split="leave-last-two"))
    published, anew = (load_dataset(name, home=home) for name in ("as-is", "anew"))
    assert (published.split and published.split.kind, anew.split and anew.split.kind) == ("published", "leave-last-two")
    for name in ("users", "items", "n_users", "n_items"):
        assert np.array_equal(getattr(published.interactions, name), getattr(anew.interactions, name))
    assert published.feature_files.keys() == anew.feature_files.keys()
    again = import_folder(home / "data" / "anew", "again", home)
    assert load_dataset("again", home=home).split == anew.split
    assert load_dataset("again", home=home).digest == anew.digest
    assert again.is_dir()


def test_the_split_stands_in_manifest_description_and_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cut in time leaves users and items without training interactions; a random split of timed data has a note."""
    rows = [(f"u{user}", f"i{item}", 1, START + DAY * (2 * user + item)) for user in range(12) for item in range(6)]
    folder, home = written(tmp_path / "shop", rows).parent, tmp_path / "home"
    base = ["data", "import", str(folder), "--name", "shop", "--k", "1", "--replace", "--home", str(home)]
    assert run([*base, "--split", "time", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    times = sorted(row[3] for row in rows)
    assert found["split"]["test_from"] == str(np.datetime64(times[-8], "s"))[:10]
    assert found["cold_users"] == {"users": 1, "validation": 1, "test": 5}  # the last user begins at day 22
    assert found["split_note"] == ""
    manifest = (home / "data" / "shop" / "dataset.toml").read_text()
    assert '[split]\nkind = "time"' in manifest
    assert f'test_from = "{found["split"]["test_from"]}"' in manifest
    digests = {found["digest"]}
    for kind in ("random", "leave-one-out", "leave-last-two"):
        assert run([*base, "--split", kind, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        digests.add(found["digest"])
        assert ("lets the model train on interactions later than the test ones" in found["split_note"]) == (
            kind == "random"
        )
    assert len(digests) == 4
    assert run(["data", "describe", "shop", "--home", str(home)]) == 0
    assert "leave-last-two: the last interaction of a user is for test" in " ".join(capsys.readouterr().out.split())
