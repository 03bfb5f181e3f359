"""What each number of a report means, in a sentence that somebody can act on."""

from __future__ import annotations

from robustrec.reading.names import kind_of
from robustrec.results.report import Report

_ALWAYS = (
    (
        "subject",
        "A model trained with a strategy on item features, from one seed. Everything is measured subject by subject.",
    ),
    (
        "drift",
        "Perturbed minus clean, on the same users. Negative means the lists got worse; relative drift is its share "
        "of the clean value.",
    ),
    (
        "interval",
        "Where the number would lie, at the stated confidence, had other users and other draws of the noise been "
        "taken. With one training seed it does not cover another training; means over several seeds do. The worst of n "
        "has the interval of level 1 - α/n (Bonferroni).",
    ),
    (
        "gate",
        "A limit from the suite. PASS: the whole interval lies within it. FAIL: the whole interval lies outside. "
        "INCONCLUSIVE: the interval straddles the limit; more users, draws or seeds would decide. ERROR: it could not "
        "be judged, which is never a pass. Blocking gates decide the verdict, warning gates are listed. A gate is "
        "underpowered where it detects less than twice its limit in fewer than 80 % of runs.",
    ),
    (
        "margin",
        "How far the end of the interval that lies worst is inside the limit, or beyond it: of a gate that passes the "
        "end nearest to the limit, of one that fails the end farthest beyond it.",
    ),
)

_METRICS = {
    "ndcg": "How high the items a user went on to take stand in the list; 1 would be all of them on top.",
    "recall": "The share of the items a user went on to take that are in the list.",
    "precision": "The share of the list that the user went on to take.",
    "map": "Precision averaged over the places of the hits: early hits count more.",
    "rbo": "How alike two lists are, with the top counting most; 1 is the same list.",
    "overlap": "The share of items that two lists have in common.",
    "changed": "The share of users whose list holds another set of items than before; order alone does not count.",
}

_CONDITIONS = (
    ("sigma2=", "noise σ²", "Noise of this variance, added to every number of the item features."),
    (
        "sigma_rel=",
        "relative noise",
        "Noise whose size is this share of the features' own size, so that encoders compare.",
    ),
    ("trained ", "trained", "The noise was in the features while training, and the model was trained once more."),
    (
        "break point",
        "break point",
        "The smallest noise found that costs more than the stated loss. The bracket is where the search stopped, not "
        "a confidence interval.",
    ),
    (
        "severity=",
        "severity",
        "How strongly a merchant's edit is applied, from 1 to 5; share is the part of the items edited.",
    ),
    (
        "frozen graphs",
        "frozen graphs",
        "Item graphs stay those of training; otherwise they are rebuilt from the new features.",
    ),
)

_SNR = "How much stronger the features are than the noise, in decibels; 20 dB less is ten times the noise."
_TAU = (
    "Kendall's rank correlation between two measures over the subjects: 1 the same order, −1 the reverse, 0 none. "
    "p is how often chance alone would do as much; with few subjects it cannot be small."
)
_FLAT = (
    "How much the loss rises when parameters or features move a little. Flat is thought to be robust; whether it was "
    "so here is what flatness against drift shows."
)


def glossary(report: Report) -> list[tuple[str, str]]:
    """Return (word, meaning) for what stands in a report, and for nothing else."""
    metrics = dict.fromkeys(kind_of(row.metric) for row in report.findings)
    conditions = dict.fromkeys(row.condition for row in report.findings)
    entries = [(f"{kind}@k", _METRICS[kind]) for kind in metrics if kind in _METRICS]
    entries += [(name, text) for mark, name, text in _CONDITIONS if any(mark in each for each in conditions)]
    if any(metric.startswith("snr_db") for metric in metrics):
        entries.append(("signal-to-noise ratio", _SNR))
    if any(row.audit == "sharpness" for row in report.findings) or report.relations:
        entries.append(("flatness, sharpness", _FLAT))
    if report.relations:
        entries.append(("τ, p", _TAU))
    return [*_ALWAYS, *entries]
