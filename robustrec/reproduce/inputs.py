"""What the rows of a data set and a kind of features need, what of it is at hand, and what stands in for the rest."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from robustrec.config import Settings
from robustrec.datasets.feature_files import map_features
from robustrec.datasets.prepare.published import INTERACTIONS, ITEMS, NAMES, SIZES, USERS
from robustrec.datasets.registry import Dataset, data_folder, load_dataset
from robustrec.encoders.chosen import encoder_name, modalities_of_features, opened_weights, recipe_of
from robustrec.encoders.families import owner
from robustrec.encoders.options import options_of
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.feature_names import encoder_of
from robustrec.progress import Progress, silent
from robustrec.reproduce.paper import DATASETS, FEATURES
from robustrec.reproduce.rows import NO_FEATURES, Place

ORIGINAL, BLIP, BLIP2 = FEATURES
IMPORTED = "imported"
CATEGORIES = {name: category for (layout, category), name in NAMES.items() if layout == "amazon2014"}
"""Data set of the paper -> its category in the published files."""


@dataclass(frozen=True)
class Missing:
    """An input that is not at hand, and the command that prepares it."""

    what: str
    fix: str


@dataclass(frozen=True)
class Inputs:
    """The inputs of the rows with one data set and one kind of features.

    Attributes:
        dataset: loaded; None if it is not at hand.
        encoder: name of the encoder, without "auto"; "none" for models that read no features.
        missing: what is not at hand; None if everything is.
        unlike: why numbers are not those of the paper's experiment: other data, or other features.
        substitutes: what differs from the paper and is named in each row.
        weights: of the encoder, by name and digest.
        warnings: on the features.
    """

    dataset: Dataset | None
    encoder: str
    missing: Missing | None = None
    unlike: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    weights: tuple[UsedWeights, ...] = ()
    warnings: tuple[str, ...] = ()


def prepare_command(name: str, *, pictures: bool = False) -> str:
    """Return the command that prepares a data set of the paper."""
    return (
        f"robustrec data prepare amazon2014 --category {CATEGORIES[name]} --raw FOLDER"
        f"{' --picture-urls --replace' if pictures else ''}"
    )


def load_place(place: Place, settings: Settings, progress: Progress = silent) -> Dataset | Missing:
    """Return a data set, or what is missing: of the paper's, only the full edition will do unless a sample is named.

    Raises:
        RobustrecError: the data set is damaged.
    """
    named = place.name in DATASETS and place.place == place.name
    if (
        named
        and settings.edition != "sample"
        and not (data_folder(settings.home, place.name) / "dataset.toml").is_file()
    ):
        return Missing(f"data set {place.name} is not prepared", prepare_command(place.name))
    return load_dataset(place.place, home=settings.home, edition=settings.edition, progress=progress)


def inputs_of(dataset: Dataset | Missing, place: Place, kind: str, encoder: str, settings: Settings) -> Inputs:
    """Return the inputs of a data set and a kind of features.

    Args:
        dataset: loaded, or missing.
        place: its name.
        kind: kind of features, of the paper or not; "none" for models that read none.
        encoder: the encoder for it, which is another one where it stands in for the paper's.
        settings: weights and home folder.
    """
    if isinstance(dataset, Missing):
        return Inputs(None, encoder, dataset)
    data_unlike, data_substitutes = _of_data(dataset, place)
    if kind == NO_FEATURES:
        return Inputs(dataset, NO_FEATURES, None, data_unlike, data_substitutes)
    if kind == ORIGINAL == encoder and {"image", "text"} <= dataset.feature_files.keys():
        encoder = IMPORTED
    chosen = encoder_name(dataset, encoder_of(encoder))
    lacking = [missing for missing in (_content_missing(dataset, place, kind, chosen),) if missing is not None]
    weights: tuple[UsedWeights, ...] = ()
    warnings: tuple[str, ...] = ()
    if dataset.catalog is not None or not lacking:
        try:
            own = settings_for(settings, chosen)
            weights, warnings = opened_weights(dataset, chosen, home=settings.home, options=options_of(own))
        except RobustrecError as error:
            lacking.append(Missing(f"{error.what} ({error.where})", error.fix))
    if lacking:
        what, fix = ("; ".join(parts) for parts in zip(*((each.what, each.fix) for each in lacking), strict=True))
        other = f"; or name a substitute: --features {kind}=ENCODER" if kind in FEATURES else ""
        return Inputs(dataset, encoder, Missing(what, f"{fix}{other}"))
    unlike, substitutes = _of_features(dataset, kind, chosen, weights)
    return Inputs(
        dataset,
        encoder if encoder != "auto" else chosen,
        None,
        (*data_unlike, *unlike),
        (*data_substitutes, *substitutes),
        weights,
        warnings,
    )


def check_weights(settings: Settings) -> None:
    """Check that weights have the name of their network: a command has several encoders.

    Raises:
        RobustrecError: they have none.
    """
    bare = next((place for place in settings.weights if "=" not in place), None)
    if bare is not None:
        raise RobustrecError(
            "weights without the name of their network",
            where=f"--weights {bare}",
            fix=f"name it: --weights blip={shlex.quote(bare)}",
        )


def settings_for(settings: Settings, encoder: str) -> Settings:
    """Return settings with the weights of the networks of an encoder only."""
    networks = {owner(output.network) for output in recipe_of(encoder).values()}
    if "blip" in networks:
        networks.add("captioner")
    kept = tuple(place for place in settings.weights if place.partition("=")[0] in networks)
    return settings.model_copy(update={"weights": kept})


def _content_missing(dataset: Dataset, place: Place, kind: str, encoder: str) -> Missing | None:
    """Return the content that a kind of features of the paper needs and the data set lacks.

    A substitute needs what it reads: an encoder that reads texts needs no pictures.
    """
    needed = set(recipe_of(encoder)) if kind != encoder else {"image", "text"}
    if encoder == IMPORTED or not recipe_of(encoder):
        if modalities_of_features(dataset, encoder):
            return None
        what = "feature files" if encoder == IMPORTED else "pictures and no texts of its items"
        return Missing(f"{place.name} has no {what}", _prepare(place))
    catalog = dataset.catalog
    there = {"image": catalog.n_pictures if catalog else 0, "text": catalog.n_texts if catalog else 0}
    lacking = [name for name in ("image", "text") if name in needed and not there[name]]
    if not lacking:
        return None
    what = " and no ".join({"image": "pictures", "text": "texts"}[name] for name in lacking)
    return Missing(f"{place.name} has no {what} of its items", _prepare(place))


def _prepare(place: Place) -> str:
    named = f"robustrec data import FOLDER --name {place.name} --replace"
    return prepare_command(place.name, pictures=True) if place.name in DATASETS else named


def _of_data(dataset: Dataset, place: Place) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return how a data set differs from the paper's: in what it holds, and in its split."""
    split = dataset.split.words if dataset.split else "not recorded"
    if place.name not in DATASETS:
        return ("the paper does not have this data set",), (f"split: {split}",)
    interactions = dataset.interactions
    found = {USERS: interactions.n_users, ITEMS: interactions.n_items, INTERACTIONS: len(interactions.users)}
    published = SIZES["amazon2014", CATEGORIES[place.name]]
    different = [
        f"{found[what]:,} {what}, the paper's {count:,}" for what, count in published.items() if found[what] != count
    ]
    unlike = []
    if dataset.synthetic:
        unlike.append("data: synthetic sample edition")
    elif different:
        unlike.append(f"data: {'; '.join(different)}")
    return tuple(unlike), (f"split: {split}; the paper does not publish its own",)


def _of_features(
    dataset: Dataset, kind: str, encoder: str, weights: Sequence[UsedWeights]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return how features differ from the paper's: by another encoder, and in details of the same."""
    if kind not in FEATURES:
        return (), (f"features: {encoder}, which the paper does not have",)
    if kind == ORIGINAL and encoder == IMPORTED:
        return _imported(dataset)
    gaps = _gaps(dataset, encoder)
    if encoder != kind:
        return (f"features: {encoder} in place of {kind}",), gaps
    names = ", ".join(f"{each.network} {each.name}" for each in weights)
    details = {
        ORIGINAL: f"features: {names}; the paper has the 4,096 values of the 2014 release for pictures",
        BLIP: f"features: {names}",
        BLIP2: f"features: {names}; its Q-Former reads text and picture, and the paper names one trained with OPT",
    }[kind]
    return (), (details, *gaps)


def _gaps(dataset: Dataset, encoder: str) -> tuple[str, ...]:
    """Return how many items lack what the encoder reads."""
    catalog, n_items = dataset.catalog, dataset.interactions.n_items
    if catalog is None or encoder == IMPORTED:
        return ()
    counts = {"text": ("a text", catalog.n_texts), "image": ("a picture", catalog.n_pictures)}
    read = recipe_of(encoder) or modalities_of_features(dataset, encoder)
    gaps = [
        f"{n_items - count:,} of {n_items:,} items without {what}"
        for modality, (what, count) in counts.items()
        if modality in read and count < n_items
    ]
    return (f"features: {', '.join(gaps)}",) if gaps else ()


def _imported(dataset: Dataset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    widths = {name: map_features(dataset.feature_files[name]).shape[1] for name in ("image", "text")}
    words = f"{widths['image']:,} image and {widths['text']:,} text values from the feature files of the data set"
    if widths == {"image": 4096, "text": 384}:
        return (), (f"features: {words}",)
    return (f"features: {words}, the paper's 4,096 and 384",), ()


def with_place(settings: Settings, place: Place, encoder: str) -> Settings:
    """Return the settings of the trainings of a data set and an encoder."""
    features = "auto" if encoder == NO_FEATURES else encoder
    own = settings if encoder == NO_FEATURES else settings_for(settings, encoder_of(encoder))
    return own.model_copy(update={"dataset": place.place, "features": features})
