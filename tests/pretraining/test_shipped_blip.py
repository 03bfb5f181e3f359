"""The tiny BLIP that is shipped: small, whole, loaded offline, and as good as its card says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from robustrec.cli.main import run
from robustrec.edits import edit
from robustrec.edits.content import Content
from robustrec.edits.contract import apply_edit
from robustrec.edits.view import CatalogueView
from robustrec.encoders.chosen import encoder_name
from robustrec.files import shipped
from robustrec.pretraining.architecture import encode_pictures, fused_vectors
from robustrec.pretraining.batches import normalised, tokenize_source
from robustrec.pretraining.heldout import (
    caption_attributes,
    encode_held_out,
    matching,
    relevant_pairs,
    retrieval,
    write_captions,
)
from robustrec.pretraining.page import page_text, read_card
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.start import from_weights, start_weights
from robustrec.pretraining.synthetic import synthetic_source
from robustrec.pretraining.tokens import padded
from robustrec.seeds import numpy_generator

CATALOG = {"catalog": SimpleNamespace(n_texts=3, n_pictures=3)}
FOLDER = shipped("fixtures", "tiny-blip")


@pytest.fixture(scope="module")
def card():
    return read_card(FOLDER)


@pytest.fixture(scope="module")
def blip():
    return from_weights(start_weights(str(FOLDER), offline=True), 0, None)


@pytest.fixture(scope="module")
def clothing(blip, card):
    settings = {name: value for name, value in card["training"].items() if name in TrainingSettings.model_fields}
    source = synthetic_source("clothing", 1, TrainingSettings(**settings), blip.side)
    return tokenize_source(source, blip.tokenizer, card["shape"]["positions"])


def test_it_is_small():
    sizes = {path: path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 8 * 2**20
    assert max(sizes.values()) < 4 * 2**20
    assert {path.suffix for path in sizes} <= {".json", ".md", ".safetensors"}, "nothing that would be unpickled"


def test_it_has_the_structure_of_the_checkpoints(blip, card):
    text = blip.itm.config.text_config
    assert type(blip.itm).__name__ == "BlipForImageTextRetrieval"
    assert type(blip.caption).__name__ == "BlipForConditionalGeneration"
    assert all(hasattr(layer, "crossattention") for layer in blip.itm.text_encoder.encoder.layer)
    known = blip.tokenizer.get_vocab()
    assert (known["[DEC]"], known["[ENC]"]) == (text.vocab_size - 2, text.vocab_size - 1) == blip.specials[3:]
    assert known["[DEC]"] == text.bos_token_id
    assert text.vocab_size == len(known) == card["shape"]["vocabulary"]


def test_its_card_is_whole(card):
    assert [source["name"] for source in card["data"]] == ["baby", "sports", "clothing", "electronics"]
    assert all(source["synthetic"] and source["digest"] for source in card["data"])
    assert card["training"]["seed"] == 0
    assert card["losses"]["rows"][-1][1:] < card["losses"]["rows"][0][1:]
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == page_text(card)
    assert card["recommenders"]["verdict"], "whether it earns its place is said"
    assert any(example["wrong"] for example in card["examples"]), "mistakes are shown too"


def test_every_held_out_number_is_beyond_chance_where_the_card_is_proud_of_it(card):
    for entry in card["held_out"].values():
        for view in entry["views"].values():
            for metric in ("image_to_text_r@1", "text_to_image_r@1"):
                assert view[metric]["low"] > 10 * view[metric]["chance"]
            assert view["matching_accuracy_random"]["low"] > 0.7


def test_held_out_items_were_never_learned_from(clothing):
    source = clothing.source
    assert not {*source.groups[source.held_out].tolist()} & {*source.groups[source.train].tolist()}


def test_the_cards_numbers_come_out_again(blip, card, clothing):
    told = card["held_out"]["clothing"]["views"]["shown"]
    held = encode_held_out(blip, clothing, clothing.source.held_out, "shown")
    groups = relevant_pairs(clothing, held)
    for name, found in {**retrieval(held, groups), **matching(blip, held, groups, card["training"]["seed"])}.items():
        assert found.value == pytest.approx(told[name]["value"], abs=0.006), name
        assert found.n == told[name]["n"]
        assert found.chance == pytest.approx(told[name]["chance"])


def test_its_captions_name_what_the_card_says(blip, card, clothing):
    rows = clothing.source.held_out[:64]
    captions = write_captions(blip, clothing, rows, "clean")
    for name, found in caption_attributes(blip, clothing, rows, captions).items():
        told = card["held_out"]["clothing"]["views"]["clean"][name]["value"]
        error = max(4 * np.sqrt(told * (1 - told) / len(rows)), 0.05)
        assert found.value == pytest.approx(told, abs=error), name


def test_the_command_shows_its_card(capsys):
    assert run(["encoder", "card", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 1


def test_weights_are_numbers(blip):
    for model in (blip.itm, blip.caption):
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_samples_are_encoded_with_it_by_default():
    def chosen(**given):
        dataset = {"name": "clothing", "synthetic": True, "feature_files": {}, **CATALOG, **given}
        return encoder_name(SimpleNamespace(**dataset), "auto")

    assert chosen() == "tiny-blip"
    assert chosen(synthetic=False) == "basic", "it knows the sample shops and no others"
    assert chosen(name="mine") == "basic"
    assert chosen(feature_files={"text": FOLDER}) == "imported"


@pytest.fixture(scope="module")
def looks(blip, clothing):
    """The first 48 items' fused vectors by what their pictures are: their own, with a small badge, another's."""
    rows = clothing.source.held_out[:48]
    own = clothing.source.pictures["shown"][rows]
    badge = edit("promo_badge")
    badged = [
        apply_edit(
            badge,
            Content("", "", (), "", Image.fromarray(picture)),
            1,
            numpy_generator(0, "promo_badge", row),
            CatalogueView(),
        )
        for row, picture in enumerate(own)
    ]
    texts = padded([clothing.texts["shown"][row] for row in rows], blip.specials.pad, first=blip.specials.encode)

    def vectors(pixels):
        with torch.no_grad():
            return fused_vectors(blip.itm, *texts, encode_pictures(blip.itm, normalised(pixels)))

    return {
        "own": vectors(own),
        "badge": vectors(np.stack([np.asarray(content.picture) for content in badged])),
        "wrong": vectors(np.roll(own, 7, axis=0)),
    }


def test_a_wrong_picture_moves_an_item_more_than_a_small_badge(looks):
    moved = {name: (looks[name] - looks["own"]).norm(dim=1) for name in ("badge", "wrong")}
    assert moved["badge"].min() > 0
    assert moved["wrong"].median() > 2 * moved["badge"].median()
    assert (moved["wrong"] > moved["badge"]).double().mean() > 0.85


def test_a_wrong_picture_does_not_make_another_item_of_it(looks):
    """The text still counts: with another's picture an item stays nearer to itself than to most items."""
    distances = torch.cdist(looks["wrong"], looks["own"])
    nearer = (distances < distances.diagonal()[:, None]).double().mean(dim=1)
    assert nearer.mean() < 0.4
