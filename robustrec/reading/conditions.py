"""Conditions in plain words: "wrong picture, severity 5, 10 % of items"."""

from __future__ import annotations

from robustrec.edits import FAULTS
from robustrec.results.conditions import ALL, BYSTANDERS, ITEM_GRAPH, SEEN, UNSEEN, Condition

MEANS = {
    ALL: "mean of the edits",
    SEEN: "mean of the edits seen in training",
    UNSEEN: "mean of the edits not seen in training",
}
"""Name of a mean over edits -> its words."""


def condition_words(condition: Condition) -> str:
    """Return a condition in plain words; conditions of losses and parameters have their label."""
    match condition.kind:
        case "edit" if condition.share is None and condition.edit == ALL:  # a mean of the encoder audit
            return f"mean of the edits, severity {condition.severity}" if condition.modality == ALL else condition.label
        case "edit" | "item_edit" | "missing" | "cause" | "migration":
            what = [missing_words(condition) if condition.kind == "missing" else migration_words(condition)]
            if condition.edit is not None:
                what = [edit_words(condition), f"severity {condition.severity}"]
            if condition.kind == "item_edit":
                what.append("one item at a time")
            cause = f"{cause_words(condition.cause)}: " if condition.cause else ""
            return cause + ", ".join([*what, *_share_and_graphs(condition)])
        case "noise":
            symbol = "σ/‖x‖" if condition.sigma2 is None else "σ²"
            words = f"{'trained on ' if condition.trained else ''}{symbol} = {condition.amount:g}"
            return _listed(words, _graphs_and_scope(condition))
        case "std_noise":
            rest = [condition.modality if condition.modality != ALL else ""]
            rest += ["rebuilt graphs" if condition.graphs == "rebuilt" else ""]
            rest += ["standardised" if condition.standardised else ""]
            size = f"σ = {condition.sigma_std:g} standard deviations of the features"
            return _listed(size, " ".join(filter(None, rest)))
        case "search" | "break_point":
            return _found_words(condition)
        case _:
            return condition.label


def _found_words(condition: Condition) -> str:
    """Return what a search looked for in plain words."""
    if condition.kind == "break_point":
        return f"{condition.metric} falls by {100 * (condition.drop or 0):g} %"
    limits = f"at most {condition.budget} of severity {condition.severity} or less"
    return f"{search_words(condition)}, {limits}"


def search_words(condition: Condition) -> str:
    """Return in plain words how the edits of a search were chosen."""
    return _SEARCHES[condition.search or "random"]


def edit_words(condition: Condition) -> str:
    """Return the edit of a condition in plain words: "promo badge and crop" for promo_badge+crop.

    A wrong picture is no edit that a merchant means to make, so it is called an upload fault.
    """
    name = condition.edit or ""
    fault = " (upload fault)" if {*FAULTS} & {*name.split("+")} else ""
    return MEANS[name] if name in MEANS else name.replace("+", " and ").replace("_", " ") + fault


def migration_words(condition: Condition) -> str:
    """Return the new vectors of a migration and the model in plain words: "int8, kept"."""
    if condition.training == "other_seed":
        return "old vectors, other seed"
    encoder = "old vectors" if condition.new_encoder == "same" else str(condition.new_encoder)
    adapter = [] if condition.adapter == "none" else [str(condition.adapter)]
    return ", ".join([encoder, *adapter, str(condition.training)])


def cause_words(cause: str) -> str:
    """Return a cause of a drift in plain words: "picture vectors"."""
    if cause == ALL:
        return "all causes"
    if cause in (ITEM_GRAPH, BYSTANDERS):
        return cause.replace("_", " ")
    return f"{'picture' if cause == 'image' else cause} vectors"


_SEARCHES = {
    "random": "random edits",
    "worst": "worst edits found",
    "best": "best edits found",
    "fgsm": "one gradient step on the features (FGSM)",
    "pgd": "gradient attack on the features (PGD)",
}
_FILLS = {
    "mean": "replaced by their mean",
    "zero": "set to zero",
    "other": "of another item",
    "removed": "of an item without this content",
}


def missing_words(condition: Condition) -> str:
    """Return in plain words which features are replaced by what: "image features set to zero"."""
    which = "all" if condition.modality == ALL else condition.modality
    return f"{which} features {_FILLS[condition.fill or 'mean']}"


def curve_words(condition: Condition) -> str:
    """Return the common part of the conditions of one curve in plain words."""
    if condition.kind == "edit":
        return ", ".join([edit_words(condition), *_share_and_graphs(condition)])
    if condition.kind == "noise":
        what = "noise relative to the feature norm" if condition.sigma2 is None else "noise of variance σ²"
        trained = "trained" if condition.trained else ""
        return _listed(what, " ".join(filter(None, (trained, _graphs_and_scope(condition)))) or "all features")
    return condition.label


def without_shared_end(labels: list[str]) -> tuple[list[str], str]:
    """Return labels without their common suffix after a comma, and this suffix."""
    shared: list[str] = []
    while len(labels) > 1 and len({label.rpartition(", ")[2] for label in labels}) == 1 and ", " in labels[0]:
        shared.insert(0, labels[0].rpartition(", ")[2])
        labels = [label.rpartition(", ")[0] for label in labels]
    return labels, ", ".join(shared)


def _listed(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _share_and_graphs(condition: Condition) -> list[str]:
    words = [] if condition.share is None else [f"{100 * condition.share:g} % of items"]
    return [*words, "frozen graphs"] if condition.graphs == "frozen" else words


def _graphs_and_scope(condition: Condition) -> str:
    frozen = "frozen graphs" if condition.graphs == "frozen" else ""
    return " ".join(filter(None, (frozen, "" if condition.modality == ALL else condition.modality)))
