"""The command on one's own catalog, and what it says to input it cannot use."""

import errno
import json
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pairs import COLOURS

from robustrec.cli.main import run
from robustrec.pretraining import reading

TINY = [
    *("--set", "model.image_size=16", "--set", "model.patch_size=8", "--set", "model.width=32"),
    *("--set", "model.heads=2", "--set", "model.vision_layers=1", "--set", "model.text_layers=1"),
    *("--set", "model.positions=32", "--set", "training.batch_size=8"),
]


def png(colour, side=20):
    buffer = BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Items without users: 40 lines, one unreadable picture, one missing, one without a title."""
    folder = tmp_path_factory.mktemp("mine")
    random = np.random.default_rng(0)
    lines = []
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for number in range(40):
            colour = list(COLOURS)[random.integers(len(COLOURS))]
            lines.append(
                {"title": f"{colour} square {number % 3}", "description": f"<b>{colour}</b>", "image": f"{number}.png"}
            )
            archive.writestr(f"{number}.png", b"no picture" if number == 3 else png(COLOURS[colour]))
    lines[5]["image"] = "lost.png"
    lines[7]["title"] = None
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def pretrain(*arguments, home):
    return run(["encoder", "pretrain", "--home", str(home), "--device", "cpu", "--seed", "1", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "encoder"
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip", "--steps", 4, *TINY]
    assert pretrain("--out", folder, *given, home=folder.parent) == 0
    return folder


def test_items_without_users_are_enough(made):
    card = json.loads((made / "card.json").read_text())
    (source,) = card["data"]
    assert (source["items"], source["unreadable_pictures"], source["named_pictures_not_there"]) == (38, 1, 1)
    assert (source["trained_on"], source["held_out"], source["synthetic"]) == (34, 4, False)
    assert card["training"]["steps"] == 4
    assert "Results on held-out items" in (made / "README.md").read_text()
    assert {path.name for path in made.iterdir()} == {"itm", "caption", "card.json", "README.md"}
    assert not made.with_name("encoder.partial").exists()


def test_the_folder_loads_as_transformers_folders_do_and_is_what_was_measured(made):
    from transformers import (
        AutoTokenizer,
        BlipForConditionalGeneration,
        BlipForImageTextRetrieval,
        BlipImageProcessorPil,
    )

    itm, info = BlipForImageTextRetrieval.from_pretrained(made / "itm", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    caption, info = BlipForConditionalGeneration.from_pretrained(made / "caption", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert {parameter.dtype for parameter in (*itm.parameters(), *caption.parameters())} == {torch.float32}
    assert torch.equal(itm.vision_model.post_layernorm.weight, caption.vision_model.post_layernorm.weight)
    tokenizer = AutoTokenizer.from_pretrained(made / "itm")
    assert tokenizer.convert_tokens_to_ids("[ENC]") == itm.config.text_config.vocab_size - 1
    assert tokenizer.convert_tokens_to_ids("[DEC]") == caption.config.text_config.bos_token_id
    assert BlipImageProcessorPil.from_pretrained(made / "itm").size["height"] == 16


def test_training_goes_on_from_a_folder_and_from_a_retrieval_model_alone(made, catalog, tmp_path):
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip", "--steps", 2]
    for place in (made, made / "itm"):
        out = tmp_path / place.name
        assert pretrain("--out", out, "--from", place, *given, "--image-size", 32, home=tmp_path) == 0
        card = json.loads((out / "card.json").read_text())
        assert card["start"]["weights"] == str(place)
        assert card["shape"]["image_size"] == 32
        assert card["training"]["caption_warmup"] == 0


def test_minutes_become_steps(made, catalog, tmp_path):
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip", "--minutes", 0.05]
    assert pretrain("--out", tmp_path / "out", *given, *TINY, home=tmp_path) == 0
    assert json.loads((tmp_path / "out" / "card.json").read_text())["training"]["steps"] >= 1


def test_the_card_is_shown(made, capsys):
    capsys.readouterr()
    assert run(["encoder", "card", str(made)]) == 0
    assert "held out" in capsys.readouterr().out
    assert run(["encoder", "card", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 1
    assert run(["encoder", "card", str(made.parent)]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no training data given"),
        (["--pictures", "x.zip"], "--pictures without --items"),
        (["--items", "items.jsonl"], "--items requires --pictures"),
        (["--items", "items.jsonl", "--pictures", "nowhere.zip"], "cannot open the pictures"),
        (["--items", "nowhere.jsonl", "--pictures", "pictures.zip"], "cannot read"),
        (["--items", "one.jsonl", "--pictures", "pictures.zip"], "are required, but got 1"),
        (["--items", "items.jsonl", "--pictures", "empty"], "none of the 40 pictures"),
        (["--items", "items.jsonl", "--pictures", "pictures.zip", "--set", "model.widht=8"], "did you mean"),
        (["--items", "items.jsonl", "--pictures", "pictures.zip", "--set", "model.patch_size=5"], "not a multiple"),
        (["--items", "items.jsonl", "--pictures", "pictures.zip", "--set", "training.steps=0"], "steps = 0"),
        (["--items", "items.jsonl", "--pictures", "pictures.zip", "--set", "training.clip_norm=inf"], "finite number"),
        (["--items", "items.jsonl", "--pictures", "pictures.zip", "--set", "curve.x=1"], "unknown section"),
        (["--items", "items.jsonl", "--pictures", "pictures.zip", "--from", "./nowhere"], "is not a directory"),
        (["--dataset", "no-such-thing"], "unknown dataset"),
    ],
)
def test_wrong_input_is_said_before_work(arguments, words, catalog, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("items.jsonl", "pictures.zip"):
        (tmp_path / name).write_bytes((catalog / name).read_bytes())
    (tmp_path / "one.jsonl").write_text((catalog / "items.jsonl").read_text().splitlines()[0] + "\n")
    assert pretrain("--out", tmp_path / "out", *arguments, home=tmp_path) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "fix:" in error or "did you mean" in error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_overwritten(catalog, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip"]
    assert pretrain("--out", tmp_path / "out", *given, home=tmp_path) == 2
    assert "already exists" in capsys.readouterr().err


def test_stdout_is_the_card_and_nothing_of_transformers_is_said(catalog, tmp_path):
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip", "--steps", "2", *TINY]
    command = [sys.executable, "-m", "robustrec", "encoder", "pretrain", "--json", "--out", tmp_path / "out", *given]
    done = subprocess.run(
        [*map(str, command), "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert json.loads(done.stdout)["format"] == 1
    known = ("pretraining", "decoding", "evaluating", "training pairs", "34 training pairs", str(tmp_path / "out"))
    assert [line for line in done.stderr.splitlines() if not line.startswith(known)] == []


def test_help_loads_neither_torch_nor_transformers():
    program = (
        "import sys; from robustrec.cli.main import run; run(['--help']); run(['encoder', 'pretrain', '--help']); "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_an_error_before_any_picture_is_decoded(catalog, tmp_path, capsys, monkeypatch, number):
    def full(_handle, _start, _size):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(reading.os, "posix_fallocate", full)
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip", "--steps", 1, *TINY]
    assert pretrain("--out", tmp_path / "encoder", *given, home=tmp_path / "home") == 2
    said = capsys.readouterr().err
    assert os.strerror(number) in said
    assert "where:" in said
    assert "space" in said
    assert "decoding the pictures" not in said
    assert not list(tmp_path.rglob("*.pixels"))


@pytest.mark.parametrize("supported", [True, False])
def test_the_space_of_pictures_is_reserved_before_they_are_mapped(tmp_path, monkeypatch, supported):
    """A file with holes would end the process by SIGBUS on a full disk."""
    if not supported:
        monkeypatch.setattr(reading, "_BLOCK", 1000)
        monkeypatch.delattr(reading.os, "posix_fallocate")
    pixels = reading.allocate_pixels(tmp_path / "a.pixels", (7, 40, 40, 3))
    assert pixels.shape == (7, 40, 40, 3)
    assert not pixels.any()
    status = (tmp_path / "a.pixels").stat()
    assert status.st_size == 7 * 40 * 40 * 3
    assert status.st_blocks * 512 >= status.st_size
    pixels[3] = 9
    assert reading.np.fromfile(tmp_path / "a.pixels", "u1").sum() == 9 * 40 * 40 * 3


def test_a_disk_that_fills_up_under_the_models_is_an_error(tmp_path):
    """Every size of file at which the disk is full, through the resource limit that says so."""
    script = """
import resource, sys
from pathlib import Path
from tiny_pairs import blip_and_data
from robustrec.pretraining.saving import save_models
from robustrec.errors import RobustrecError
from robustrec.files import staged_folder
blip, _ = blip_and_data()
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with staged_folder(Path(sys.argv[1])) as stage:
            save_models(blip, stage)
    except RobustrecError as error:
        assert "File too large" in error.what, error
        assert "free disk space" in error.fix, error
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out"), "100", "600", "2000", "8000", "20000"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_old_names_are_read_with_a_warning(catalog, tmp_path, capsys):
    given = ["--items", catalog / "items.jsonl", "--pictures", catalog / "pictures.zip", "--steps", 2, *TINY]
    renamed = ["--set", "training.prelude=0.5", "--set", "training.ripening=0.2", "--goods", 64]
    assert pretrain("--out", tmp_path / "out", *given, *renamed, home=tmp_path) == 0
    said = capsys.readouterr().err
    for name in ("training.caption_warmup", "training.hard_negative_ramp", "--products"):
        assert f"is now {name}; the old name will be removed" in said
    training = json.loads((tmp_path / "out" / "card.json").read_text())["training"]
    assert (training["caption_warmup"], training["hard_negative_ramp"]) == (0.5, 0.2)
    assert run(["encoder", "worth", str(tmp_path / "none")]) == 2
    assert "robustrec encoder worth is now robustrec encoder evaluate" in capsys.readouterr().err
