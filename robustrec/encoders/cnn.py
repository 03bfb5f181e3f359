"""Network `cnn`: features of a convolutional ImageNet network before its classifier.

Output: `pooled`. Backbones are those of torchvision by name (default resnet50 with 2048 features; vgg16 has 4096), or
of timm as a folder or hub name. Pictures are resized to the square input of the network without keeping the aspect
ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from robustrec.digests import remembered_file_digests
from robustrec.encoders.networks import NetworkInput, TokenizedTexts, base_identity, placement_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import Fit, PictureRule, square_rule
from robustrec.encoders.weights import UsedWeights, digest_weights, given_place, locate
from robustrec.errors import RobustrecError
from robustrec.untrusted import read_json_object

BACKBONE = "resnet50"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_SIDE = 224


class LoadedCnn(NamedTuple):
    """A loaded backbone, and how its pictures are prepared."""

    model: nn.Module
    shape: PictureRule


class Cnn:
    """The network `cnn`; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, device and others; `cnn=NAME` with a torchvision name, or a folder or hub name of timm.
        cache: folder of cached digests.
        first: first network of the encoder.
    """

    name = "cnn"
    reads = ("picture",)
    facts: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = "cnn") -> None:
        named = given_place("cnn", options, first)
        chosen = named or BACKBONE
        self.of_timm = "/" in chosen or Path(chosen).expanduser().is_dir()
        _require("timm" if self.of_timm else "torchvision")
        self.source = chosen
        self.fit = options.fit
        self.placement = placement_of(options)
        self.batch_size = self.placement.batch_size
        if self.of_timm:
            self.file = locate("cnn", options, first=first).folder
            weights = digest_weights(self.file, cache)
        else:
            self.file = _torchvision_file(chosen, ask=named is not None, offline=options.offline)
            weights = remembered_file_digests([self.file], cache)[self.file]
        self.used: tuple[UsedWeights, ...] = (UsedWeights(self.name, chosen, weights),)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "backbone": Path(chosen).name,
            "weights": weights,
            "fit": options.fit,
        }

    @cached_property
    def loaded(self) -> LoadedCnn:
        """Return the backbone without its classifier, loaded at the first use."""
        model, shape = (
            _timm_model(self.file, self.fit) if self.of_timm else _torchvision_model(self.source, self.file, self.fit)
        )
        return LoadedCnn(model.eval().to(self.placement.device, self.placement.dtype), shape)

    @property
    def picture_rule(self) -> PictureRule:
        """Return how pictures are prepared."""
        return self.loaded.shape

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return empty texts, since texts are not read."""
        return TokenizedTexts(list(texts), [[] for _ in texts], [False] * len(texts), [0] * len(texts))

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the picture resized to a square."""
        return (self.loaded.shape.prepare(image),)

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `pooled`, float32 [n, D]."""
        model, shape = self.loaded
        pixels = shape.normalised([part.pictures[0] for part in parts], self.placement.device, self.placement.dtype)
        return {"pooled": model(pixels).flatten(1).float()}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return no notes."""
        del facts
        return []


class _BeforeLast(nn.Module):
    """A classifier without its last linear layer."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        last = [name for name, module in classifier.named_modules() if isinstance(module, nn.Linear)][-1]
        classifier.set_submodule(last, nn.Identity())
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.classifier(pixels)
        return vectors


def _torchvision_file(name: str, *, ask: bool, offline: bool) -> Path:
    """Return the weights file in the cache of torch; download it if the user named the backbone and is not offline."""
    torchvision: Any = import_module("torchvision")
    if name not in torchvision.models.list_models(torchvision.models):
        raise RobustrecError(
            f"unknown torchvision model {name!r}",
            where="--weights cnn=NAME",
            fix="for example: --weights cnn=resnet50, or --weights cnn=vgg16",
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(str(weights.url)).name
    if not file.is_file():
        if offline or not ask:
            raise _no_file(
                name, file, f"not found in the cache of torch{', and this run is offline' if offline else ''}"
            )
        try:
            weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except Exception as error:  # network and disk errors have many types
            raise _no_file(name, file, f"{type(error).__name__}: {error}") from error
    return file


def _torchvision_model(name: str, file: Path, fit: Fit) -> tuple[nn.Module, PictureRule]:
    torchvision: Any = import_module("torchvision")
    classifier = torchvision.models.get_model(name, weights=None)
    classifier.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return _BeforeLast(classifier), square_rule(_SIDE, _MEAN, _STD, fit=fit)


def _timm_model(folder: Path, fit: Fit) -> tuple[nn.Module, PictureRule]:
    timm: Any = import_module("timm")
    try:
        config = read_json_object(folder / "config.json")
        name = str(config["architecture"])
        if name not in timm.list_models():  # hf-hub:OWNER/NAME would load other weights
            raise ValueError(f"timm has no architecture {name!r}")
        model = timm.create_model(name, pretrained=False, num_classes=0)
        state = load_file(folder / "model.safetensors")
        model.load_state_dict({name: state[name] for name in model.state_dict()})
        given = config.get("pretrained_cfg", {})
        shape = square_rule(
            int(given.get("input_size", (3, _SIDE, _SIDE))[1]),
            tuple(map(float, given.get("mean", _MEAN))),
            tuple(map(float, given.get("std", _STD))),
            fit=fit,
        )
    except Exception as error:  # user-supplied folder: many exception types
        raise RobustrecError(
            f"cannot load the timm model: {type(error).__name__}: {error}",
            where=str(folder),
            fix="give a folder in the layout of timm (config.json with the architecture, model.safetensors)",
        ) from error
    return model, shape


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise RobustrecError(
            f"encoder cnn needs {library}, which is not installed",
            where="--features cnn",
            fix="pip install 'robustrec[cnn]' — or import existing image features: --features imported",
        )


def _no_file(name: str, file: Path, why: str) -> RobustrecError:
    return RobustrecError(
        f"no weights of torchvision model {name!r}: {why}",
        where=str(file),
        fix=f"download once: python -c \"import torchvision as t; t.models.get_model('{name}', weights='DEFAULT')\"",
    )
