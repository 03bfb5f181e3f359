"""The most likely reason of a difference from the paper, and the experiment that would decide it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustrec.comparison.result import Training
from robustrec.reproduce.inputs import CATEGORIES, Inputs, prepare_command
from robustrec.reproduce.paper import FEATURES
from robustrec.reproduce.result import Row


def explained(row: Row, inputs: Inputs, cut: Sequence[Training], given: str) -> Row:
    """Return a row with the reason of its difference, where it has one.

    The first of these that applies is named: other data, other features, trainings cut off, settings that the command
    gives, settings of the strategy, details of the features, the split. Each is an assumption until its experiment is
    done.

    Args:
        row: the row.
        inputs: its inputs.
        cut: its trainings that ended before early stopping.
        given: settings that the command gives, in words.
    """
    if row.verdict not in ("differs", "not usable"):
        return row
    reason, experiment = next(_candidates(row, inputs, cut, given))
    return row.model_copy(update={"reason": reason, "experiment": experiment})


def _candidates(row: Row, inputs: Inputs, cut: Sequence[Training], given: str) -> Iterator[tuple[str, str]]:
    again = f"robustrec reproduce sgbd --table {row.table} --dataset {row.dataset} --row {row.label}"
    data = next((each for each in inputs.unlike if each.startswith("data:")), "")
    if data:
        yield "other data than the paper's", f"{prepare_command(row.dataset)}; then {again}"
    if inputs.unlike:
        pictures = prepare_command(row.dataset, pictures=True)
        yield inputs.unlike[0], f"{pictures}; then {again} without a substitute"
    if cut:
        longest = max(each.epochs for each in cut)
        yield (
            f"trainings ended after {longest} epochs, before validation stopped to improve",
            f"{again} --set training.max_epochs=1000",
        )
    if row.verdict == "not usable":
        yield "the printed cells are not sound", "the authors' table in digital form"
    if given:
        yield f"the settings that the command gives: {given}", f"{again} without them"
    if row.strategy != "vanilla" and not row.chosen:
        yield (
            "the learning-rate factors and the radius, which the paper does not print",
            f"{again} --trials 6",
        )
    if row.features == FEATURES[2]:
        yield (
            "the Q-Former, which is trained with matching here and named with OPT in the paper",
            "the authors' features",
        )
    if row.features == FEATURES[0] and not any("feature files" in each for each in inputs.substitutes):
        yield (
            "the picture features, which are the 4,096 values of 2014 in the paper",
            f"{prepare_command(row.dataset)} --cnn-features image_features_{CATEGORIES[row.dataset]}.b --replace",
        )
    yield (
        "the split, of which the paper does not publish its own; intervals here are over training seeds only",
        f"{prepare_command(row.dataset)} --seed 1 --replace; then {again}",
    )
