"""`robustrec data prepare`: raw archives of each layout become the data set that their rows say."""

from __future__ import annotations

import gzip
import json
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.raw_archives import Archive, write_archive, write_image_features, write_pictures
from robustrec.cli.main import run
from robustrec.datasets.import_options import ImportOptions
from robustrec.datasets.importing import import_folder
from robustrec.datasets.interactions import read_inter
from robustrec.datasets.item_numbers import read_numbers
from robustrec.datasets.manifest import read_manifest
from robustrec.datasets.prepare import labels
from robustrec.datasets.prepare.build import Prepared, prepare
from robustrec.datasets.prepare.layouts import LAYOUTS
from robustrec.datasets.prepare.options import PrepareOptions
from robustrec.datasets.registry import load_folder
from robustrec.errors import RobustrecError

SMALL = {"reviews": 1500, "users": 150, "items": 60}
CATEGORY = {"microlens": "100k", "hm": None}


def made(tmp_path: Path, layout: str = "amazon2014", name: str = "raw", **options) -> Archive:
    options = {"category": CATEGORY.get(layout, "Baby") or "", **SMALL, **options}
    return write_archive(layout, tmp_path / name, **options)


def prepared(tmp_path: Path, archive: Archive, name: str = "shop", **options) -> Prepared:
    options.setdefault("category", archive.category or None)
    return prepare(archive.layout, archive.folder, tmp_path / "home", PrepareOptions(name=name, **options))


def core_of(archive: Archive, k: int = 5) -> set[tuple[str, str]]:
    """The k-core by its definition."""
    pairs = {(user, item) for user, item, *_ in archive.reviews}
    while True:
        users, items = Counter(user for user, _ in pairs), Counter(item for _, item in pairs)
        kept = {(user, item) for user, item in pairs if users[user] >= k and items[item] >= k}
        if kept == pairs:
            return kept
        pairs = kept


def pairs_of(folder: Path) -> dict[tuple[str, str], int]:
    """Original ids of user and item of each interaction, and its label."""
    name = next(folder.glob("*.inter"))
    interactions, _ = read_inter(name)
    users, items = (
        {number: name for name, number in read_numbers(folder / f"{kind}_id_mapping.csv", column).items()}
        for kind, column in (("u", "userID"), ("i", "itemID"))
    )
    rows = zip(interactions.users.tolist(), interactions.items.tolist(), interactions.labels.tolist(), strict=True)
    return {(users[user], items[item]): label for user, item, label in rows}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_core_of_its_rows_with_texts(tmp_path, layout, as_json):
    if as_json and not layout.startswith("amazon"):
        pytest.skip("the layout has a table only")
    archive = made(tmp_path, layout, as_json=as_json)
    done = prepared(tmp_path, archive)
    pairs = pairs_of(done.folder)
    assert set(pairs) == core_of(archive)
    data = load_folder(done.folder, home=tmp_path / "home")
    known = {item.id: item for item in archive.items}
    numbers = read_numbers(done.folder / "i_id_mapping.csv", "itemID")
    for name, number in numbers.items():
        title = known[name].title
        assert data.catalog.items[number].title == title
        if layout.startswith("amazon"):
            assert data.catalog.items[number].description == " ".join(known[name].description.split())
            assert data.catalog.items[number].categories == ("Baby", known[name].kind)
    assert done.counts["rows of the interactions file"] == len(archive.reviews)
    assert done.counts["items with a title"] == sum(bool(known[name].title) for name in numbers)
    if layout.startswith("amazon"):
        assert done.counts["items with a description"] == sum(bool(known[name].description) for name in numbers)
        assert done.counts["items with a picture address"] == len(numbers)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_order_of_the_files_does_not_matter(tmp_path, layout):
    digests = set()
    for name, order in (("one", None), ("two", 1), ("three", 2)):
        archive = made(tmp_path, layout, name, order=order)
        done = prepared(tmp_path, archive, name)
        digests.add(load_folder(done.folder, home=tmp_path / "home").digest)
    assert len(digests) == 1


def test_splits_are_those_of_the_specification(tmp_path):
    done = prepared(tmp_path, made(tmp_path))
    of_user: dict[str, Counter[int]] = {}
    for (user, _), label in pairs_of(done.folder).items():
        of_user.setdefault(user, Counter())[label] += 1
    for counts in of_user.values():
        n = counts.total()
        held = n // 5 if n >= 10 else 2
        assert (counts[1], counts[2]) == (held // 2, held - held // 2)


def test_differences_from_published_counts_name_both_numbers(tmp_path):
    done = prepared(tmp_path, made(tmp_path))
    text = "\n".join(done.warnings)
    assert "1,500 rows of the interactions file prepared, but 915,446 published for Amazon 2014 Baby" in text
    assert "lines of the catalog prepared, but 71,317 published" in text
    assert "users prepared, but 19,445 published" in text
    assert "items prepared, but 7,050 published" in text
    assert "interactions prepared, but 160,792 published" in text
    assert "160,792" in load_folder(done.folder, home=tmp_path / "home").folder.joinpath("dataset.toml").read_text()
    # Another core, or another release, has no published counts.
    assert prepared(tmp_path, made(tmp_path, "amazon2018", "other"), "other").warnings == ()
    smaller = prepared(tmp_path, made(tmp_path), "smaller", k=3).warnings
    assert not any("users" in warning for warning in smaller)


def test_pictures_by_address_and_by_id(tmp_path):
    archive = made(tmp_path)
    write_pictures(archive, tmp_path / "pictures")
    done = prepared(tmp_path, archive, pictures=tmp_path / "pictures")
    data = load_folder(done.folder, home=tmp_path / "home")
    assert data.catalog.n_pictures == data.interactions.n_items
    hm = made(tmp_path, "hm", "hm")
    write_pictures(hm, hm.folder / "images")  # found where the competition puts them
    data = load_folder(prepared(tmp_path, hm, "hm").folder, home=tmp_path / "home")
    assert data.catalog.n_pictures == data.interactions.n_items
    colours = {item.id: item.colour for item in hm.items}
    numbers = read_numbers(data.folder / "i_id_mapping.csv", "itemID")
    strongest = {"Red": 0, "Green": 1, "Blue": 2}
    for name, number in numbers.items():
        if colours[name] in strongest:
            mean = np.asarray(data.catalog.picture(number)).reshape(-1, 3).mean(axis=0)
            assert int(mean.argmax()) == strongest[colours[name]]


def test_image_features_are_those_of_the_item_and_the_mean_elsewhere(tmp_path):
    archive = made(tmp_path)
    write_image_features(archive, tmp_path / "f.b")
    with (tmp_path / "f.b").open("ab") as file:  # a second record of an item is not taken
        file.write(archive.items[0].id.encode() + np.full(4096, 9, np.float32).tobytes())
    done = prepared(tmp_path, archive, cnn_features=tmp_path / "f.b")
    counted = {row.reason: row.rows for row in read_manifest(done.folder).filters}
    assert counted["image features of an item that has some already"] == 1
    table = np.load(done.folder / "image_feat.npy")
    numbers = read_numbers(done.folder / "i_id_mapping.csv", "itemID")
    assert table.dtype == np.float32
    assert table.shape == (len(numbers), 4096)
    with_record = {item.id for at, item in enumerate(archive.items) if at % 7 != 6}
    own = {
        name: np.random.default_rng(list(name.encode())).random(4096, dtype=np.float32)
        for name in numbers
        if name in with_record
    }
    mean = np.mean(list(own.values()), axis=0, dtype=np.float64).astype(np.float32)
    for name, number in numbers.items():
        np.testing.assert_allclose(table[number], own.get(name, mean), rtol=1e-6)
    assert 0 < len(own) < len(numbers)


@pytest.mark.parametrize("damage", ["short", "nan", "other", "text"])
def test_damaged_image_features_are_refused(tmp_path, damage):
    archive = made(tmp_path)
    path = tmp_path / "f.b"
    write_image_features(archive, path)
    content = bytearray(path.read_bytes())
    if damage == "short":
        del content[-5:]
    elif damage == "nan":
        for start in range(10, len(content), 10 + 4 * 4096):
            content[start : start + 4] = b"\x00\x00\xc0\x7f"
    elif damage == "other":
        for start in range(0, len(content), 10 + 4 * 4096):
            content[start : start + 1] = b"Z"
    else:
        content = bytearray(b"item,feature\n" * 1261)
    path.write_bytes(content)
    with pytest.raises(RobustrecError) as error:
        prepared(tmp_path, archive, cnn_features=path)
    assert str(path) in error.value.where
    assert not (tmp_path / "home" / "data" / "shop").exists()


@pytest.mark.parametrize("kind", ["numbers", "renumbered", "mapped", "names"])
def test_a_published_split_is_taken_by_user_and_item(tmp_path, kind, monkeypatch):
    archive = made(tmp_path)
    if kind != "renumbered":  # nothing else needs the structure
        monkeypatch.setattr(labels, "match_by_structure", lambda *_: None)
    draw = np.random.default_rng(5)
    core = core_of(archive)
    users = list(dict.fromkeys(user for user, item, *_ in archive.reviews if (user, item) in core))
    items = list(dict.fromkeys(item for user, item, *_ in archive.reviews if (user, item) in core))
    folder = tmp_path / "labels"
    folder.mkdir()
    if kind in ("renumbered", "mapped"):
        users, items = ([names[at] for at in draw.permutation(len(names))] for names in (users, items))
    if kind == "mapped":
        for names, file, header in ((users, "u", "user_id\tuserID"), (items, "i", "asin\titemID")):
            lines = [f"{name}\t{number}" for number, name in enumerate(names)]
            (folder / f"{file}_id_mapping.csv").write_text("\n".join([header, *lines]) + "\n")
    wanted = {pair: int(draw.integers(3)) if at % 4 else 0 for at, pair in enumerate(sorted(core))}
    for user in users:  # nobody is without a training row
        wanted[next(pair for pair in wanted if pair[0] == user)] = 0
    codes = [{name: str(number) for number, name in enumerate(names)} for names in (users, items)]
    if kind == "names":
        codes = [{name: name for name in names} for names in (users, items)]
    rows = [f"{codes[0][user]}\t{codes[1][item]}\t{label}" for (user, item), label in wanted.items()]
    (folder / "x.inter").write_text("userID\titemID\tx_label\n" + "\n".join(rows) + "\n")
    done = prepared(tmp_path, archive, labels=folder / "x.inter")
    found = pairs_of(done.folder)
    if kind == "renumbered":  # users of the same items cannot be told apart, and all others are
        assert _by_items(found) == _by_items(wanted)
        assert sum(found[pair] == wanted[pair] for pair in wanted) > 0.9 * len(wanted)
    else:
        assert found == wanted
    if kind != "names":  # the numbers are those of the split
        assert read_numbers(done.folder / "i_id_mapping.csv", "itemID") == {n: i for i, n in enumerate(items)}


def test_numbers_of_a_split_are_by_first_appearance_in_the_core(tmp_path):
    """Not in the whole file: B has the first row there, of an item that is not in the 5-core."""
    users, items = "ABCDE", "12345"  # nobody differs from another by the items
    rows = [("B", "9"), *((user, item) for item in items for user in users)]
    (tmp_path / "ratings_X.csv").write_text("".join(f"{user},{item},5.0,1\n" for user, item in rows))
    (tmp_path / "meta_X.json").write_text(repr({"asin": "1", "title": "one"}) + "\n")
    wanted = {(user, item): 2 if users.index(user) == items.index(item) else 0 for user, item in rows[1:]}
    lines = [f"{users.index(user)}\t{items.index(item)}\t{label}" for (user, item), label in wanted.items()]
    (tmp_path / "x.inter").write_text("\n".join(["userID\titemID\tx_label", *lines]) + "\n")
    done = prepare("amazon2014", tmp_path, tmp_path / "home", PrepareOptions(name="x", labels=tmp_path / "x.inter"))
    assert pairs_of(done.folder) == wanted


def _by_items(labels: dict[tuple[str, str], int]) -> Counter[frozenset[tuple[str, int]]]:
    """The items of each user with their labels, without the user."""
    of_user: dict[str, set[tuple[str, int]]] = {}
    for (user, item), label in labels.items():
        of_user.setdefault(user, set()).add((item, label))
    return Counter(map(frozenset, of_user.values()))


def test_a_split_of_other_data_is_refused_with_both_counts(tmp_path):
    archive = made(tmp_path)
    other = prepared(tmp_path, made(tmp_path, "amazon2014", "other", seed=9), "other")
    with pytest.raises(RobustrecError, match="pairs of the split are not in the interactions"):
        prepared(tmp_path, archive, labels=other.folder / "other.inter")  # with its mappings
    alone = tmp_path / "alone.inter"
    alone.write_bytes((other.folder / "other.inter").read_bytes())
    with pytest.raises(RobustrecError, match=r"users.*items.*interactions, but the 5-core of the interactions has"):
        prepared(tmp_path, archive, labels=alone)
    # One pair of another item: all counts are equal.
    mine = prepared(tmp_path, archive)
    lines = (mine.folder / "shop.inter").read_text().splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    there = {(user, item) for user, item, _ in rows}
    swapped = next(item for item in sorted({item for _, item, _ in rows}) if (rows[0][0], item) not in there)
    rows[0][1] = swapped
    path = tmp_path / "swapped.inter"
    path.write_text("\n".join([lines[0], *("\t".join(row) for row in rows)]) + "\n")
    with pytest.raises(RobustrecError, match="not the same pairs of users and items, in any numbering"):
        prepared(tmp_path, archive, "again", labels=path)


def test_the_published_split_of_baby(shared_folder: Path, tmp_path):
    """Raw files with Baby's interactions in another numbering give its published counts and labels."""
    baby = shared_folder / "data" / "baby"
    if not baby.is_dir():
        pytest.skip("the data of Amazon Baby are not here")
    split, _ = read_inter(baby / "baby.inter")
    draw = np.random.default_rng(0)
    items = [json.loads(line) for line in (baby / "items.jsonl").read_text().splitlines()]
    users = [f"A{number:012d}" for number in draw.permutation(split.n_users)]
    asins = [item["asin"] for item in items]
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = [f"{users[u]},{asins[i]},5.0,1" for u, i in zip(split.users.tolist(), split.items.tolist(), strict=True)]
    rows += [f"B{number:012d},{asins[number % 7050]},5.0,1" for number in range(3000)]  # outside the 5-core
    rows = [rows[at] for at in draw.permutation(len(rows))]
    (raw / "ratings_Baby.csv").write_text("\n".join(rows) + "\n")
    lines = [repr({"asin": item["asin"], "title": item["title"] or "", "imUrl": item["image_url"]}) for item in items]
    (raw / "meta_Baby.json.gz").write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    done = prepare("amazon2014", raw, tmp_path / "home", PrepareOptions(category="Baby", labels=baby / "baby.inter"))
    assert done.name == "baby"
    assert (done.counts["users"], done.counts["items"], done.counts["interactions"]) == (19_445, 7_050, 160_792)
    assert not any(word in warning for warning in done.warnings for word in ("users", "items", "interactions prep"))
    assert done.counts["items with a title"] == 3416
    ours, _ = read_inter(done.folder / "baby.inter")
    for name in ("users", "items", "labels"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(split, name))
    assert read_numbers(done.folder / "i_id_mapping.csv", "itemID") == {asin: at for at, asin in enumerate(asins)}


def test_missing_files_are_named_with_their_page(tmp_path):
    (tmp_path / "raw").mkdir()
    for layout in LAYOUTS.values():
        with pytest.raises(RobustrecError) as error:
            prepare(layout.name, tmp_path / "raw", tmp_path / "home")
        assert layout.page in error.value.fix
        assert layout.ratings[0].partition("{")[0] in error.value.what
    archive = made(tmp_path, "amazon2014", "bare")
    (archive.folder / "meta_Baby.json.gz").unlink()
    with pytest.raises(RobustrecError, match=r"meta_Baby[.]json"):
        prepared(tmp_path, archive)


def test_the_command_lists_layouts_and_reports_counts(tmp_path, capsys):
    assert run(["data", "prepare", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{layout.name}: " in listed for layout in LAYOUTS.values())
    archive = made(tmp_path)
    command = ["data", "prepare", "amazon2014", "--raw", str(archive.folder), "--home", str(tmp_path / "home")]
    assert run([*command, "--json"]) == 0
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert told["name"] == "baby"
    assert told["prepared"]["counts"]["users"] == told["users"]
    assert "915,446 published" in out.err
    assert run(command) == 0
    assert "already prepared" in capsys.readouterr().err
    assert run([*command, "--seed", "1"]) == 2
    fix = capsys.readouterr().err.partition("or replace it: ")[2].strip()
    assert "--seed 1" in fix
    assert run(shlex.split(fix)[1:]) == 0
    assert "prepared as 'baby'" in capsys.readouterr().err


def test_several_categories_and_other_spellings(tmp_path):
    made(tmp_path)
    archive = made(tmp_path, category="Sports_and_Outdoors")
    with pytest.raises(RobustrecError, match="several category files: Baby, Sports_and_Outdoors") as error:
        prepare("amazon2014", archive.folder, tmp_path / "home")
    assert run([*shlex.split(error.value.fix.partition(": ")[2])[1:], "--name", "one"]) == 0
    assert prepared(tmp_path, archive, None, category="sports").name == "sports"
    for layout, category in (("hm", "Baby"), ("amazon2014", "../x")):
        with pytest.raises(RobustrecError, match="categor"):
            prepare(layout, archive.folder, tmp_path / "home", PrepareOptions(category=category))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_prepared_can_be_audited(tmp_path, layout):
    home = ["--home", str(tmp_path / "home")]
    done = prepared(tmp_path, made(tmp_path, layout))
    assert run(["data", "describe", done.name, "--json", *home]) == 0
    assert run(["audit", "-m", "freedom", "-d", done.name, "--suite", "merchant", "--dry-run", *home]) == 0


def test_what_is_prepared_can_be_trained_on(tmp_path):
    archive = made(tmp_path)
    write_pictures(archive, tmp_path / "pictures")
    done = prepared(tmp_path, archive, pictures=tmp_path / "pictures")
    command = ["train", "-m", "vbpr", "-d", done.name, "-f", "basic", "--home", str(tmp_path / "home"), "-q"]
    assert run([*command, "--set", "training.max_epochs=2"]) == 0


def test_an_import_of_published_files_names_the_command(tmp_path):
    for layout in LAYOUTS.values():
        if layout.importable:
            continue
        archive = made(tmp_path, layout.name, f"raw {layout.name}")
        with pytest.raises(RobustrecError) as error:
            import_folder(archive.folder, "shop", tmp_path / "home")
        command = error.value.fix
        assert run([*shlex.split(command)[1:], "--name", layout.name, "--home", str(tmp_path / "home")]) == 0
    archive = made(tmp_path, "amazon2014", "raw")
    (archive.folder / "meta_Baby.json.gz").unlink()
    import_folder(archive.folder, "ratings", tmp_path / "home")  # ratings alone are imported as before


@pytest.mark.parametrize("layout", ["amazon2014", "amazon2018", "amazon2023"])
def test_metadata_are_a_catalog_of_an_import(tmp_path, layout):
    """A folder in the MMRec layout with the ids of its items takes the metadata as they were published."""
    archive = made(tmp_path, layout)
    done = prepared(tmp_path, archive)
    folder = tmp_path / "mmrec"
    folder.mkdir()
    for name in ("shop.inter", "i_id_mapping.csv", "u_id_mapping.csv"):
        (folder / name).write_bytes((done.folder / name).read_bytes())
    meta = next(archive.folder.glob("meta_*"))
    target = import_folder(folder, "mmrec", tmp_path / "home", ImportOptions(items=meta))
    ours, theirs = (load_folder(place, home=tmp_path / "home") for place in (target, done.folder))
    assert ours.catalog.texts == theirs.catalog.texts
    assert ours.digest == theirs.digest
    assert read_numbers(target / "i_id_mapping.csv", "itemID") == read_numbers(
        done.folder / "i_id_mapping.csv", "itemID"
    )
    (folder / meta.name).write_bytes(meta.read_bytes())
    found = load_folder(import_folder(folder, "found", tmp_path / "home"), home=tmp_path / "home")
    assert found.digest == theirs.digest
    content = gzip.decompress(meta.read_bytes())
    damaged = tmp_path / "meta_Baby.json"
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(RobustrecError, match="not metadata of an item") as error:
        import_folder(folder, "damaged", tmp_path / "home", ImportOptions(items=damaged))
    assert f"{damaged}: line " in error.value.where


def test_the_split_can_be_another_and_is_recorded(tmp_path):
    archive = made(tmp_path)
    done = prepared(tmp_path, archive, split="leave-last-two", keep="last")
    split = load_folder(done.folder, home=tmp_path / "home").split
    assert (split.kind, split.keep) == ("leave-last-two", "last")
    times = {(user, item): time for user, item, _, time in archive.reviews}
    of_user: dict[str, list[tuple[int, int]]] = {}
    for pair, label in pairs_of(done.folder).items():
        of_user.setdefault(pair[0], []).append((times[pair], label))
    for rows in of_user.values():
        test = [time for time, label in rows if label == 2]
        assert test == [max(time for time, _ in rows)]
        assert sum(label == 1 for _, label in rows) == 1
    with pytest.raises(RobustrecError, match="--labels gives the split"):
        prepared(tmp_path, archive, "other", labels=done.folder / "shop.inter", split="time")
    with pytest.raises(RobustrecError, match="unknown split"):
        prepared(tmp_path, archive, "other", split="leave-one-in")


@pytest.mark.parametrize("file", ["reviews_Baby.json.gz", "meta_Baby.json.gz"])
def test_truncated_downloads_are_errors_with_the_file(tmp_path, file):
    archive = made(tmp_path, as_json=True)
    path = archive.folder / file
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(RobustrecError, match=r"truncated or damaged|ended before") as error:
        prepared(tmp_path, archive)
    assert str(path) in error.value.where
    assert not (tmp_path / "home" / "data" / "shop").exists()
    assert list((tmp_path / "home" / "data").glob(".shop.*/")) == []
