"""Preprocessing of pictures as in the file of a model folder, with Pillow alone.

The processors of transformers differ in a few settings only: target size, centre crop, filter, scale, mean and standard
deviation. `picture_rule` reads them from `preprocessor_config.json`, with the defaults of the class that the file
names. The pixels are those of the Pillow classes of transformers (`tests/encoders/test_preprocessing.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders.model_folders import PROCESSOR_CONFIGS, check_model_folder
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, read_json_object

Fit = Literal["file", "squeeze", "pad"]
"""How a picture is fitted into the input of a network: as in the file of the weights, the whole picture without its
aspect ratio, or the whole picture with borders."""

_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_HALF = [0.5, 0.5, 0.5]
_BILINEAR, _BICUBIC = int(Image.Resampling.BILINEAR), int(Image.Resampling.BICUBIC)
_MOST_SIDE = 4096
# A resized panorama with more pixels is cropped before it is resized, to limit memory.
_MOST_PIXELS = 2**24
_WHOLE_FROM = 384  # ConvNeXt does not crop pictures of at least this side


def _defaults(
    size: int | tuple[int, int],
    *,
    crop: int | None = None,
    resample: int = _BICUBIC,
    mean: Sequence[float] = _HALF,
    std: Sequence[float] = _HALF,
    square: bool = True,
    **further: Any,
) -> dict[str, Any]:
    """Return the class attributes of a processor of transformers; an int as size is the shortest edge."""
    rectangle = {"height": size[0], "width": size[1]} if isinstance(size, tuple) else {"shortest_edge": size}
    cropped = {} if crop is None else {"do_center_crop": True, "crop_size": {"height": crop, "width": crop}}
    return {
        "do_resize": True,
        "size": rectangle,
        "default_to_square": square,
        "resample": resample,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
        **cropped,
        **further,
    }


_CLIP = _defaults(224, crop=224, mean=_CLIP_MEAN, std=_CLIP_STD, square=False)
_VIT = _defaults((224, 224), resample=_BILINEAR)
_MOBILE = _defaults(256, crop=224, resample=_BILINEAR, square=False)
CLASSES: dict[str, dict[str, Any]] = {
    "CLIP": _CLIP,
    "ChineseCLIP": _CLIP,
    "Bit": _CLIP,
    "Siglip": _defaults((224, 224), square=False),
    "ViT": _VIT,
    "DeiT": _defaults((256, 256), crop=224),
    "Beit": _defaults((224, 224), crop_size={"height": 224, "width": 224}),
    "Pvt": _defaults((224, 224), mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
    "Blip": _defaults((384, 384), mean=_CLIP_MEAN, std=_CLIP_STD),
    "ConvNext": _defaults(384, square=False, crop_pct=224 / 256),
    "EfficientNet": _defaults((346, 346), crop_size={"height": 289, "width": 289}, include_top=True),
    "MobileNetV1": _MOBILE,
    "MobileNetV2": _MOBILE,
    # The class needs torchvision and resizes floats; Pillow differs from it by at most 1/255 of the full range.
    "DINOv3ViT": _defaults((224, 224), resample=_BILINEAR, mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
}
"""Processor classes of transformers without their suffix -> class attributes, the defaults of absent keys."""
_SUFFIXES = ("Pil", "Fast", "ImageProcessor", "FeatureExtractor")
# Keys of other processors that change the pixels in a way that a rule does not have.
_OTHER_STEPS = (
    "do_pad",
    "use_square_size",
    "do_flip_channel_order",
    "do_grayscale",
    "do_thumbnail",
    "do_image_splitting",
)


class SeenBox(NamedTuple):
    """The part of a picture that a network sees, in pixels of the picture; right and bottom are not included."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class PictureRule:
    """How the pictures of a network are resized, cropped and normalised.

    Attributes:
        input: height and width of the network's input in pixels.
        size: height and width after resizing, without keeping the aspect ratio; None: by `edge`.
        edge: short side after resizing, with the aspect ratio kept; None: by `size`.
        resample: number of the Pillow resampling filter.
        scale: factor of the pixel values 0 to 255, usually 1/255.
        offset: added to the scaled values.
        mean: mean of each channel, subtracted from the scaled values.
        std: standard deviation of each channel, by which they are divided.
        fit: "file" for `size` or `edge` and a centre crop to `input`; "squeeze" for the whole picture resized to
            `input`; "pad" for the whole picture with its aspect ratio and borders of the mean colour.
    """

    input: tuple[int, int]
    size: tuple[int, int] | None
    edge: int | None
    resample: int
    scale: float
    offset: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "file"

    @property
    def identity(self) -> dict[str, Any]:
        """Return the rule as JSON values."""
        return asdict(self)

    @property
    def blank(self) -> tuple[int, int, int]:
        """Return the mean colour, 0 to 255, which normalisation maps to about zero."""
        red, green, blue = (min(255, max(0, round((value - self.offset) / self.scale))) for value in self.mean)
        return red, green, blue

    def prepare(self, image: Image.Image | None) -> Tensor:
        """Return a picture as the network sees it, uint8 [H, W, 3]; None gives a blank one of the mean colour."""
        height, width = self.input
        picture = Image.new("RGB", (width, height), self.blank) if image is None else self._fitted(image.convert("RGB"))
        # A copy, since the buffer of a PIL picture is read-only.
        return torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(height, width, 3)

    def normalised(self, pictures: Sequence[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return prepared pictures as one batch [n, 3, H, W] on the device, scaled and normalised there."""
        stacked = torch.stack(list(pictures))
        if device.type == "cuda":
            stacked = stacked.pin_memory().to(device, non_blocking=True)
        values = stacked.permute(0, 3, 1, 2).to(torch.float32) * self.scale
        if self.offset:
            values = values + self.offset
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=device).view(1, 3, 1, 1)
        return ((values - mean) / std).to(dtype)

    def seen(self, width: int, height: int) -> SeenBox:
        """Return the part of a picture of this size that is inside the crop."""
        if self.fit != "file":
            return SeenBox(0.0, 0.0, float(width), float(height))
        wide, high = self._resized(width, height)
        left, top = (wide - self.input[1]) // 2, (high - self.input[0]) // 2
        x, y = width / wide, height / high
        return SeenBox(
            max(0.0, left * x),
            max(0.0, top * y),
            min(float(width), (left + self.input[1]) * x),
            min(float(height), (top + self.input[0]) * y),
        )

    def _fitted(self, picture: Image.Image) -> Image.Image:
        """Return an RGB picture with the size of the input."""
        height, width = self.input
        if self.fit == "squeeze":
            return picture.resize((width, height), self._filter)
        if self.fit == "pad":
            return self._padded(picture)
        wide, high = self._resized(*picture.size)
        box = None
        if wide * high > _MOST_PIXELS:
            box, wide, high = self.seen(*picture.size), min(wide, width), min(high, height)
        left, top = (wide - width) // 2, (high - height) // 2
        # A crop beyond the picture is filled with black, as in transformers.
        return picture.resize((wide, high), self._filter, box).crop((left, top, left + width, top + height))

    def _padded(self, picture: Image.Image) -> Image.Image:
        height, width = self.input
        factor = min(width / picture.width, height / picture.height)
        wide = min(width, max(1, round(picture.width * factor)))
        high = min(height, max(1, round(picture.height * factor)))
        padded = Image.new("RGB", (width, height), self.blank)
        padded.paste(picture.resize((wide, high), self._filter), ((width - wide) // 2, (height - high) // 2))
        return padded

    @property
    def _filter(self) -> Image.Resampling:
        return Image.Resampling(self.resample)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height after resizing, before the crop."""
        if self.edge is None:
            high, wide = self.size or (height, width)
            return wide, high
        long = int(self.edge * max(width, height) / min(width, height))
        return (self.edge, long) if width <= height else (long, self.edge)


def picture_rule(folder: Path, *, fit: Fit = "file", default: str | None = None) -> PictureRule:
    """Return the rule of a model folder.

    Args:
        folder: folder with `preprocessor_config.json`, or with `processor_config.json` that has `image_processor`.
        fit: how pictures are fitted into the input.
        default: key in `CLASSES` for a file that names no class.

    Raises:
        RobustrecError: there is no such file, its class is unknown, or a value is not one that a rule can have.
    """
    check_model_folder(folder, loading=False)
    file, given = _processor_file(folder)
    try:
        return rule_of(given, fit=fit, default=default)
    except ValueError as error:
        raise RobustrecError(
            f"no usable picture processor: {error}",
            where=str(file),
            fix=f"use the preprocessor_config.json of a model of these classes: {', '.join(sorted(CLASSES))}; for any"
            " other model, write an encoder: --features package.module:MyEncoder",
        ) from error


def square_rule(
    side: int, mean: tuple[float, ...], std: tuple[float, ...], *, fit: Fit, scale: float = 1 / 255
) -> PictureRule:
    """Return the rule of a network that takes bicubic squares, the aspect ratio of the picture not kept."""
    return PictureRule((side, side), (side, side), None, _BICUBIC, scale, 0.0, mean, std, fit)


def rule_of(given: Mapping[str, Any], *, fit: Fit = "file", default: str | None = None) -> PictureRule:
    """Return the rule of the content of `preprocessor_config.json`.

    Raises:
        ValueError: the class is unknown, or a value is not one that a rule can have.
    """
    name = _class_name(given, default)
    set_keys = {key: value for key, value in given.items() if value is not None}
    values = {**CLASSES[name], **set_keys}
    for key in _OTHER_STEPS:
        if values.get(key):
            raise ValueError(f"{key} is not supported")
    size, edge = _size(values, name) if values["do_resize"] else (None, None)
    crop = _rectangle(values.get("crop_size"), "crop_size") if values.get("do_center_crop") else None
    if name == "ConvNext" and values["do_resize"]:
        size, edge, crop = _convnext(edge, crop, _number(values["crop_pct"], "crop_pct"))
    shape = crop or size
    if shape is None:
        raise ValueError("pictures of different shapes stay different: neither a centre crop nor a height and width")
    scale = _number(values["rescale_factor"], "rescale_factor") if values["do_rescale"] else 1.0
    mean, std = _normalisation(values)
    if not scale or not all(std):
        raise ValueError("rescale_factor and image_std must not be 0")
    offset = -1.0 if values.get("rescale_offset") and values["do_rescale"] else 0.0
    return PictureRule(shape, size, edge, _resample(values["resample"]), scale, offset, mean, std, fit)


def _processor_file(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """Return the file of a folder and its processor; as in transformers, one inside processor_config.json is first."""
    for name in reversed(PROCESSOR_CONFIGS):
        file = folder / name
        if not file.exists():
            continue
        try:
            content = read_json_object(file)
        except UnreadableError as error:
            raise RobustrecError(
                f"cannot read it: {error}", where=str(file), fix="download the file again, or save the model again"
            ) from error
        nested = content.get("image_processor")
        if isinstance(nested, dict):
            return file, nested
        if name == PROCESSOR_CONFIGS[0]:
            return file, content
    raise RobustrecError(
        "no usable picture processor: the file is missing",
        where=str(folder / PROCESSOR_CONFIGS[0]),
        fix="add the preprocessor_config.json of the model",
    )


def _class_name(given: Mapping[str, Any], default: str | None) -> str:
    named = given.get("image_processor_type") or given.get("feature_extractor_type")
    if named is None and default is not None:
        return default
    if named is None:
        raise ValueError("it names no class (image_processor_type)")
    family = str(named)
    for suffix in _SUFFIXES:
        family = family.removesuffix(suffix)
    if family not in CLASSES:
        raise ValueError(f"the class {str(named)!r} is not supported")
    return family


def _size(values: Mapping[str, Any], name: str) -> tuple[tuple[int, int] | None, int | None]:
    """Return height and width, or the shortest edge."""
    size = values["size"]
    if isinstance(size, Mapping):
        size = {key: value for key, value in size.items() if value is not None}
    if isinstance(size, int) and not values["default_to_square"]:
        size = {"shortest_edge": size}
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return None, _side(size["shortest_edge"], "size.shortest_edge")
    if name == "ConvNext":
        raise ValueError(f"size must have shortest_edge, but is {size!r}")
    return _rectangle(size, "size"), None


def _convnext(
    edge: int | None, crop: tuple[int, int] | None, share: float
) -> tuple[tuple[int, int] | None, int | None, tuple[int, int] | None]:
    """Return size, shortest edge and crop of ConvNeXt: small inputs are cropped by a share, others are squeezed."""
    if edge is None:
        return None, None, crop
    if crop not in (None, (edge, edge)):
        raise ValueError(f"a second centre crop to {crop} is not supported")
    if edge >= _WHOLE_FROM:
        return (edge, edge), None, None
    if not 0 < share <= 1:
        raise ValueError(f"crop_pct must be above 0 and at most 1, but is {share}")
    return None, int(edge / share), (edge, edge)


def _rectangle(value: Any, key: str) -> tuple[int, int]:
    if isinstance(value, Mapping) and set(value) == {"height", "width"}:
        return _side(value["height"], f"{key}.height"), _side(value["width"], f"{key}.width")
    if isinstance(value, list) and len(value) == 2:
        return _side(value[0], key), _side(value[1], key)
    if isinstance(value, int):
        return _side(value, key), _side(value, key)
    raise ValueError(f"{key} must have height and width, but is {value!r}")


def _side(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_SIDE:
        raise ValueError(f"{key} must be a number of pixels from 1 to {_MOST_SIDE}, but is {value!r}")
    return value


def _normalisation(values: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation; EfficientNet's include_top divides by the latter a second time."""
    mean, divisor = _channels(0, ""), _channels(1, "")
    std = _channels(values["image_std"], "image_std")
    if values["do_normalize"]:
        mean, divisor = _channels(values["image_mean"], "image_mean"), std
    if values.get("include_top"):
        divisor = tuple(first * second for first, second in zip(divisor, std, strict=True))
    return mean, divisor


def _channels(value: Any, key: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value] * 3
    if len(numbers) != 3:
        raise ValueError(f"{key} must have one number for each of 3 channels, but is {value!r}")
    return tuple(_number(number, key) for number in numbers)


def _number(value: Any, key: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{key} must be a number, but is {value!r}")
    return float(value)


def _resample(value: Any) -> int:
    known = {int(each) for each in Image.Resampling}
    if not isinstance(value, int) or isinstance(value, bool) or value not in known:
        raise ValueError(f"resample must be the number of a Pillow filter, but is {value!r}")
    return value
