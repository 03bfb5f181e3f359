"""hf-text, hf-dual and hf-image give the vectors of transformers' own forward pass, alone and in a batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tiny_families import (
    IMAGE_CONFIGS,
    TEXT_CONFIGS,
    describe,
    save_altclip,
    save_chinese_clip,
    save_clip,
    save_gemma,
    save_image,
    save_qwen3,
    save_siglip,
    save_text,
    write,
)
from tokenizers import Tokenizer
from torch.nn.functional import normalize
from toy_shop import toy_picture

from robustrec.encoders import families
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork
from robustrec.errors import RobustrecError

TEXTS = ["red lamp", "blue rug of wool", "a", "", "green cup " * 40, "Red lamp", "new small cup number a"]


def picture(place: int) -> Image.Image:
    return toy_picture(place).resize((50 + 9 * place, 71))


ROWS = [RowContent(text, lambda place=place: picture(place)) for place, text in enumerate(TEXTS)]
Make = Callable[[Path], Path]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Path]:
    """A folder made once in this module, by a name; tests that change it make a copy."""
    place = tmp_path_factory.mktemp("families")

    def made(name: str, make: Make) -> Path:
        return place / name if (place / name).is_dir() else make(place / name)

    return made


def network(name: str, folder: Path, home: Path, **options: Any) -> Any:
    given = EncoderOptions(weights=(str(folder),), device="cpu", **options)
    return StoredNetwork(name, given, home, first=families.owner(name))


def run(name: str, folder: Path, home: Path, rows: Sequence[RowContent] = ROWS, **options: Any) -> torch.Tensor:
    (found,) = network(name, folder, home, **options).uncached(rows, None).outputs.values()
    return torch.as_tensor(found)


def assert_alone_and_in_batch(name: str, folder: Path, home: Path, expected: torch.Tensor, **options: Any) -> None:
    """Assert the expected vectors with one row, three rows and all rows a batch, in two orders."""
    scale = expected.abs().max()
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * scale, "the comparison would say nothing"
    for size in (1, 3, 8):
        found = run(name, folder, home, batch_size=size, **options)
        torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=0)
    found = run(name, folder, home, ROWS[::-1], batch_size=3, **options).flip(0)
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=0)


def words(folder: Path, text: str, longest: int) -> list[int]:
    """Return the ids of a text by the tokenizer's own file."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(longest)
    return list(tokenizer.encode(text).ids)


def pixels(folder: Path, kind: str) -> torch.Tensor:
    """Return the pictures by a processor of transformers, [n, 3, 32, 32]."""
    processor = getattr(transformers, kind).from_pretrained(folder)
    return torch.cat([processor(picture(place), return_tensors="pt")["pixel_values"] for place in range(len(TEXTS))])


DUALS: dict[str, tuple[Make, int, bool, bool]] = {
    "clip": (save_clip, 12, False, False),
    "clip with the old end token": (lambda folder: save_clip(folder, eos=2), 12, False, False),
    "metaclip_2": (lambda folder: save_clip(folder, kind="MetaClip2"), 12, False, False),
    "siglip": (save_siglip, 64, False, True),
    "chinese_clip": (save_chinese_clip, 40, True, False),
    "altclip": (save_altclip, 18, True, False),
}
"""Name -> how its folder is made, longest text, whether padding is masked, whether texts have one fixed length."""


@torch.no_grad()
def joint(folder: Path, longest: int, *, mask: bool, fixed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return text_embeds and image_embeds of the joint forward pass, one text at a time."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    kind = "SiglipImageProcessorPil" if fixed else "CLIPImageProcessorPil"
    pictures = pixels(folder, kind)
    texts = []
    for text in TEXTS:
        ids = torch.tensor([words(folder, text.lower() if fixed else text, longest)])
        if fixed:
            ids = torch.cat([ids, torch.zeros(1, longest - ids.shape[1], dtype=torch.long)], dim=1)
        masks = {"attention_mask": torch.ones_like(ids)} if mask else {}
        texts.append(model(input_ids=ids, pixel_values=pictures[:1], **masks).text_embeds)
    given = {"attention_mask": torch.ones_like(ids)} if mask else {}
    return torch.cat(texts), model(input_ids=ids, pixel_values=pictures, **given).image_embeds


@pytest.mark.parametrize("name", DUALS)
def test_both_towers_are_those_of_the_joint_forward_pass(
    folder_of: Callable[[str, Make], Path], tmp_path: Path, name: str
) -> None:
    make, longest, mask, fixed = DUALS[name]
    folder = folder_of(name, make)
    text, image = joint(folder, longest, mask=mask, fixed=fixed)
    assert_alone_and_in_batch("hf-dual.text", folder, tmp_path, text)
    assert_alone_and_in_batch("hf-dual.image", folder, tmp_path, image)
    torch.testing.assert_close(run("hf-dual.text", folder, tmp_path), text, atol=1e-6, rtol=0)
    torch.testing.assert_close(run("hf-dual.image", folder, tmp_path), image, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "fault", [{"mask": True}, {"full": False}, {"lower": False}], ids=["masked", "padded to the longest", "cased"]
)
def test_a_wrong_rule_for_siglip_shows(
    folder_of: Callable[[str, Make], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, bool]
) -> None:
    """Padding, mask and case each decide the vector, so that the test above cannot pass with another rule."""
    folder = folder_of("siglip", save_siglip)
    right = run("hf-dual.text", folder, tmp_path)
    wrong_rule = families.DUAL_FAMILIES["siglip"]._replace(**fault)
    monkeypatch.setitem(families.DUAL_FAMILIES, "siglip", wrong_rule)
    wrong = run("hf-dual.text", folder, tmp_path, batch_size=1)
    assert (wrong - right).abs().max() > 0.01


def test_siglip_pads_with_the_padding_token_of_its_tokenizer(tmp_path: Path) -> None:
    """SigLIP 2 has a padding token with id 0, while the class of its configuration has another default."""
    folder = save_siglip(tmp_path / "model")
    tower = network("hf-dual.text", folder, tmp_path).network
    assert (tower.loaded.tokenizer.pad, tower.loaded.length) == (0, 64)
    write(folder / "tokenizer_config.json", {"eos_token": "<eos>"})
    with pytest.raises(RobustrecError, match="no pad_token is defined"):
        run("hf-dual.text", folder, tmp_path)


def test_siglip_without_its_end_token_in_the_template_gets_it(tmp_path: Path) -> None:
    templates = {"with": "$A <eos>", "without": "", "gemma": "<bos> $A"}
    folders = [save_siglip(tmp_path / name, template=template) for name, template in templates.items()]
    for text in ("red lamp", "a " * 200):
        ids = [network("hf-dual.text", folder, tmp_path).network.tokens([text]).ids[0] for folder in folders]
        assert ids[0] == ids[1] == ids[2]
        assert ids[0][-1] == 1
        assert len(ids[0]) == min(64, len(text.split()) + 1)


def test_siglip_1_reads_no_punctuation(tmp_path: Path) -> None:
    folder = save_siglip(tmp_path / "model", tokenizer_class="SiglipTokenizer")
    rows = [RowContent(text, lambda: None) for text in ("Red, lamp!", "red  lamp")]
    found = run("hf-dual.text", folder, tmp_path, rows)
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)


def test_a_cut_text_keeps_the_end_token_of_clip_and_is_counted(tmp_path: Path) -> None:
    folder = save_clip(tmp_path / "model")
    found = network("hf-dual.text", folder, tmp_path).network.tokens([*TEXTS, "green " * 10, "green " * 11])
    assert [len(ids) for ids in found.ids] == [4, 6, 3, 0, 12, 4, 7, 12, 12]
    assert all(ids[-1] == 20 for ids in found.ids if ids)
    assert found.cut == [False, False, False, False, True, False, False, False, True]
    assert [round(share, -1) for share in found.unknown[:6]] == [0, 0, 0, 0, 0, 50]


TEXT_FOLDERS: dict[str, tuple[Make, str, str]] = {
    **{
        kind: (lambda folder, kind=kind: describe(save_text(folder, kind), "mean", "Normalize"), "mean", kind)
        for kind in TEXT_CONFIGS
    },
    "bge": (lambda folder: describe(save_text(folder, "Bert"), "cls", "Normalize"), "cls", "Bert"),
    "qwen3": (lambda folder: describe(save_qwen3(folder), "lasttoken", "Normalize"), "lasttoken", "Qwen3"),
    "gemma3": (lambda folder: describe(save_gemma(folder), "mean", "Normalize", old=False), "mean", "Gemma3Text"),
}
"""Name -> how its folder is made, its pooling, its class."""


@torch.no_grad()
def pooled_by_hand(folder: Path, kind: str, pooling: str, longest: int) -> torch.Tensor:
    model = getattr(transformers, f"{kind}Model").from_pretrained(folder).eval()
    vectors = []
    for text in TEXTS:
        states = model(input_ids=torch.tensor([words(folder, text, longest)])).last_hidden_state[0]
        vectors.append({"mean": states.mean(dim=0), "cls": states[0], "lasttoken": states[-1]}[pooling])
    return normalize(torch.stack(vectors), dim=1)


@pytest.mark.parametrize("name", TEXT_FOLDERS)
def test_texts_are_pooled_as_the_folder_says(folder_of: Callable[[str, Make], Path], tmp_path: Path, name: str) -> None:
    make, pooling, kind = TEXT_FOLDERS[name]
    folder = folder_of(name, make)
    longest = {"XLMRoberta": 38, "Roberta": 38, "Camembert": 38, "MPNet": 38, "Qwen3": 64, "Gemma3Text": 64}
    expected = pooled_by_hand(folder, kind, pooling, longest.get(kind, 40))
    assert_alone_and_in_batch("hf-text", folder, tmp_path, expected)


def test_every_family_of_texts_and_pictures_is_in_these_tests() -> None:
    kinds = {*TEXT_CONFIGS, "Qwen3", "Gemma3Text"}
    assert {f"{kind}Model" for kind in kinds} == {family.kind for family in families.TEXT_FAMILIES.values()}
    towers = {"CLIPModel", "SiglipModel"}
    assert {f"{kind}Model" for kind in IMAGE_CONFIGS} | towers == {
        family.kind for family in families.IMAGE_FAMILIES.values()
    }
    assert set(families.DUAL_FAMILIES) == {name.split()[0] for name in DUALS}


def test_another_pooling_shows_and_is_part_of_the_identity(
    folder_of: Callable[[str, Make], Path], tmp_path: Path
) -> None:
    folder = folder_of("bge", TEXT_FOLDERS["bge"][0])
    own, mean = network("hf-text", folder, tmp_path), network("hf-text", folder, tmp_path, pooling="mean")
    assert own.identity != mean.identity
    assert (run("hf-text", folder, tmp_path) - run("hf-text", folder, tmp_path, pooling="mean")).abs().max() > 0.05
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert network("hf-text", copy, tmp_path).identity == own.identity
    write(copy / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    assert network("hf-text", copy, tmp_path).identity["weights"] != own.identity["weights"]


def test_without_modules_the_pooling_must_be_given(tmp_path: Path) -> None:
    folder = save_text(tmp_path / "model", "Bert")
    with pytest.raises(RobustrecError, match="is not defined: it has no modules") as caught:
        network("hf-text", folder, tmp_path)
    assert "--set encoder.pooling=mean" in caught.value.fix
    expected = pooled_by_hand(folder, "Bert", "cls", 40)
    found = run("hf-text", folder, tmp_path, pooling="cls", normalise=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(run("hf-text", folder, tmp_path, pooling="cls"), expected, atol=0.01)


def test_the_limit_of_the_tokenizer_holds_if_the_folder_has_no_other(tmp_path: Path) -> None:
    """sentence-transformers 6 writes no max_seq_length; a tokenizer without a limit has 10**30."""
    made = {limit: tmp_path / str(limit) for limit in (9, 10**30, 1e30, 500)}
    for limit, folder in made.items():
        describe(save_text(folder, "Bert", model_max_length=limit), "mean", old=False)
    found = [network("hf-text", folder, tmp_path).network.tokens(TEXTS) for folder in made.values()]
    assert [max(map(len, each.ids)) for each in found] == [9, 40, 40, 40]
    describe(made[9], "mean", max_seq_length=12)
    longer = network("hf-text", made[9], tmp_path).network.tokens(TEXTS)
    assert max(map(len, longer.ids)) == 12
    assert longer.cut == [False, False, False, False, True, False, False]


@pytest.mark.parametrize("name", ["clip", "siglip", "qwen3"])
def test_a_folder_without_its_tokenizer_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = DUALS[name][0](tmp_path / name) if name in DUALS else TEXT_FOLDERS[name][0](tmp_path / name)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(RobustrecError, match=r"tokenizer\.json is missing"):
        run("hf-dual.text" if name in DUALS else "hf-text", folder, tmp_path)


def test_half_precision_is_near_and_another_identity(folder_of: Callable[[str, Make], Path], tmp_path: Path) -> None:
    cases = [
        ("hf-dual.text", folder_of("siglip", save_siglip)),
        ("hf-dual.image", folder_of("siglip", save_siglip)),
        ("hf-text", folder_of("qwen3", TEXT_FOLDERS["qwen3"][0])),
        ("hf-image", folder_of("image ResNet", lambda place: save_image(place, "ResNet"))),
    ]
    for name, folder in cases:
        full, half = run(name, folder, tmp_path), run(name, folder, tmp_path, precision="bfloat16")
        assert half.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(full, half).min() > 0.99
        assert not torch.equal(full, half)


def test_a_decoder_without_its_end_token_in_the_template_gets_it(tmp_path: Path) -> None:
    folders = [save_qwen3(tmp_path / "with"), save_qwen3(tmp_path / "without", template="")]
    found = []
    for folder in folders:
        describe(folder, "lasttoken", "Normalize")
        found.append(network("hf-text", folder, tmp_path).network.tokens(TEXTS))
    assert found[0].ids == found[1].ids
    assert all(ids[-1] == 0 for ids in found[0].ids if ids)  # <|endoftext|>, and not the eos_token <|im_end|>
    torch.testing.assert_close(*(run("hf-text", folder, tmp_path) for folder in folders), atol=1e-6, rtol=0)


PREFIXES: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("multilingual-e5-base", {}, None, "passage: "),
    ("multilingual-e5-large-instruct", {}, None, ""),
    ("me5model", {}, None, ""),
    ("multilingual-e5-base", {}, "", ""),
    ("multilingual-e5-base", {"prompts": {"query": "find ", "document": "title: "}}, None, "title: "),
    ("gemma", {"prompts": {"query": "find ", "passage": "text: "}}, None, "text: "),
    ("gemma", {"prompts": {"query": "find ", "document": "x"}, "default_prompt_name": "query"}, None, "find "),
    ("gemma", {"prompts": {"document": "title: "}}, "red ", "red "),
]


@pytest.mark.parametrize(("name", "prompts", "given", "expected"), PREFIXES)
def test_the_prefix_of_texts(
    folder_of: Callable[[str, Make], Path],
    tmp_path: Path,
    name: str,
    prompts: dict[str, Any],
    given: str | None,
    expected: str,
) -> None:
    source = folder_of("XLMRoberta", TEXT_FOLDERS["XLMRoberta"][0])
    folder = Path(shutil.copytree(source, tmp_path / name))
    if prompts:
        write(folder / "config_sentence_transformers.json", prompts)
    found = network("hf-text", folder, tmp_path, prefix=given)
    assert found.identity["prefix"] == expected
    assert found.network.tokens(["lamp", " "]).cleaned == [f"{expected}lamp", ""]
    assert found.network.notes({}) == ([f"each text of hf-text begins with {expected!r}"] if expected else [])


def test_a_vector_is_cut_and_then_normalised(folder_of: Callable[[str, Make], Path], tmp_path: Path) -> None:
    folder = folder_of("qwen3", TEXT_FOLDERS["qwen3"][0])
    whole = run("hf-text", folder, tmp_path)
    torch.testing.assert_close(
        run("hf-text", folder, tmp_path, width=8), normalize(whole[:, :8], dim=1), atol=1e-6, rtol=0
    )
    raw = run("hf-text", folder, tmp_path, normalise=False)
    torch.testing.assert_close(normalize(raw, dim=1), whole, atol=1e-6, rtol=0)
    assert (raw.norm(dim=1) - 1).abs().min() > 0.1
    torch.testing.assert_close(run("hf-text", folder, tmp_path, width=8, normalise=False), raw[:, :8])
    (note,) = network("hf-text", folder, tmp_path, width=8).network.notes({})
    assert "cut to their first 8 values" in note
    with pytest.raises(RobustrecError, match="the vectors have 32 values"):
        run("hf-text", folder, tmp_path, width=33)
    dual = folder_of("clip", save_clip)
    text = run("hf-dual.text", dual, tmp_path)
    torch.testing.assert_close(
        run("hf-dual.text", dual, tmp_path, width=5), normalize(text[:, :5], dim=1), atol=1e-6, rtol=0
    )


@torch.no_grad()
def pictures_by_hand(folder: Path, kind: str) -> torch.Tensor:
    model = getattr(transformers, f"{kind}Model").from_pretrained(folder).eval()
    states = model(pixel_values=pixels(folder, "CLIPImageProcessorPil"))
    found = states.last_hidden_state[:, 0] if kind == "ViT" else states.pooler_output
    return torch.as_tensor(found.flatten(1))


@pytest.mark.parametrize("kind", IMAGE_CONFIGS)
def test_pictures_are_pooled_as_by_the_model(folder_of: Callable[[str, Make], Path], tmp_path: Path, kind: str) -> None:
    folder = folder_of(f"image {kind}", lambda place: save_image(place, kind))
    assert_alone_and_in_batch("hf-image", folder, tmp_path, pictures_by_hand(folder, kind))


@pytest.mark.parametrize(("name", "kind"), [("clip", "CLIPVision"), ("siglip", "SiglipVision")])
def test_the_picture_tower_of_a_dual_folder_is_read_before_its_projection(
    folder_of: Callable[[str, Make], Path], tmp_path: Path, name: str, kind: str
) -> None:
    folder = folder_of(name, DUALS[name][0])
    processor = "SiglipImageProcessorPil" if name == "siglip" else "CLIPImageProcessorPil"
    whole = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = whole.vision_model(pixel_values=pixels(folder, processor)).pooler_output
    assert_alone_and_in_batch("hf-image", folder, tmp_path, expected)
    unit = run("hf-image", folder, tmp_path, normalise=True)
    torch.testing.assert_close(unit, normalize(expected, dim=1), atol=1e-5, rtol=0)
    assert kind in {family.kind.removesuffix("Model") for family in families.IMAGE_FAMILIES.values()}


@pytest.mark.parametrize(
    ("kind", "processor", "says"),
    [
        ("Dinov2", {"crop_size": {"height": 36, "width": 36}}, "multiples of 8 pixels"),
        ("ViT", {"crop_size": {"height": 24, "width": 24}}, "needs 32 x 32 pixels"),
        ("Dinov2", {"image_processor_type": "PlantedImageProcessor"}, "'PlantedImageProcessor' is not supported"),
    ],
)
def test_pictures_that_the_model_would_read_in_part_are_refused(
    tmp_path: Path, kind: str, processor: dict[str, Any], says: str
) -> None:
    folder = save_image(tmp_path / "model", kind, **processor)
    with pytest.raises(RobustrecError, match=says) as caught:
        run("hf-image", folder, tmp_path)
    assert "preprocessor_config.json" in caught.value.where


def test_the_whole_picture_is_seen_with_another_fit(folder_of: Callable[[str, Make], Path], tmp_path: Path) -> None:
    folder = folder_of("clip", save_clip)
    plain = Image.new("RGB", (40, 80), (200, 200, 200))
    banner = plain.copy()
    banner.paste((10, 10, 10), (0, 0, 40, 15))
    rows = [RowContent("", lambda: plain), RowContent("", lambda: banner)]
    moved = {fit: run("hf-dual.image", folder, tmp_path, rows, fit=fit).diff(dim=0).norm() for fit in ("file", "pad")}
    assert moved["file"] == 0  # the crop hides the banner
    assert moved["pad"] > 0.01


@pytest.mark.parametrize("network_name", ["hf-text", "hf-dual.text", "hf-image"])
def test_other_model_types_are_refused_with_the_list(tmp_path: Path, network_name: str) -> None:
    write(tmp_path / "model" / "config.json", {"model_type": "t5"})
    with pytest.raises(RobustrecError, match="does not support model_type 't5'") as caught:
        network(network_name, tmp_path / "model", tmp_path)
    assert "package.module:MyEncoder" in caught.value.fix
    supported = {"hf-text": "xlm-roberta", "hf-dual.text": "siglip", "hf-image": "dinov2"}[network_name]
    assert supported in caught.value.what


def test_weights_for_another_generic_network_name_it(folder_of: Callable[[str, Make], Path], tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="hf-text does not support model_type 'siglip'") as caught:
        network("hf-text", folder_of("siglip", save_siglip), tmp_path)
    assert "--features hf-dual --weights" in caught.value.fix
    with pytest.raises(RobustrecError, match="no default weights") as caught:
        StoredNetwork("hf-text", EncoderOptions(), tmp_path, first="hf-text")
    assert "--weights hf-text=intfloat/multilingual-e5-base" in caught.value.fix


def test_pickled_weights_are_refused_with_the_command_that_converts_them(tmp_path: Path) -> None:
    import subprocess
    import sys

    from safetensors.torch import load_file

    folder = describe(save_text(tmp_path / "model", "Bert"), "cls")
    expected = run("hf-text", folder, tmp_path / "first")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(RobustrecError, match="no weights as safetensors") as caught:
        network("hf-text", folder, tmp_path)
    command = caught.value.fix.partition(": ")[2]
    assert command.startswith("python ")
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)
    torch.testing.assert_close(run("hf-text", folder, tmp_path / "second"), expected)
