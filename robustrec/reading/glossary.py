"""Definitions of the numbers in a report, one short paragraph each."""

from __future__ import annotations

from collections.abc import Callable

from robustrec.evaluation.kinds import KINDS, kind_of
from robustrec.results.conditions import Condition
from robustrec.results.findings import CONTENT_USE, VALUE_EXPOSURE
from robustrec.results.hidden import HIDDEN_WORDS, crops
from robustrec.results.report import Report

_ALWAYS = (
    (
        "subject",
        "A model trained with one strategy, on one kind of item features, from one seed. Most findings are of one "
        "subject.",
    ),
    (
        "drift",
        "Perturbed value minus clean value, on the same users. For quality metrics, a negative drift is a loss. "
        "Relative drift is the drift as a share of the clean value.",
    ),
    (
        "confidence interval",
        "Range that covers the true value with the stated confidence. It accounts for the sample of "
        "users and the random "
        "draws of the perturbation. With one training seed it does not account for other trainings; the mean over "
        "several seeds does. The worst of n has an interval of level 1 - α/n (Bonferroni).",
    ),
    (
        "gate",
        "A limit from the suite. PASS: the whole interval is inside the limit. FAIL: the whole interval is outside. "
        "INCONCLUSIVE: the interval crosses the limit; use more users, draws or seeds. ERROR: the gate could not be "
        "judged, which never counts as a pass. Blocking gates decide the verdict. Warning gates are only listed.",
    ),
    (
        "power",
        "Probability that a gate fails if the true value is outside its limit. A gate is "
        "underpowered if it fails in 80 % of runs only for a change of more than twice its limit, or not even for the "
        "loss of everything.",
    ),
    (
        "margin",
        "Distance between the limit and the worst end of the interval. If the gate passes, this is the end nearest to "
        "the limit. If it fails, this is the end farthest outside the limit.",
    ),
)

_CONDITIONS: tuple[tuple[Callable[[Condition], bool], str, str], ...] = (
    (
        lambda each: each.sigma2 is not None,
        "noise σ²",
        "Gaussian noise of this variance, added to each entry of the item features.",
    ),
    (
        lambda each: each.sigma_rel is not None,
        "relative noise",
        "Gaussian noise with an expected norm equal to this share of the norm of each feature "
        "vector. It makes encoders "
        "comparable.",
    ),
    (
        lambda each: each.trained is True,
        "noise in training",
        "The model was trained again on features with this noise, and evaluated on the same features.",
    ),
    (
        lambda each: each.kind == "break_point",
        "noise tolerance",
        "The smallest noise variance found with more than the stated loss. The numbers after it are the bracket of the "
        "search, not a confidence interval.",
    ),
    (
        lambda each: each.kind == "edit",
        "severity, share",
        "Severity is the strength of a merchant edit, from 1 to 5. Share is the share of items that are edited.",
    ),
    (
        lambda each: each.kind == "cause",
        "cause, Shapley value",
        "A part of the input that an edit changes: the vectors of a modality, or item graphs. Its Shapley value is its "
        "mean effect over all orders in which the parts can change; the values of all parts sum to the drift. "
        "_leave_one_out is the part of the drift that goes away if this part alone is clean again.",
    ),
    (
        lambda each: each.kind == "migration",
        "migration, break share",
        "A share of the items has vectors of another encoder, or in fewer bits, and the others keep their old ones. "
        "The break share is the smallest share of the grid that costs more than the suite allows; its bracket starts "
        "at the share before. exposure_moved: half the sum of the changes in the share of list positions.",
    ),
    (
        lambda each: each.kind == "missing",
        "missing features",
        "The features of a modality are replaced for a share of the items: by the mean of all items, by zeros, or by "
        "those of another item. Content use replaces those of all items.",
    ),
    (
        lambda each: each.kind == "search",
        "worst found, best found",
        "Edits of one item alone that a search chose on half of the test users, measured on the other half. The true "
        "worst can be worse. FGSM and PGD move the features of the item along the gradient as far as its edits do; no "
        "content need have such features. items_losing_50: share of items that lose over half of their exposure.",
    ),
    (
        lambda each: each.kind == "item_edit",
        "guarantee",
        "Items are sampled at random and edited one at a time. losing@k: share of the sampled items that lose more "
        "than max_loss of their places in the top k, with one-sided Clopper-Pearson bounds of the share of all items. "
        "loss_bound@k: conformal bound of the loss of one further item. certified_radius@k: median ℓ₂ length of the "
        "shortest displacement of the features of an item that takes a place.",
    ),
    (
        lambda each: each.kind != "std_noise" and each.graphs == "frozen",
        "frozen graphs",
        "The item graphs of the clean features are kept. Otherwise they are rebuilt from the perturbed features.",
    ),
)

_PARTS = (
    "Merchant edits split the results. _edited: users with an edited test item, and these items. "
    "_head and _tail: the same "
    "for popular and for rare items. _untouched: the other users and items."
)
_STRATA = (
    "Test items by their training interactions. _cold_items: the same lists, with the test items without training "
    "interactions alone as relevant, over the users who have one. _warm_items: the same for the other test items. "
    "_cold_users: users without training interactions, who are counted and not measured."
)
_EXPOSURE = (
    "exposure@k_edited: share of edited test items in the top k of their users. exposure@k_all: "
    "share of all places in the "
    "top k with an edited item."
)
_VALUE_EXPOSURE = (
    "Exposure weighted by the value (price, margin) of the items. value_exposure@k_edited: share of the value of the "
    "edited test items that is in the top k of their users. value_exposure@k_all: share of the value of the items in a "
    "top k that is of edited items."
)
_USE = (
    "Content use is the share of clean quality that is lost with the features of all items replaced by their mean. If "
    "at least 95 % is left, the subject is content-free: robustness to content edits is trivial, and it is neither "
    "recommended nor ranked. _among_cold_items: lists of items without training interactions alone."
)
_SNR = "Power of the features relative to the noise, in decibels. 20 dB less means noise with 10 times the amplitude."
_TAU = (
    "Kendall's rank correlation of two measures over the subjects: 1 for the same order, −1 for the "
    "reverse order, and 0 "
    "for no correlation. p is the permutation p-value. With few subjects it cannot be small."
)
_FLAT = (
    "Increase of the loss under a small change of parameters or features. Low sharpness means a flat loss. The rank "
    "correlation with drift shows whether flat subjects drift less in this run."
)


def glossary(report: Report) -> list[tuple[str, str]]:
    """Return (term, definition) for the terms that occur in a report."""
    metrics = dict.fromkeys(kind_of(row.metric) for row in report.findings)
    conditions = dict.fromkeys(row.condition for row in report.findings)
    entries = [(f"{kind}@k", KINDS[kind].description) for kind in metrics if kind in KINDS]
    entries += [(name, text) for holds, name, text in _CONDITIONS if any(map(holds, conditions))]
    if any(row.audit == CONTENT_USE for row in report.findings):
        entries.append(("content use, content-free", _USE))
    if any(row.group == "edited" and row.condition.kind == "edit" for row in report.findings):
        entries.append(("_edited, _untouched", _PARTS))
    if any(row.group in ("cold_items", "cold_users") for row in report.findings):
        entries.append(("_cold_items, _warm_items, _cold_users", _STRATA))
    if any(row.condition.kind == "edit" and kind_of(row.metric) == "exposure" for row in report.findings):
        entries.append(("exposure@k", _EXPOSURE))
    if any(kind_of(row.metric) == VALUE_EXPOSURE for row in report.findings):
        entries.append(("value_exposure@k", _VALUE_EXPOSURE))
    if crops(report.findings):
        entries.append(("hidden_share", HIDDEN_WORDS))
    if any(row.measure == "snr_db" for row in report.findings):
        entries.append(("signal-to-noise ratio", _SNR))
    if any(row.audit == "sharpness" for row in report.findings) or report.relations:
        entries.append(("sharpness, flatness", _FLAT))
    if report.relations:
        entries.append(("τ, p", _TAU))
    for audit in report.user_audits:
        entries += [(audit.name, audit.summary), *audit.glossary.items()]
    return [*_ALWAYS, *entries]
