"""Rows of the tables beside what was measured: values, intervals and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import parse_metric
from robustrec.reproduce.inputs import Inputs
from robustrec.reproduce.intervals import FEWEST_SEEDS, WIDEST, over_seeds
from robustrec.reproduce.measure import SeedResult, Values
from robustrec.reproduce.paper import HALF, METRICS, NOISY_TABLE, Cell, RowKey, metrics_of, paper
from robustrec.reproduce.plan import CHOSEN, Group, ReproductionPlan, What
from robustrec.reproduce.reasons import explained
from robustrec.reproduce.result import Noise, Row, Value, Verdict
from robustrec.reproduce.rows import NO_TABLE

Key = tuple[str, str, str, str]
"""Data set, kind of features, model, strategy."""
Found = dict[Key, dict[What, list[SeedResult]]]
Failed = dict[Key, RobustrecError]
OTHER_DATA, OTHER_FEATURES = "other data", "other features"
_LENGTH = {"training.max_epochs", "training.patience", "training.validation_metric"}  # of trainings, named on its own


def rows_found(plan: ReproductionPlan, found: Found, failed: Failed, chosen: Mapping[Key, CHOSEN]) -> tuple[Row, ...]:
    """Return every row of a plan with its values and its verdict."""
    rows: list[Row] = []
    for group in plan.groups:
        for key in group.rows:
            name = (key.dataset, group.kind, key.model, key.strategy)
            readings: tuple[Noise, ...] = ("inference", "training") if key.table == NOISY_TABLE else ("",)
            for noise in readings:
                rows.append(
                    _row(plan, group, key, noise, found.get(name, {}), failed.get(name), dict(chosen.get(name, ())))
                )
    return tuple(rows)


def _row(
    plan: ReproductionPlan,
    group: Group,
    key: RowKey,
    noise: Noise,
    found: Mapping[What, Sequence[SeedResult]],
    failed: RobustrecError | None,
    chosen: dict[str, float],
) -> Row:
    inputs, names = group.inputs, metrics_for(key.table, plan.asked.metric)
    results = list(found.get("noise" if noise == "training" else "early-stop", ()))
    values = [_values(each, noise) for each in results]
    measured = [each for each in values if each is not None]
    common = {
        "table": key.table,
        "dataset": key.dataset,
        "model": key.model,
        "features": group.kind,
        "encoder": inputs.encoder,
        "strategy": key.strategy,
        "noise": noise,
        "substitutes": (
            *inputs.unlike,
            *inputs.substitutes,
            *_settings_words(group, key, chosen),
            *_training_words(group, key),
        ),
        "chosen": chosen,
        "trainings": tuple(each.training for each in results),
    }
    if inputs.missing is not None:
        return Row(**common, verdict="missing", missing=inputs.missing.what, fix=inputs.missing.fix)
    if not measured:
        if failed is not None:
            return Row(**common, verdict="failed", why=f"{failed.what} ({failed.where})", fix=failed.fix)
        fault = next((each.fault for each in results if each.fault), "")
        if fault:
            return Row(**common, verdict="failed", why=fault, fix="use features of a larger scale, or omit table 2")
        return Row(**common, verdict="left", why="not started within the time budget", fix="run the same command again")
    cells = paper().rows.get(key, {})
    judged = _judged(names, measured, cells)
    cut = [each.training for each in results if each.training.cut_off]
    verdict, why = _verdict(key, judged, inputs, len(measured), plan.settings.seeds, len(cut))
    if failed is not None:
        why = "; ".join(part for part in (why, f"a training failed: {failed.what}") if part)
    if verdict == "not usable":  # a cell says nothing that its row may not say
        hidden = {"verdict": "not usable", **({"difference": None} if OTHER_DATA in why else {})}
        judged = [each.model_copy(update=hidden) for each in judged]
    row = Row(**common, values=tuple(judged), verdict=verdict, why=why)
    return explained(row, inputs, cut, words_of(given_settings(group, key)))


def metrics_for(table: int, metric: str) -> tuple[str, ...]:
    """Return the metrics of a table; of rows that the paper does not have, those of the claims' list length."""
    if table != NO_TABLE:
        return metrics_of(table)
    k = parse_metric(metric).k
    return tuple(dict.fromkeys((*(f"{name}@{k}" for name in METRICS), metric)))


def _values(result: SeedResult, noise: Noise) -> Values | None:
    return result.noisy if noise == "inference" else result.values


def _judged(names: Sequence[str], measured: Sequence[Values], cells: Mapping[str, Cell]) -> list[Value]:
    nothing = Cell(None, {})
    n_sound = max(1, sum(cells.get(name, nothing).sound for name in names))
    judged = []
    for name in names:
        cell = cells.get(name, nothing)
        by_seed = tuple(values[name] for values in measured)
        about = over_seeds(by_seed, cells=n_sound)
        usable = cell.value is not None and cell.value > 0
        judged.append(
            Value(
                metric=name,
                mean=about.mean,
                low=about.low,
                high=about.high,
                one_low=about.one_low,
                one_high=about.one_high,
                by_seed=by_seed,
                printed=cell.value,
                flags=dict(cell.flags),
                difference=about.mean / cell.value - 1 if usable and cell.value else None,
                verdict=_of_cell(
                    about.one_low, about.one_high, about.mean, about.low, cell, len(by_seed), name in cells
                ),
            )
        )
    return judged


def _of_cell(
    low: float | None, high: float | None, mean: float, mean_low: float | None, cell: Cell, seeds: int, printed: bool
) -> Verdict:
    if not printed:
        return "not in the paper"
    if not cell.sound or cell.value is None:
        return "not usable"
    if seeds < FEWEST_SEEDS or low is None or high is None or mean_low is None:
        return "not decided"
    if not low - HALF <= cell.value <= high + HALF:
        return "differs"
    # A wide interval agrees with anything.
    return "agrees" if mean - mean_low <= WIDEST * abs(mean) else "not decided"


def _verdict(
    key: RowKey, values: Sequence[Value], inputs: Inputs, seeds: int, wanted: int, cut: int
) -> tuple[Verdict, str]:
    sound = [each for each in values if each.verdict != "not usable"]
    first: list[tuple[bool, Verdict, str]] = [
        (key.table == NO_TABLE, "not in the paper", ""),
        (bool(inputs.unlike), "not usable", ", ".join(map(kind_of_difference, inputs.unlike))),
        (cut > 0, "not usable", f"{cut} of {seeds} trainings ended before early stopping"),
        (not sound, "not usable", "no printed cell is sound"),
        (seeds < FEWEST_SEEDS, "not decided", f"{seeds_words(seeds)}; at least {FEWEST_SEEDS} are needed"),
        (seeds < wanted, "not decided", f"{seeds} of {wanted} seeds were trained"),
    ]
    for applies, verdict, why in first:
        if applies:
            return verdict, why
    unsound = f"; {len(values) - len(sound)} printed cells are not sound" if len(sound) < len(values) else ""
    differing, undecided = (
        [each.metric for each in sound if each.verdict == word] for word in ("differs", "not decided")
    )
    if differing:
        return "differs", f"{', '.join(differing)}{unsound}"
    if undecided:
        return "not decided", f"{', '.join(undecided)}: the interval is wider than {WIDEST:.0%} of the value{unsound}"
    return "agrees", f"{len(sound)} cell{'' if len(sound) == 1 else 's'}{unsound}"


def kind_of_difference(unlike: str) -> str:
    """Return the kind of a difference from the paper's experiment."""
    return OTHER_FEATURES if unlike.startswith("features:") else OTHER_DATA


def seeds_words(count: int, name: str = "seed") -> str:
    """Return a number of seeds in words."""
    return f"{count} {name}{'' if count == 1 else 's'}"


def _training_words(group: Group, key: RowKey) -> tuple[str, ...]:
    if group.inputs.dataset is None:
        return ()
    training = group.specs(key.model, key.strategy)[0].training
    own = f"at most {training.max_epochs:,} epochs, stopped by validation {training.validation_metric}"
    return (
        f"training: {own} with patience {training.patience}; the paper has 1,000 epochs and patience 20, by its loss",
    )


def given_settings(group: Group, key: RowKey) -> dict[str, object]:
    """Return the settings of a row that the command gives, those of the length of trainings aside."""
    sections = ("training", key.model, *(("strategy",) if key.strategy != "vanilla" else ()))
    given = {
        f"{section}.{name}": value
        for section in sections
        for name, value in group.settings.set.get(section, {}).items()
    }
    return {name: value for name, value in given.items() if name not in _LENGTH}


def words_of(settings: Mapping[str, object]) -> str:
    """Return settings in words: "alpha2 = 0.3, rho = 0.1"."""
    return ", ".join(
        f"{name.partition('.')[2]} = {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    )


def _settings_words(group: Group, key: RowKey, chosen: Mapping[str, float]) -> Iterator[str]:
    given = given_settings(group, key)
    if chosen:
        yield f"settings: {words_of(chosen)}, chosen on validation"
    if given:
        yield f"settings: {words_of(given)}, given by --set or the configuration file"
    wanted = {"vanilla": set(), "mirror": {"strategy.alpha2"}, "sgbd": {"strategy.alpha2", "strategy.rho"}}
    if wanted[key.strategy] - given.keys() - chosen.keys():
        yield "settings: the paper prints no learning-rate factors and no radius; the defaults are used"
