"""Which encoder a name stands for, and the weights behind it; importable without torch, and nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from robustrec.datasets.shop.vocabulary import SHOPS
from robustrec.encoders import ENCODERS, families, own
from robustrec.encoders.lite0_weights import LITE0, lite0_file
from robustrec.encoders.options import EncoderOptions, check_no_weights
from robustrec.encoders.text_modules import check_weights
from robustrec.encoders.weights import (
    SHIPPED_BLIP,
    UsedWeights,
    Weights,
    check_networks,
    digest_weights,
    given_place,
    given_weights,
    locate,
    locate_captioner,
    require_transformers,
    shipped_blip,
    used_weights,
)
from robustrec.errors import RobustrecError, unknown_name
from robustrec.modalities import MODALITIES, in_order

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset


class NetworkOutput(NamedTuple):
    """An output of a network."""

    network: str
    output: str


Recipe = Mapping[str, NetworkOutput]
"""Modality -> output of a network."""

TINY_FUSED = NetworkOutput("tiny-blip", "fused")
FUSED = NetworkOutput("blip", "fused")
FUSED2 = NetworkOutput("blip2", "fused")
SENTENCE = NetworkOutput("minilm", "sentence")
POOLED = NetworkOutput("cnn", "pooled")
LITE0_POOLED = NetworkOutput(LITE0, "pooled")

RECIPES: dict[str, Recipe] = {
    "tiny-blip": {"image": TINY_FUSED, "text": TINY_FUSED},
    "blip": {"image": FUSED, "text": FUSED},
    "blip-split": {"image": NetworkOutput("blip", "image"), "text": FUSED},
    "blip+minilm": {"image": FUSED, "text": SENTENCE},
    "blip2": {"image": FUSED2, "text": FUSED2},
    "blip2+minilm": {"image": FUSED2, "text": SENTENCE},
    "cnn": {"image": POOLED},
    "minilm+cnn": {"image": POOLED, "text": SENTENCE},
    LITE0: {"image": LITE0_POOLED},
    "minilm+lite0": {"image": LITE0_POOLED, "text": SENTENCE},
    **{name: {"text": NetworkOutput(name, "sentence")} for name in families.networks_of(families.TEXT)},
    **{name: {"image": NetworkOutput(name, "pooled")} for name in families.networks_of(families.IMAGE)},
    **{
        name: {tower: NetworkOutput(f"{name}.{tower}", tower) for tower in families.TOWERS}
        for name in families.networks_of(families.DUAL)
    },
}
"""Recipe of each encoder by name."""


def recipe_of(name: str) -> Recipe:
    """Return the recipe of an encoder of networks, or of several joined by "+"; {} for other encoders.

    Of joined encoders, each makes its own modalities, and replaces those of the encoders before it.

    Raises:
        RobustrecError: a part is unknown, is not an encoder of networks, or makes no modality of the result.
    """
    if name in RECIPES or name in ENCODERS:
        return RECIPES.get(name, {})
    recipe: dict[str, NetworkOutput] = {}
    parts = {part: _part(part, name) for part in name.split("+")}
    for one in parts.values():
        recipe |= one
    for part, one in parts.items():
        if not set(one.items()) & set(recipe.items()):
            raise RobustrecError(
                f"{part!r} has no effect in {name!r}: other parts make {' and '.join(one)}",
                where=f"--features {name}",
                fix=f"omit {part}, or write it last to use its vectors",
            )
    return recipe


def _part(part: str, name: str) -> Recipe:
    if part in RECIPES:
        return RECIPES[part]
    if part not in ENCODERS and own.is_own(part):
        return {modality: NetworkOutput(part, modality) for modality in own.own_encoder(part).widths}
    if part in ENCODERS and part != name:
        raise RobustrecError(
            f"{part!r} cannot be joined with other encoders",
            where=f"--features {name}",
            fix=f"use one of: {', '.join(RECIPES)}, or a user-defined encoder",
        )
    raise unknown_name("encoder", part, ["auto", *ENCODERS, *own.PLUGINS.points()], where="--features")


def fused_output(output: NetworkOutput, fusion: str) -> NetworkOutput:
    """Return the output "sum" or "concat" of both towers for an output of one; others are returned unchanged."""
    name = families.owner(output.network)
    return output if fusion == "none" or families.generic(name) != families.DUAL else NetworkOutput(name, fusion)


def sources(output: NetworkOutput) -> tuple[NetworkOutput, ...]:
    """Return the outputs of towers that a fused output is made of, else the output itself."""
    if output.output not in ("sum", "concat") or families.generic(output.network) != families.DUAL:
        return (output,)
    return tuple(NetworkOutput(f"{output.network}.{tower}", tower) for tower in families.TOWERS)


def has_captions(name: str) -> bool:
    """Return whether an encoder has the matching head and captioner that `--denoise capfilt` needs."""
    return any(output.network in ("tiny-blip", "blip") for output in recipe_of(name).values())


class NetworkWeights(NamedTuple):
    """The weights of a network.

    Attributes:
        own: the folder of the network itself.
        used: by name and digest, those of a captioner included.
    """

    own: Weights
    used: tuple[UsedWeights, ...]


def encoder_name(dataset: Dataset, name: str) -> str:
    """Return the name of an encoder, with "auto" resolved for this data set; reject unknown names."""
    if name == "auto":
        sample = dataset.synthetic and dataset.name in SHOPS
        catalog = dataset.catalog
        bare = catalog is None or not (catalog.n_texts or catalog.n_pictures)
        # Files of other modalities are added to what an encoder makes of texts and pictures.
        imported = any(name in dataset.feature_files for name in MODALITIES) or (bare and dataset.feature_files)
        return "imported" if imported else SHIPPED_BLIP if sample else "basic"
    recipe_of(name)
    return name


def modalities_of_features(dataset: Dataset, encoder: str) -> tuple[str, ...]:
    """Return the modalities that the features of an encoder can have, before anything is encoded.

    They are those that the encoder makes, and those of `further_files`. A network without content to read makes fewer.
    """
    if encoder == "imported":
        return in_order(dataset.feature_files)
    made = set(recipe_of(encoder))
    if not made and dataset.catalog is not None:
        there = {"image": dataset.catalog.n_pictures, "text": dataset.catalog.n_texts}
        made = {modality for modality, count in there.items() if count}
    return in_order((*made, *further_files(dataset, made)))


def further_files(dataset: Dataset, made: Iterable[str]) -> dict[str, Path]:
    """Return the feature files that are added to what an encoder makes: of none of its modalities, image or text."""
    known = {*MODALITIES, *made}
    return {name: path for name, path in dataset.feature_files.items() if name not in known}


def features_label(encoder: str, denoise: str) -> str:
    """Return the name of the features of an encoder in reports."""
    return encoder if denoise == "none" else f"{encoder}+{denoise}"


def opened_weights(
    dataset: Dataset, name: str, *, home: Path, options: EncoderOptions
) -> tuple[tuple[UsedWeights, ...], tuple[str, ...]]:
    """Return the weights that an encoder would use, and warnings about them, without loading or encoding.

    Raises:
        RobustrecError: the name is unknown, or required content or weights are missing.
    """
    chosen = encoder_name(dataset, name)
    if inner := check_reencoding(dataset, chosen, options):
        return opened_weights(dataset, inner, home=home, options=options.model_copy(update={"encoder": None}))
    if not recipe_of(chosen):
        check_no_weights(chosen, options)
        return (), ()
    networks = check_recipe(chosen, dataset, options)
    if options.device not in ("auto", "cpu") or options.precision == "float16":
        from robustrec.encoders.networks import placement_of

        placement_of(options)  # only torch knows whether the device is there
    cache = home / "digests"
    used = tuple(each for name in networks for each in _used_by(name, options, cache, first_network(networks)))
    return used, weights_warnings(dataset, chosen, used)


def check_reencoding(dataset: Dataset, chosen: str, options: EncoderOptions) -> str:
    """Return the encoder with which imported features are encoded again; "" without `--encoder`.

    Raises:
        RobustrecError: the features are not imported, or the encoder cannot encode rows without the catalog.
    """
    inner = options.encoder
    if not inner:
        return ""
    where = f"--encoder {inner}"
    if chosen != "imported":
        raise RobustrecError(
            f"--encoder is for imported features, but the features of this run are {chosen!r}",
            where=where,
            fix=f"omit --encoder, or use --features imported, or --features {inner}",
        )
    if dataset.catalog is None:
        raise RobustrecError(
            f"data set {dataset.name!r} has no catalog, so that no item can be encoded again",
            where=where,
            fix="import it with items.jsonl and pictures, or omit --encoder",
        )
    if not recipe_of(inner):
        raise RobustrecError(
            f"encoder {inner!r} cannot be used with imported features: it is fitted on the catalog or has no weights",
            where=where,
            fix="name an encoder of networks, or your own: --encoder package.module:MyEncoder; see docs/encoders.md",
        )
    return inner


def check_recipe(name: str, dataset: Dataset, options: EncoderOptions) -> tuple[str, ...]:
    """Return the networks of an encoder of frozen networks; two towers are one network.

    Raises:
        RobustrecError: no catalogue, an option that this encoder has no use for, or a remote encoder offline.
    """
    if dataset.catalog is None:
        raise nothing_to_read(name, dataset.name, "no catalog")
    names = tuple(dict.fromkeys(families.owner(output.network) for output in recipe_of(name).values()))
    for network in filter(own.is_own, names):
        if options.offline and own.own_encoder(network).remote:
            raise RobustrecError(
                f"the encoder {network!r} sends texts and pictures to another machine, and this run is offline",
                where=f"--features {network}, --offline",
                fix="omit --offline, or use an encoder on this machine",
            )
    with_weights = [network for network in names if not own.is_own(network)]
    if not with_weights:
        check_no_weights(name, options)
    check_networks(options, first_network(names), (*with_weights, *(("captioner",) if has_captions(name) else ())))
    if options.denoise != "none" and not has_captions(name):
        raise RobustrecError(
            f"encoder {name!r} does not support --denoise: it has no captioner and no matching head",
            where=f"--denoise {options.denoise}",
            fix="use --features blip --weights FOLDER, or omit it",
        )
    _check_options(name, names, options)
    return names


_USED_BY = {
    "pooling": (families.TEXT,),
    "prefix": (families.TEXT,),
    "width": (families.TEXT, families.DUAL),
    "fusion": (families.DUAL,),
    "normalise": (families.TEXT, families.DUAL, families.IMAGE),
    "side": ("blip", SHIPPED_BLIP),
    "fit": ("blip", SHIPPED_BLIP, "blip2", "cnn", LITE0, families.DUAL, families.IMAGE),
}
"""Option -> networks that it is for."""


def _check_options(name: str, networks: Iterable[str], options: EncoderOptions) -> None:
    kinds = {families.generic(network) for network in networks}
    for option, users in _USED_BY.items():
        value = getattr(options, option)
        if value != EncoderOptions.model_fields[option].default and not kinds & set(users):
            raise RobustrecError(
                f"encoder {name!r} has no use for option {option}, which is for {', '.join(users)}",
                where=f"--set encoder.{option}={value}",
                fix="omit it, or use another encoder: robustrec list encoders",
            )


def first_network(names: Iterable[str]) -> str:
    """Return the network that weights without a name are for: the first one that is not user-defined."""
    every = tuple(names)
    return next((name for name in every if not own.is_own(name)), every[0])


def nothing_to_read(name: str, dataset: str, why: str) -> RobustrecError:
    """Return the error of a data set without content for an encoder."""
    return RobustrecError(
        f"data set {dataset!r} has no content for encoder {name!r}: {why}",
        where=f"--features {name}",
        fix="use --features minilm for texts only, --features basic for any available content, or a model without"
        " features (--model bpr or --model lightgcn)",
    )


def weights_warnings(dataset: Dataset, encoder: str, used: Iterable[UsedWeights]) -> tuple[str, ...]:
    """Return a warning for weights that learned from synthetic shops only, for a data set of real products."""
    synthetic = [] if dataset.synthetic else [each for each in used if each.synthetic]
    return tuple(
        f"encoder {encoder} ({each.name}) was trained on the synthetic sample shops only, not on the products of "
        f"{dataset.name}: results on its features do not generalize to other encoders. Use --features basic, "
        "--features minilm, or your own checkpoint: --features blip --weights FOLDER"
        for each in synthetic
    )


def network_weights(
    network: str, options: EncoderOptions, cache: Path, *, first: str, name: str | None = None
) -> NetworkWeights:
    """Return the weights of a transformers network, found and checked but not loaded.

    Args:
        network: "blip", "blip2", a generic network or an alias.
        options: where weights are, and whether captions are made.
        cache: folder of remembered digests.
        first: the network that a place without "NETWORK=" is meant for.
        name: what the network is called in reports, if otherwise.

    Raises:
        RobustrecError: they are not found, or are not what the network needs.
    """
    require_transformers(network)
    own = locate(network, options, first=first, part="itm" if network == "blip" else None)
    used = [used_weights(name or network, own, digest_weights(own.folder, cache))]
    if network == "blip" and options.denoise == "capfilt":
        captioner = locate_captioner(options, first=first)
        used.append(used_weights("captioner", captioner, digest_weights(captioner.folder, cache)))
    return NetworkWeights(own, tuple(used))


def tiny_options(options: EncoderOptions, first: str) -> EncoderOptions:
    """Return the options of the shipped BLIP as those of a BLIP with its folder.

    Raises:
        RobustrecError: weights were given for it, or it is not in this installation.
    """
    if (place := given_place(SHIPPED_BLIP, options, first)) is not None:
        raise RobustrecError(
            f"encoder {SHIPPED_BLIP!r} does not accept weights, but got {place!r}",
            where=f"--weights {place}",
            fix=f"use --features blip --weights {place}, or omit --weights",
        )
    if not shipped_blip().is_dir():
        raise RobustrecError(
            f"the weights of {SHIPPED_BLIP!r} are not part of this installation",
            where=str(shipped_blip()),
            fix="use --features basic, or give a checkpoint: --features blip --weights FOLDER",
        )
    captioner = given_weights(options, first).get("captioner")
    places = (f"blip={shipped_blip()}", *([f"captioner={captioner}"] if captioner else []))
    return options.model_copy(update={"weights": places})


def tiny_names(used: Iterable[UsedWeights]) -> tuple[UsedWeights, ...]:
    """Return weights with the name of the shipped BLIP in place of its folder."""
    return tuple(each._replace(name=SHIPPED_BLIP) if each.name == str(shipped_blip()) else each for each in used)


def _used_by(network: str, options: EncoderOptions, cache: Path, first: str) -> tuple[UsedWeights, ...]:
    if own.is_own(network):
        encoder = own.own_encoder(network)
        return (UsedWeights(network, encoder.name, encoder.digest() or own.NO_DIGEST),)
    if network == LITE0:
        return (lite0_file(options, cache, first=first).used,)
    if network == "cnn":
        from robustrec.encoders.cnn import Cnn  # torchvision and timm know their own weights

        return Cnn(options, cache, first=first).used
    if network == SHIPPED_BLIP:
        found = network_weights("blip", tiny_options(options, first), cache, first="blip", name=SHIPPED_BLIP)
        return tiny_names(found.used)
    found = network_weights(network, options, cache, first=first)
    check_weights(network, found.own, options)
    return found.used
