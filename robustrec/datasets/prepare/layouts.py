"""The public data sets that can be prepared: their files, their pages, and how the files are read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from robustrec.datasets.formats import amazon, fashion, microlens
from robustrec.datasets.formats.amazon import MetadataCounts, RawItem
from robustrec.errors import RobustrecError, unknown_name

CATEGORY = "{category}"
REVIEW_SUFFIXES = (".json", ".jsonl")


@dataclass(frozen=True)
class Layout:
    """The files of a public data set. Names are without ".gz", and may have the category in them.

    Attributes:
        name: name on the command line.
        what: what the data are.
        page: page from which a user gets the files, and that documents them.
        ratings: files of interactions, any one of them, the preferred one first.
        items: files with titles and descriptions, any one of them.
        pictures: folders or zips of pictures, any one of them.
        features: file of image features; "" without one.
        columns: names of the columns of a ratings table, in order.
        category: what `--category` means; "" without categories.
        example: a category, for help.
        links: whether the metadata have addresses of pictures.
        importable: whether `data import` reads the catalog too.
    """

    name: str
    what: str
    page: str
    ratings: tuple[str, ...]
    items: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    features: str = ""
    columns: tuple[str, ...] = ("user", "item", "rating", "timestamp")
    category: str = "category"
    example: str = ""
    links: bool = False
    importable: bool = False


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "amazon2014",
            "Amazon reviews 1996 to 2014, one category (McAuley et al. 2015; He and McAuley 2016)",
            "http://jmcauley.ucsd.edu/data/amazon/links.html",
            ("ratings_{category}.csv", "reviews_{category}_5.json", "reviews_{category}.json"),
            ("meta_{category}.json",),
            features="image_features_{category}.b",
            example="Baby",
            links=True,
        ),
        Layout(
            "amazon2018",
            "Amazon reviews 1996 to 2018, one category (Ni et al. 2019)",
            "https://nijianmo.github.io/amazon/index.html",
            ("{category}.csv", "{category}_5.json", "{category}.json"),
            ("meta_{category}.json",),
            columns=("item", "user", "rating", "timestamp"),
            example="All_Beauty",
            links=True,
        ),
        Layout(
            "amazon2023",
            "Amazon reviews 1996 to 2023, one category (Hou et al. 2024)",
            "https://amazon-reviews-2023.github.io/",
            ("{category}.csv", "{category}.jsonl"),
            ("meta_{category}.jsonl",),
            example="All_Beauty",
            links=True,
        ),
        Layout(
            "microlens",
            "MicroLens-50k or -100k: short videos, with titles and cover pictures (Ni et al. 2023)",
            "https://github.com/westlake-repl/MicroLens",
            ("MicroLens-{category}_pairs.csv",),
            ("MicroLens-{category}_titles.csv", "MicroLens-{category}_title_en.csv"),
            pictures=("MicroLens-{category}_covers", "MicroLens-{category}_covers.zip"),
            columns=("user", "item", "timestamp"),
            category="size",
            example="50k",
        ),
        Layout(
            "hm",
            "H&M Personalized Fashion Recommendations: purchases, articles and pictures (Kaggle 2022)",
            "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data",
            ("transactions_train.csv",),
            ("articles.csv",),
            pictures=("images", "images.zip"),
            columns=("timestamp", "user", "item", "-", "-"),
            category="",
            importable=True,
        ),
    )
}


@dataclass(frozen=True)
class RawFiles:
    """The files found.

    Attributes:
        layout: their layout.
        category: the category; "" without categories.
        ratings: file of interactions.
        items: file with titles and descriptions; None without one.
        pictures: folder or zip of pictures; None without one.
        features: file of image features; None without one.
    """

    layout: Layout
    category: str
    ratings: Path
    items: Path | None
    pictures: Path | None = None
    features: Path | None = None


def layout_named(name: str) -> Layout:
    """Return a layout by name.

    Raises:
        RobustrecError: the name is unknown.
    """
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS, where="argument LAYOUT")
    return LAYOUTS[name]


def find_raw(layout: Layout, folder: Path, category: str | None) -> RawFiles:
    """Find the files of a layout in a folder, each with or without ".gz".

    Raises:
        RobustrecError: the folder cannot be listed, the category is not known, or the interactions are not there.
    """
    names = _names(folder)
    chosen = _category(layout, folder, names, category)

    def first(patterns: tuple[str, ...]) -> Path | None:
        wanted = [pattern.replace(CATEGORY, chosen) for pattern in patterns]
        found = next((name for each in wanted for name in (each, f"{each}.gz") if name in names), None)
        return None if found is None else folder / found

    ratings = first(layout.ratings)
    if ratings is None:
        raise _not_found(layout, folder, chosen)
    features = first((layout.features,)) if layout.features else None
    return RawFiles(layout, chosen, ratings, first(layout.items), first(layout.pictures), features)


def is_table(files: RawFiles) -> bool:
    """Tell whether the interactions are a table, and not reviews in JSON."""
    return Path(files.ratings.name.removesuffix(".gz")).suffix not in REVIEW_SUFFIXES


def read_items_of(files: RawFiles, wanted: Container[str], counts: MetadataCounts) -> Iterator[RawItem]:
    """Yield what the catalog says of each wanted item; other lines are counted.

    Raises:
        RobustrecError: the catalog cannot be read.
    """
    if files.items is None:
        return iter(())
    readers = {"microlens": microlens.read_titles, "hm": fashion.read_articles}
    return readers.get(files.layout.name, amazon.read_metadata)(files.items, wanted, counts)


def refuse_published(folder: Path) -> None:
    """Refuse to import a folder with the files of a public data set, which an import would read without their catalog.

    Raises:
        RobustrecError: the folder has such files; the fix is the command that prepares them.
    """
    names = _names(folder)
    for layout in LAYOUTS.values():
        found = [] if layout.importable else _categories(layout, names)
        if found:
            words = ["robustrec", "data", "prepare", layout.name]
            words += ["--category", found[0]] if layout.category else []
            raise RobustrecError(
                f"the folder has the files of {layout.name}, and an import does not read their catalog (with "
                "--interactions FILE it imports the interactions alone)",
                where=str(folder),
                fix=shlex.join([*words, "--raw", str(folder)]),
            )


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise RobustrecError(
            f"cannot list {folder}: {error.strerror or error}",
            where="option --raw",
            fix="give the folder with the downloaded files",
        ) from error


def _categories(layout: Layout, names: set[str]) -> list[str]:
    """Return the categories of which there are both interactions and a catalog, sorted; "" stands for the only one."""

    def of(patterns: tuple[str, ...]) -> set[str]:
        parts = [
            re.escape(pattern).replace(re.escape(CATEGORY), "(?P<category>[A-Za-z0-9_-]+)") for pattern in patterns
        ]
        found = (re.fullmatch(f"(?:{part})(?:[.]gz)?", name) for part in parts for name in names)
        return {match["category"] if layout.category else "" for match in found if match}

    return sorted(of(layout.ratings) & of(layout.items))


def _category(layout: Layout, folder: Path, names: set[str], given: str | None) -> str:
    if not layout.category:
        if given is not None:
            raise RobustrecError(
                f"{layout.name} has no categories", where=f"option --category: {given}", fix="leave out --category"
            )
        return ""
    there = _categories(layout, names)
    if given is not None:
        if not re.fullmatch("[A-Za-z0-9_-]+", given):
            raise RobustrecError(
                f"invalid {layout.category} {given!r}",
                where="option --category",
                fix=f"give it as in the names of the files, for example: --category {layout.example}",
            )
        near = [each for each in there if each.lower() == given.lower()]
        near = near or [each for each in there if each.lower().startswith(f"{given.lower()}_")]
        return near[0] if len(near) == 1 and given not in there else given
    if len(there) != 1:
        if not there:
            raise _not_found(layout, folder, CATEGORY)
        raise RobustrecError(
            f"the folder has several {layout.category} files: {', '.join(there)}",
            where="option --category",
            fix=f"choose one: --category {there[0]}",
        )
    return there[0]


def expected_files(layout: Layout, category: str) -> list[str]:
    """Return a line for each kind of file that a layout has."""

    def named(patterns: tuple[str, ...]) -> str:
        suffix = {".json": "[.gz]", ".jsonl": "[.gz]", ".csv": "[.gz]"}
        return " or ".join(
            f"{each}{suffix.get(Path(each).suffix, '')}".replace(CATEGORY, category) for each in patterns
        )

    lines = [f"interactions: {named(layout.ratings)}", f"catalog: {named(layout.items)}"]
    if layout.pictures:
        lines.append(f"pictures, optional: {named(layout.pictures)}")
    if layout.features:
        lines.append(f"image features, optional, --cnn-features: {named((layout.features,))}")
    return lines


def _not_found(layout: Layout, folder: Path, category: str) -> RobustrecError:
    shown = category if category != CATEGORY else CATEGORY.upper().strip("{}")
    return RobustrecError(
        f"no interactions of {layout.name} found; expected {expected_files(layout, shown)[0].partition(': ')[2]}",
        where=str(folder),
        fix=f"download the files from {layout.page} into this folder: {'; '.join(expected_files(layout, shown)[:2])}",
    )
