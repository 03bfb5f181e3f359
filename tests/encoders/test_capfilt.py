"""Captions and filter: the sampling, the threshold, what is joined, and that a row depends on itself only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_networks import save_blip
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.encoders import capfilt
from robustrec.encoders.blip import Blip
from robustrec.encoders.capfilt import DROPPED, KEPT, NOT_SCORED, pick_nucleus
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import Rows, StoredNetwork
from robustrec.errors import RobustrecError

ROWS = [RowContent(toy_text(item), lambda item=item: toy_picture(item)) for item in range(6)]


def network(folder: Path, home: Path, **more: Any) -> StoredNetwork:
    given = {"denoise": "capfilt", "batch_size": 4, **more}
    return StoredNetwork("blip", EncoderOptions(weights=(str(folder),), device="cpu", **given), home, first="blip")


def captions(part: StoredNetwork) -> list[str]:
    blip = part.network
    assert isinstance(blip, Blip)
    assert blip.filter is not None
    with torch.inference_mode():
        found = blip.filter._captions([blip.prepare(row.picture())[-1] for row in ROWS])
    return [texts[0] for texts in found]


def test_the_nucleus_is_inverted_in_order_of_probability() -> None:
    scores = torch.log(torch.tensor([[0.1, 0.5, 0.05, 0.35]]))  # nucleus of 0.9: tokens 1, 3 and 0
    picked = [int(pick_nucleus(scores, draw)) for draw in (0.0, 0.52, 0.53, 0.89, 0.9, 0.999)]
    assert picked == [1, 1, 3, 3, 0, 0]
    assert int(pick_nucleus(scores, 0.9, nucleus=0.4)) == 1


@given(draw=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 99))
def test_a_token_comes_from_the_nucleus(draw: float, seed: int) -> None:
    scores = torch.randn(3, 11, generator=torch.Generator().manual_seed(seed)) * 3
    probabilities = torch.softmax(scores.double(), dim=1)
    for row, token in enumerate(pick_nucleus(scores, draw).tolist()):
        more_probable = probabilities[row][probabilities[row] > probabilities[row, token]].sum()
        assert more_probable < capfilt.NUCLEUS


def test_draws_give_the_distribution_of_the_nucleus() -> None:
    scores = torch.log(torch.tensor([[0.5, 0.25, 0.2, 0.05]]))
    grid = (torch.arange(2000) + 0.5) / 2000
    picked = torch.cat([pick_nucleus(scores, float(draw)) for draw in grid])
    shares = torch.bincount(picked, minlength=4) / 2000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.2, 0.0]) / 0.95, atol=1e-3, rtol=0)


def test_with_draws_of_zero_captions_are_transformers_greedy_ones(
    tiny_blip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer, BlipForConditionalGeneration
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    part = network(tiny_blip, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(capfilt.torch, "rand", lambda n, **_: torch.zeros(n, dtype=torch.float64))
        ours = captions(part)
    folder = tiny_blip / "caption"
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = BlipImageProcessorPil.from_pretrained(folder)([row.picture() for row in ROWS], return_tensors="pt")
    ids = model.generate(**pixels, max_new_tokens=capfilt.MOST_TOKENS, do_sample=False, num_beams=1)
    theirs = [" ".join(text.split()) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert [text.replace(" ", "") for text in ours] == [
        "".join(capfilt.clean_text(text, 50).split()) for text in theirs
    ]


def test_seeds_change_captions_and_the_same_seed_does_not(tiny_blip: Path, tmp_path: Path) -> None:
    first, again = (captions(network(tiny_blip, tmp_path)) for _ in range(2))
    assert first == again
    assert first != captions(network(tiny_blip, tmp_path, caption_seed=1))


def test_matching_probability_is_transformers(tiny_blip: Path, tmp_path: Path) -> None:
    from transformers import BlipForImageTextRetrieval

    blip = network(tiny_blip, tmp_path, denoise="none", enc_token=False).network
    assert isinstance(blip, Blip)
    texts = blip.tokens([row.text for row in ROWS])
    with torch.inference_mode():
        image = blip.encode_pictures([blip.prepare(row.picture())[0] for row in ROWS])
        ours = blip.match_probability(texts.ids, image)
        model = BlipForImageTextRetrieval.from_pretrained(tiny_blip / "itm").eval()
        pixels = blip.picture_rule.normalised(
            [blip.prepare(row.picture())[0] for row in ROWS], torch.device("cpu"), torch.float32
        )
        for row, ids in enumerate(texts.ids):
            score = model(input_ids=torch.tensor([ids]), pixel_values=pixels[row : row + 1]).itm_score
            torch.testing.assert_close(ours[row], torch.softmax(score, dim=1)[0, 1], atol=1e-5, rtol=0)


def encoded_text(part: StoredNetwork, row: RowContent, text: str) -> torch.Tensor:
    """Return the fused vector of a picture with a text of token ids that no cleaning touches."""
    blip = part.network
    assert isinstance(blip, Blip)
    (ids,) = blip.token_ids([text])
    with torch.inference_mode():
        return blip.encode_texts([ids], blip.encode_pictures([blip.prepare(row.picture())[0]]))[0]


@pytest.mark.parametrize("threshold", [1e-9, 1 - 1e-9])
def test_what_passes_is_joined_and_else_the_caption_stands_alone(
    tiny_blip: Path, tmp_path: Path, threshold: float
) -> None:
    part = network(tiny_blip, tmp_path, threshold=threshold)
    rows = [*ROWS[:3], RowContent("", ROWS[3].picture), RowContent(toy_text(4), lambda: None)]
    found = part.uncached(rows, None)
    sampled = captions(part)
    all_pass = threshold < 0.5
    for place in range(3):
        text = f"{toy_text(place)} {sampled[place]}" if all_pass else sampled[place]
        expected = encoded_text(part, ROWS[place], text)
        torch.testing.assert_close(found.outputs["fused"][place], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.outputs["fused"][3], encoded_text(part, ROWS[3], sampled[3]), atol=1e-5, rtol=0)
    verdict = KEPT if all_pass else DROPPED
    assert found.facts["text_kept"].tolist() == [verdict] * 3 + [NOT_SCORED] * 2
    assert found.facts["captions_kept"].tolist() == [int(all_pass)] * 4 + [0]
    assert found.facts["nothing_kept"].tolist() == [int(not all_pass)] * 4 + [0]
    plain = network(tiny_blip, tmp_path, denoise="none").uncached(rows[4:], None)
    torch.testing.assert_close(found.outputs["fused"][4], plain.outputs["fused"][0], atol=1e-5, rtol=0)
    (note,) = part.network.notes(found.facts)
    kept = "3 of 3 texts kept, 0 dropped, 4 captions kept" if all_pass else "0 of 3 texts kept, 3 dropped, 0 captions"
    assert kept in note


def test_a_row_depends_on_itself_only(tiny_blip: Path, tmp_path: Path) -> None:
    def run(order: list[int], **more: Any) -> Rows:
        return network(tiny_blip, tmp_path, **more).uncached([ROWS[place] for place in order], None)

    whole = run([*range(6)])
    for order, batch_size in (([5, 3, 0, 1, 4, 2], 2), ([2], 1), ([4, 4, 1], 8)):
        part = run(order, batch_size=batch_size)
        torch.testing.assert_close(part.outputs["fused"], whole.outputs["fused"][order], atol=1e-5, rtol=0)
        assert torch.equal(part.facts["text_kept"], whole.facts["text_kept"][order])


def test_several_captions_are_candidates(tiny_blip: Path, tmp_path: Path) -> None:
    found = network(tiny_blip, tmp_path, threshold=1e-9, captions=3).uncached(ROWS, None)
    assert found.facts["captions_kept"].tolist() == [3] * 6


def test_a_captioner_of_another_picture_size(tiny_blip: Path, tmp_path: Path) -> None:
    other = save_blip(tmp_path / "other", side=48, captioner=True) / "caption"
    options = EncoderOptions(weights=(str(tiny_blip), f"captioner={other}"), denoise="capfilt", device="cpu")
    part = StoredNetwork("blip", options, tmp_path, first="blip")
    assert [tuple(tensor.shape) for tensor in part.network.prepare(toy_picture(0))] == [(32, 32, 3), (48, 48, 3)]
    assert torch.isfinite(part.uncached(ROWS, None).outputs["fused"]).all()


def test_a_folder_without_a_captioner_says_what_to_give(
    make_dataset: MakeDataset, tiny_blip: Path, tmp_path: Path
) -> None:
    options = EncoderOptions(weights=(str(tiny_blip / "itm"),), denoise="capfilt", device="cpu")
    with pytest.raises(RobustrecError, match="no captioner in") as caught:
        item_features(make_dataset(3), "blip", home=tmp_path, options=options)
    assert "--weights captioner=FOLDER" in caught.value.fix
