"""Which rows of the tables a command measures, and the features that stand in for the paper's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from robustrec.datasets.layout import describe_folder
from robustrec.datasets.registry import dataset_names
from robustrec.errors import RobustrecError, unknown_name
from robustrec.feature_names import named_features
from robustrec.reproduce.paper import DATASETS, FEATURES, LENGTHS, MODELS, STRATEGIES, RowKey, paper, table_of

NO_TABLE = 0
"""Table of rows that the paper does not have."""
NO_FEATURES = "none"
"""Kind of features of models that read none."""


@dataclass(frozen=True)
class Place:
    """A data set of the command.

    Attributes:
        name: name of the data set; rows of the paper have its name.
        place: name or path that it is loaded by.
    """

    name: str
    place: str


@dataclass(frozen=True)
class Features:
    """What `--features` names.

    Attributes:
        kinds: kinds of features to measure; () for all of the paper's.
        instead: the paper's kind -> the encoder that stands in for it.
    """

    kinds: tuple[str, ...] = ()
    instead: tuple[tuple[str, str], ...] = ()

    def encoder_of(self, kind: str) -> str:
        """Return the encoder of a kind of features."""
        return dict(self.instead).get(kind, kind)


def parse_features(names: Sequence[str]) -> Features:
    """Return the kinds of features of a command.

    Args:
        names: a kind ("blip"), or PAPER=OURS ("minilm+cnn=minilm"), where OURS stands in for a kind of the paper.

    Raises:
        RobustrecError: PAPER is not a kind of the paper, or one is named twice.
    """
    kinds: list[str] = []
    instead: dict[str, str] = {}
    for name in names:
        before, equals, after = name.partition("=")
        if not equals or before.endswith("shrink"):
            named_features(name)
            kinds.append(name)
            continue
        if before not in FEATURES:
            raise unknown_name("feature kind", before, FEATURES, where=f"--features {name}")
        if before in instead or not after:
            raise RobustrecError(
                f"{before} has {'two substitutes' if after else 'no substitute'}",
                where=f"--features {name}",
                fix=f"name one encoder: --features {before}=minilm",
            )
        named_features(after)
        instead[before] = after
    return Features(tuple(dict.fromkeys(kinds)), tuple(instead.items()))


def parse_tables(tables: Sequence[int] | None) -> tuple[int, ...]:
    """Return the tables of a command, all of them by default.

    Raises:
        RobustrecError: the paper has no such table of results.
    """
    for table in tables or ():
        if table not in LENGTHS:
            raise RobustrecError(
                f"the paper has no table {table} of results",
                where=f"--table {table}",
                fix="table 2: top 5 under noise; 3 and 4: top 5; 5 to 8: top 10 and 20",
            )
    return tuple(table for table in LENGTHS if not tables or table in tables)


def named_datasets(
    names: Sequence[str] | None, tables: Iterable[int], *, tables_given: bool, home: Path
) -> list[Place]:
    """Return the data sets of a command: those named, or those of the tables.

    Raises:
        RobustrecError: an unknown name, or a data set of the paper that no chosen table has.
    """
    chosen = list(tables)
    if not names:
        return [Place(name, name) for name in DATASETS if any(table_of(name, table) for table in chosen)]
    found = [_place(name, home) for name in dict.fromkeys(names)]
    for each in found:
        if each.name in DATASETS and tables_given and not any(table_of(each.name, table) for table in chosen):
            having = next(table for table in LENGTHS if table > 2 and table_of(each.name, table))
            raise RobustrecError(
                f"table {', '.join(map(str, chosen))} has no rows of {each.name}",
                where=f"--dataset {each.place}",
                fix=f"use --table {having}, or omit --table",
            )
    names_found = [each.name for each in found]
    twice = next((name for name in names_found if names_found.count(name) > 1), None)
    if twice:
        raise RobustrecError(f"two data sets are named {twice}", where="--dataset", fix="name one of them in a command")
    return found


def _place(name: str, home: Path) -> Place:
    if name in DATASETS or name in dataset_names(home):
        return Place(name, name)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise unknown_name("dataset", name, {*DATASETS, *dataset_names(home)}, where=f"--dataset {name}")
    return Place(describe_folder(folder)[0].name, name)


def rows_of(
    datasets: Sequence[Place],
    tables: Sequence[int],
    patterns: Sequence[str],
    features: Features,
    models: Sequence[str],
) -> list[RowKey]:
    """Return the rows to measure, in the order of the paper, and after them those that it does not have.

    Args:
        datasets: of the command.
        tables: of the paper.
        patterns: MODEL/FEATURES/STRATEGY with * for any; () for all.
        features: kinds of features and their substitutes.
        models: further models; () for those of the paper.

    Raises:
        RobustrecError: a pattern matches no row.
    """
    names = [each.name for each in datasets]
    own_models = tuple(models) or MODELS
    found = [
        key
        for key in paper().rows
        if key.table in tables
        and key.dataset in names
        and key.model in own_models
        and (not features.kinds or key.features in features.kinds)
    ]
    for name in names:
        theirs = name in DATASETS
        kinds = [kind for kind in features.kinds if not (theirs and kind in FEATURES)]
        if not theirs and not kinds:
            kinds = ["auto"]
        extra = [(model, kind) for model in own_models for kind in kinds]
        if theirs:
            printed = [kind for kind in FEATURES if not features.kinds or kind in features.kinds]
            extra += [(model, kind) for model in own_models if model not in MODELS for kind in printed]
        found += [RowKey(NO_TABLE, name, model, kind, strategy) for model, kind in extra for strategy in STRATEGIES]
    found = list(dict.fromkeys(found))
    return [key for key in found if _matches(key, patterns)] if _checked(patterns, found) else found


def _checked(patterns: Sequence[str], rows: Sequence[RowKey]) -> bool:
    for pattern in patterns:
        if not re.fullmatch(r"[^/]+(/[^/]+){0,2}", pattern) or not any(_matches(key, [pattern]) for key in rows):
            known = ", ".join(list(dict.fromkeys(label_of(key) for key in rows))[:9])
            raise RobustrecError(
                f"no row matches {pattern!r}",
                where=f"--row {pattern}",
                fix=f"write MODEL/FEATURES/STRATEGY, with * for any; rows of this command: {known or 'none'}",
            )
    return bool(patterns)


def _matches(key: RowKey, patterns: Sequence[str]) -> bool:
    parts = (key.model, key.features, key.strategy)
    return any(
        all(fnmatchcase(part, wanted) for part, wanted in zip(parts, pattern.split("/"), strict=False))
        for pattern in patterns
    )


def label_of(key: RowKey) -> str:
    """Return the name of a row: "slmrec/blip/sgbd"."""
    return f"{key.model}/{key.features}/{key.strategy}"
