"""Network `cnn`: what a convolutional network for ImageNet sees in a picture, before its classifier.

Output: `pooled`. Backbones of torchvision by name (default resnet50, 2048 wide; vgg16 gives 4096), or of timm as a
folder or hub name in timm's layout. Pictures are squeezed to the square that the network was trained on.
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
from robustrec.encoders.networks import Part, PictureShape, Texts, base_identity, place_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import UsedWeights, digest_weights, given_place, locate
from robustrec.errors import RobustrecError
from robustrec.untrusted import read_json_object

BACKBONE = "resnet50"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_SIDE = 224


class Loaded(NamedTuple):
    """A backbone in memory, and how it wants pictures."""

    model: nn.Module
    shape: PictureShape


class Cnn:
    """A convolutional backbone over rows; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, device and the rest; `cnn=NAME` with a torchvision name, or a folder or hub name of timm.
        cache: folder of remembered digests.
        first: the encoder's first network.
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
        self.place = place_of(options)
        self.batch_size = self.place.batch_size
        if self.of_timm:
            self.file = locate("cnn", options, first=first).folder
            weights = digest_weights(self.file, cache)
        else:
            self.file = _torchvision_file(chosen, ask=named is not None, offline=options.offline)
            weights = remembered_file_digests([self.file], cache)[self.file]
        self.used: tuple[UsedWeights, ...] = (UsedWeights(self.name, chosen, weights),)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.place),
            "backbone": Path(chosen).name,
            "weights": weights,
        }

    @cached_property
    def loaded(self) -> Loaded:
        """Return the backbone without its classifier, loaded at the first use."""
        model, shape = _timm_model(self.file) if self.of_timm else _torchvision_model(self.source, self.file)
        return Loaded(model.eval().to(self.place.device, self.place.dtype), shape)

    def tokens(self, texts: Sequence[str]) -> Texts:
        """Return nothing: texts are not read."""
        return Texts(list(texts), [[] for _ in texts], [False] * len(texts), [0] * len(texts))

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the picture squeezed to a square."""
        return (self.loaded.shape.prepare(image),)

    @torch.inference_mode()
    def vectors(self, parts: Sequence[Part]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `pooled`, float32 [n, D]."""
        model, shape = self.loaded
        pixels = shape.normalised([part.pictures[0] for part in parts], self.place.device, self.place.dtype)
        return {"pooled": model(pixels).flatten(1).float()}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return nothing: it counts nothing of its own."""
        del facts
        return []


class _BeforeLast(nn.Module):
    """A classifier whose last linear layer passes on what comes in."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        last = [name for name, module in classifier.named_modules() if isinstance(module, nn.Linear)][-1]
        classifier.set_submodule(last, nn.Identity())
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.classifier(pixels)
        return vectors


def _torchvision_file(name: str, *, ask: bool, offline: bool) -> Path:
    """Return torch's cached file of a backbone's weights, fetched where the user named it and is not offline."""
    torchvision: Any = import_module("torchvision")
    if name not in torchvision.models.list_models(torchvision.models):
        raise RobustrecError(
            f"torchvision has no classifier called {name!r}",
            where="--weights cnn=NAME",
            fix="for example: --weights cnn=resnet50, or vgg16 for vectors of 4096",
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(str(weights.url)).name
    if not file.is_file():
        if offline or not ask:
            raise _no_file(name, file, f"they are not in torch's cache{', and this run is offline' if offline else ''}")
        try:
            weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except Exception as error:  # the network or the disk, each with exceptions of its own
            raise _no_file(name, file, f"{type(error).__name__}: {error}") from error
    return file


def _torchvision_model(name: str, file: Path) -> tuple[nn.Module, PictureShape]:
    torchvision: Any = import_module("torchvision")
    classifier = torchvision.models.get_model(name, weights=None)
    classifier.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return _BeforeLast(classifier), PictureShape(_SIDE, _MEAN, _STD, 1 / 255, int(Image.Resampling.BICUBIC))


def _timm_model(folder: Path) -> tuple[nn.Module, PictureShape]:
    timm: Any = import_module("timm")
    try:
        config = read_json_object(folder / "config.json")
        name = str(config["architecture"])
        if name not in timm.list_models():  # a name such as hf-hub:OWNER/NAME would load another folder's
            raise ValueError(f"timm has no architecture {name!r}")
        model = timm.create_model(name, pretrained=False, num_classes=0)
        state = load_file(folder / "model.safetensors")
        model.load_state_dict({name: state[name] for name in model.state_dict()})
        given = config.get("pretrained_cfg", {})
        shape = PictureShape(
            int(given.get("input_size", (3, _SIDE, _SIDE))[1]),
            tuple(map(float, given.get("mean", _MEAN))),
            tuple(map(float, given.get("std", _STD))),
            1 / 255,
            int(Image.Resampling.BICUBIC),
        )
    except Exception as error:  # a foreign folder: timm and json raise nearly anything
        raise RobustrecError(
            f"cannot load a backbone of timm: {type(error).__name__}: {error}",
            where=str(folder),
            fix="give a folder in timm's layout (config.json with its architecture, model.safetensors)",
        ) from error
    return model, shape


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise RobustrecError(
            f"encoder cnn needs {library}, which is not installed",
            where="--features cnn",
            fix="pip install 'robustrec[cnn]' — or import picture vectors made elsewhere: --features imported",
        )


def _no_file(name: str, file: Path, why: str) -> RobustrecError:
    return RobustrecError(
        f"no weights of torchvision's {name!r}: {why}",
        where=str(file),
        fix=f"fetch them once: python -c \"import torchvision as t; t.models.get_model('{name}', weights='DEFAULT')\"",
    )
