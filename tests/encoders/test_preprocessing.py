"""Pictures prepared by a rule equal those of transformers' own processors; what a rule cannot say is refused."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robustrec.encoders.preprocessing import CLASSES, PictureRule, picture_rule, rule_of
from robustrec.errors import RobustrecError

SHAPES = [(37, 90), (90, 37), (64, 64), (300, 400), (500, 225), (225, 224)]
MODULES = {
    "CLIP": "clip",
    "ChineseCLIP": "chinese_clip",
    "Bit": "bit",
    "Siglip": "siglip",
    "ViT": "vit",
    "DeiT": "deit",
    "Beit": "beit",
    "Pvt": "pvt",
    "Blip": "blip",
    "ConvNext": "convnext",
    "EfficientNet": "efficientnet",
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
}
# Settings as in the files of published models, besides each class alone.
FILES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in MODULES),
    ("Bit", {"size": {"shortest_edge": 256}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
    ("CLIP", {"size": 98, "crop_size": 90}),
    ("CLIP", {"size": {"height": 112, "width": 96}, "do_center_crop": False}),
    ("CLIP", {"size": {"shortest_edge": 90}, "crop_size": {"height": 97, "width": 120}}),
    ("CLIP", {"do_resize": False, "crop_size": 101}),
    ("ViT", {"size": 97, "do_rescale": False, "resample": 0}),
    ("ViT", {"size": [80, 64], "do_normalize": False}),
    ("ViT", {"image_mean": 0.4, "image_std": 0.2, "rescale_factor": 1 / 127.5}),
    ("ConvNext", {"size": 224, "crop_pct": 0.95}),
    ("ConvNext", {"size": {"shortest_edge": 224}, "image_mean": [0.485, 0.456, 0.406]}),
    ("EfficientNet", {"size": {"height": 224, "width": 224}, "rescale_offset": True, "include_top": False}),
    ("EfficientNet", {"do_center_crop": True, "rescale_factor": 1 / 127.5, "rescale_offset": True}),
]


def picture(width: int, height: int) -> Image.Image:
    """Noise over a gradient, which every change of filter or offset moves."""
    noise = np.random.default_rng(width * 1000 + height).integers(0, 90, (height, width, 3))
    slope = np.linspace(0, 165, width)[None, :, None] * np.linspace(0.3, 1, height)[:, None, None]
    return Image.fromarray((noise + slope).astype(np.uint8))


def theirs(family: str, given: dict[str, Any], image: Image.Image) -> torch.Tensor:
    module = importlib.import_module(
        f"transformers.models.{MODULES[family]}.image_processing_pil_{MODULES[family]}",
    )
    processor = getattr(module, f"{family}ImageProcessorPil")(**given)
    pixels: torch.Tensor = processor(image, return_tensors="pt")["pixel_values"][0]
    return pixels


def ours(rule: PictureRule, image: Image.Image) -> torch.Tensor:
    return rule.normalised([rule.prepare(image)], torch.device("cpu"), torch.float32)[0]


@pytest.mark.parametrize(("family", "given"), FILES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FILES)])
def test_pixels_equal_those_of_the_class_in_transformers(family: str, given: dict[str, Any]) -> None:
    rule = rule_of({"image_processor_type": f"{family}ImageProcessor", **given})
    for shape in SHAPES:
        image = picture(*shape)
        expected = theirs(family, given, image)
        found = ours(rule, image)
        assert found.shape == expected.shape
        scale = max(1.0, float(expected.abs().max()))
        assert float((found - expected).abs().max()) <= 7e-7 * scale, shape


def test_every_class_with_a_pillow_version_is_compared() -> None:
    assert set(MODULES) == set(CLASSES) - {"DINOv3ViT"}


def test_dinov3_has_the_attributes_of_its_class() -> None:
    # The class itself cannot be imported without torchvision.
    rule = rule_of({"image_processor_type": "DINOv3ViTImageProcessorFast"})
    assert (rule.input, rule.size, rule.resample) == ((224, 224), (224, 224), 2)
    assert rule.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "1", "CMYK"])
def test_pictures_of_other_modes_are_read_as_rgb(mode: str) -> None:
    image = picture(60, 40).convert("L").convert(mode) if mode in ("LA", "P") else picture(60, 40).convert("L")
    image = image.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(image).astype(np.uint16) * 200)
    rule = rule_of({"image_processor_type": "CLIPImageProcessor"})
    assert torch.equal(rule.prepare(image), rule.prepare(image.convert("RGB")))


@pytest.mark.parametrize(
    "named",
    [
        {"image_processor_type": "ConvNextImageProcessorFast"},
        {"image_processor_type": "ConvNextImageProcessorPil"},
        {"feature_extractor_type": "ConvNextFeatureExtractor"},
    ],
)
def test_suffixes_and_old_names_are_the_same_class(named: dict[str, str]) -> None:
    assert rule_of(named) == rule_of({"image_processor_type": "ConvNextImageProcessor"})


def test_null_stands_for_the_default_of_the_class() -> None:
    nulls = {"size": None, "do_center_crop": None, "crop_size": None, "image_mean": None}
    assert rule_of({"image_processor_type": "CLIPImageProcessor", **nulls}) == rule_of(
        {"image_processor_type": "CLIPImageProcessor"}
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"image_processor_type": "Qwen2VLImageProcessorFast"}, "'Qwen2VLImageProcessorFast' is not supported"),
        ({"image_processor_type": ["CLIPImageProcessor"]}, "is not supported"),
        ({"size": 224}, "names no class"),
        ({"image_processor_type": "SiglipImageProcessor", "size": 224}, "different shapes"),
        ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 9, "longest_edge": 90}}, "size"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": 0, "width": 224}}, "size.height"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": True, "width": 1}}, "size.height"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": 10**9, "width": 10**9}}, "size.height"),
        ({"image_processor_type": "ViTImageProcessor", "size": "224"}, "size must have"),
        ({"image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0.5]}, "3 channels"),
        ({"image_processor_type": "ViTImageProcessor", "image_std": 0}, "must not be 0"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": ["a", "b", "c"]}, "image_mean"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 9}, "resample"),
        ({"image_processor_type": "ViTImageProcessor", "resample": "bicubic"}, "resample"),
        ({"image_processor_type": "CLIPImageProcessor", "do_pad": True}, "do_pad"),
        ({"image_processor_type": "CLIPImageProcessor", "crop_size": {"shortest_edge": 224}}, "crop_size"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"height": 9, "width": 9}}, "shortest_edge"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0}, "crop_pct"),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": 64, "do_center_crop": True, "crop_size": 32},
            "second centre crop",
        ),
    ],
)
def test_what_a_rule_cannot_say_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rule_of(given)


def test_a_folder_with_an_unknown_class_is_refused_by_file_and_class(tmp_path: Path) -> None:
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": "FuyuImageProcessor"}))
    with pytest.raises(RobustrecError, match="'FuyuImageProcessor' is not supported") as caught:
        picture_rule(tmp_path)
    assert caught.value.where == str(file)
    assert "CLIP" in str(caught.value.fix)
    assert "--features package.module:MyEncoder" in str(caught.value.fix)


@pytest.mark.parametrize("content", ["{", "[]", '{"size": NaN}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(RobustrecError):
        picture_rule(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="the file is missing"):
        picture_rule(tmp_path)


def test_the_processor_inside_processor_config_is_first_as_in_transformers(tmp_path: Path) -> None:
    siglip, clip = {"image_processor_type": "SiglipImageProcessor"}, {"image_processor_type": "CLIPImageProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(clip))
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert picture_rule(tmp_path) == rule_of(clip)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": siglip}))
    assert picture_rule(tmp_path) == rule_of(siglip)


def test_the_class_of_a_file_without_one_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 64}))
    assert picture_rule(tmp_path, default="ViT").size == (64, 64)


def test_a_blank_picture_is_about_zero_after_normalisation() -> None:
    for name in CLASSES:
        rule = rule_of({}, default=name)
        blank = rule.normalised([rule.prepare(None)], torch.device("cpu"), torch.float32)
        assert float(blank.abs().max()) <= 0.6 * rule.scale / min(rule.std), name


def red_border(width: int, height: int) -> Image.Image:
    """A picture of white pixels with a border of red ones, which a crop hides."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((255, 255, 255), (16, 16, width - 16, height - 16))
    return image


def test_a_fit_shows_what_the_crop_of_the_file_hides() -> None:
    given = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}}
    image = red_border(300, 400)
    pixels = {fit: rule_of(given, fit=fit).prepare(image) for fit in ("file", "squeeze", "pad")}
    assert all(each.shape == (224, 224, 3) for each in pixels.values())
    red = {fit: (each == torch.tensor([255, 0, 0], dtype=torch.uint8)).all(dim=2) for fit, each in pixels.items()}
    assert not red["file"].any()
    assert red["squeeze"][[0, -1]].all()
    assert red["squeeze"][:, [0, -1]].all()
    # 300 x 400 becomes 168 x 224, with borders of 28 pixels of the mean colour at each side.
    assert red["pad"][0, 28:196].all()
    blank = torch.tensor(rule_of(given).blank, dtype=torch.uint8)
    assert (pixels["pad"][:, :28] == blank).all()
    assert (pixels["pad"][:, 196:] == blank).all()
    assert not (pixels["pad"][:, 28] == blank).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_seen_box_is_the_part_that_moves_the_pixels(shape: tuple[int, int]) -> None:
    width, height = shape
    for name in ("CLIP", "Bit", "ConvNext", "Blip", "MobileNetV2"):
        rule = rule_of({"size": 224} if name == "ConvNext" else {}, default=name)
        left, top, right, bottom = rule.seen(width, height)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        image = np.asarray(picture(width, height)).copy()
        seen = rule.prepare(Image.fromarray(image))
        # The filter reaches a few pixels over the edge of the crop.
        reach = 2 + int(2 * max(1.0, (right - left) / rule.input[1], (bottom - top) / rule.input[0]))
        inside = np.zeros((height, width), bool)
        inside[max(0, int(top) - reach) : int(bottom) + reach, max(0, int(left) - reach) : int(right) + reach] = True
        image[~inside] = 255 - image[~inside]
        assert torch.equal(rule.prepare(Image.fromarray(image)), seen)
        y, x = int((top + bottom) / 2), int((left + right) / 2)
        image[y - 2 : y + 2, x - 2 : x + 2] = 255 - image[y - 2 : y + 2, x - 2 : x + 2]
        assert not torch.equal(rule.prepare(Image.fromarray(image)), seen)


def test_the_whole_picture_is_seen_without_a_crop() -> None:
    assert rule_of({}, default="Blip").seen(300, 400) == (0, 0, 300, 400)
    assert rule_of({}, default="CLIP", fit="pad").seen(300, 400) == (0, 0, 300, 400)
    assert rule_of({}, default="CLIP").seen(300, 400) == pytest.approx((0, 37 * 400 / 298, 300, 261 * 400 / 298))


def test_a_panorama_needs_no_more_memory_than_its_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = rule_of({"image_processor_type": "CLIPImageProcessor"})
    image = picture(1200, 6)
    whole = rule.prepare(image)
    monkeypatch.setattr("robustrec.encoders.preprocessing._MOST_PIXELS", 224 * 1000)
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, size, *more: sizes.append(size) or resize(self, size, *more)
    )
    cropped = rule.prepare(image)
    assert sizes == [(224, 224)]
    assert int((cropped.int() - whole.int()).abs().max()) <= 1


def test_identity_names_every_part_of_a_rule() -> None:
    rule = rule_of({"image_processor_type": "CLIPImageProcessor"})
    assert json.loads(json.dumps(rule.identity))["fit"] == "file"
    for change in ({"size": 256}, {"crop_size": 200}, {"resample": 2}, {"image_mean": 0.5}, {"rescale_factor": 0.01}):
        assert rule_of({"image_processor_type": "CLIPImageProcessor", **change}).identity != rule.identity
