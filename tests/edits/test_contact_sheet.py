"""`robustrec list edits` and its contact sheet."""

import json
import signal
import zipfile

import numpy as np
import pytest
from edit_cases import OURS, noise_picture
from PIL import Image

from robustrec.cli.main import run
from robustrec.edits import EDITS
from robustrec.edits.sheet import CELL, _fitted, catalog_of_pictures, contact_sheet, shown
from robustrec.edits.view import view_of_catalog


@pytest.fixture(autouse=True)
def _own_home(sample_home, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(sample_home))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "goods"
    place.mkdir()
    for number, name in enumerate(("red-cup_2.png", "green.lamp.png", "rug.jpg")):
        noise_picture(90, 60, seed=number).save(place / name)
    (place / "notes.txt").write_text("no picture")
    return place


def test_the_table_says_name_modality_behaviour_and_severities(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["list", "edits"]) == 0
    told = capsys.readouterr().out
    for name, edit in OURS.items():
        assert name in told
        assert edit.behaviour[:20] in told
    assert "18 % · 25 %" in told


def test_json_has_all_of_it(capsys):
    assert run(["list", "edits", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(EDITS)
    assert rows[0]["severity"]["steps"] == list(OURS["promo_phrase"].declaration.steps)
    assert {row["modality"] for row in rows} == {"text", "image"}
    assert run(["list", "edits", "--edit", "blur", "--edit", "crop", "--edit", "blur", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["blur", "crop"]


def test_a_sheet_of_a_sample_edition_shows_every_edit(clothing, tmp_path, capsys):
    assert run(["list", "edits", "--sheet", "out/sheet.png", "-d", "clothing", "--edition", "sample"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "written: out/sheet.png" in told.err
    with Image.open(tmp_path / "out" / "sheet.png") as image:
        drawn = np.asarray(image.convert("RGB"))
    assert drawn.shape[0] > len(EDITS) * CELL
    rows = np.array_split(drawn[60:], len(EDITS))
    assert all((row[:, 260:] < 115).any() for row in rows), "each row has something in it"


def test_the_seed_decides_what_is_drawn(folder, tmp_path):
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        chosen = [word for edit in ("crop", "light", "typos") for word in ("--edit", edit)]
        assert (
            run(["list", "edits", "--sheet", name, "--pictures", str(folder), "--seed", str(seed), "-q", *chosen]) == 0
        )
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert a == b
    assert a != c


def test_pictures_of_ones_own_show_the_edits_of_pictures(folder, tmp_path):
    assert run(["list", "edits", "--sheet", "sheet.png", "--pictures", str(folder), "-q"]) == 0
    with Image.open(tmp_path / "sheet.png") as image:
        height = image.height
    n = sum(edit.modality == "image" for edit in OURS.values())
    assert n * CELL < height < (n + 3) * 2 * CELL
    assert height < len(OURS) * CELL


def test_one_needs_no_data_set_for_pictures_of_ones_own(folder, tmp_path):
    catalog = catalog_of_pictures(folder)
    assert catalog.titles == ("green lamp", "red cup 2", "rug")
    assert catalog.n_pictures == 3
    packed = tmp_path / "goods.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"deep/{path.name}")
    assert catalog_of_pictures(packed).titles == catalog.titles


def test_a_row_without_an_item_says_so_and_damaged_pictures_are_passed_over(folder):
    (folder / "rug.jpg").write_bytes(b"no picture")
    catalog = catalog_of_pictures(folder)
    edits = [OURS["brand_first"], OURS["mirrored"], OURS["wrong_picture"]]
    for seed in range(3):
        sheet = contact_sheet(catalog, view_of_catalog(catalog), edits, seed=seed, heading="x")
        empty, *filled = np.array_split(np.asarray(sheet)[60:], 3)
        assert empty[:, 700:].min() > 200
        assert all(row[:, 700:].min() < 120 for row in filled)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--edit", "blurr"], "unknown edit 'blurr'"),
        (["--sheet", "sheet.jpg"], "--sheet must be a .png file, but got 'sheet.jpg'"),
        (["--pictures", "goods"], "requires --sheet"),
        (["-d", "clothing"], "requires --sheet"),
        (["--sheet", "s.png", "--pictures", "goods", "-d", "clothing"], "--dataset and --pictures cannot be combined"),
        (["--sheet", "s.png", "--pictures", "nowhere"], "cannot open the pictures"),
        (["--sheet", "s.png", "--pictures", "empty"], "no pictures found"),
        (["--sheet", "s.png", "-d", "clothng"], "unknown dataset"),
        (["--sheet", "goods/red-cup_2.png/s.png", "--pictures", "goods"], "cannot write"),
    ],
)
def test_wrong_use_is_an_error_with_three_parts(options, what, folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(["list", "edits", *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert what in told
    assert "\n  where: " in told
    assert "\n  fix:   " in told
    assert not (tmp_path / "s.png").exists()


def test_a_data_set_without_a_catalogue_has_nothing_to_draw(tiny_folder, capsys):
    assert run(["list", "edits", "--sheet", "s.png", "-d", str(tiny_folder)]) == 2
    assert "neither texts nor pictures" in capsys.readouterr().err


def test_texts_are_shown_in_letters_the_font_has():
    assert shown("Größe – café 14°") == "Grosse - cafe 14 deg"
    assert shown("🔥 hot\x00\u202e") == "(fire) hot"
    assert shown("חולצה") == "?????"
    assert shown("❤️") == "(heavy black heart)"


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (60, 80), (4000, 3), (1000, 900)])
def test_pictures_are_fitted_into_a_cell(size):
    fitted = _fitted(Image.new("RGB", size))
    assert max(fitted.size) == CELL
    assert min(fitted.size) >= 1


def test_a_title_of_ten_thousand_words_is_drawn_in_its_cell(folder):
    long = folder / ("word" * 40 + ".png")
    noise_picture(20, 20).save(long)
    catalog = catalog_of_pictures(folder)
    sheet = contact_sheet(catalog, view_of_catalog(catalog), [OURS["keyword_stuffing"]], seed=0, heading="y" * 5000)
    assert sheet.height < 400
