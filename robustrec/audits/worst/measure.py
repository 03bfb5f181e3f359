"""Measures the worst audit: the items of all subjects together, then one subject at a time."""

from __future__ import annotations

from collections.abc import Iterable

from robustrec.audits import by_subject
from robustrec.audits.by_subject import AuditedSubject
from robustrec.audits.merchant.encoding import arrival_faults
from robustrec.audits.quality import Clean
from robustrec.audits.results import Audited, Work
from robustrec.audits.tasks import Task, TaskOutput
from robustrec.audits.worst.attacks import attacked
from robustrec.audits.worst.combinations import Editor
from robustrec.audits.worst.conditions import condition_of, searched_edits
from robustrec.audits.worst.config import WorstAudit
from robustrec.audits.worst.examples import example, with_other_seeds
from robustrec.audits.worst.exposure import Exposures, of_search
from robustrec.audits.worst.items import drawn_items
from robustrec.audits.worst.measured import Extreme, FoundForItem, findings_of
from robustrec.audits.worst.search import HIGHEST, LOWEST, ItemSearch
from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import Ranking, rank
from robustrec.results.exhibits import SearchedItem
from robustrec.results.findings import Finding
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import applier_of

tasks_of = by_subject.tasks_of
_ITEMS = "items of the worst audit"


def run_task(config: WorstAudit, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Choose the items, the same for all subjects, and measure one subject."""
    work.once(_ITEMS, lambda: _items(config, subjects, work))
    by_subject.run_task(config, task, subjects, work, output)


def finish(config: WorstAudit, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Add the findings of every subject, and say which edits are safe after other trainings too."""
    by_subject.finish(config, done, subjects, work)
    own = [each for each in work.results.exhibits if isinstance(each, SearchedItem)]
    others = [each for each in work.results.exhibits if not isinstance(each, SearchedItem)]
    every = [subject.subject for subject, _ in subjects if subject.scored_tables]
    work.results.exhibits[:] = [*others, *with_other_seeds(own, every)]


def _items(config: WorstAudit, subjects: Audited, work: Work) -> list[int]:
    seed, interactions = work.context.seed, work.plan.dataset.interactions
    searching = of_search(len(work.context.prepared.test.users), seed)
    shown = [
        Ranking(ranking.users[searching], ranking.items[searching]).counts(config.exposure, interactions.n_items)
        for subject, clean in subjects
        if subject.scored_tables
        for ranking in [_long_enough(config, subject, clean, work)]
    ]
    found: list[int] = drawn_items(interactions, shown, config.items, config.shown, seed).tolist() if shown else []
    return found


def _long_enough(config: WorstAudit, subject: TrainedSubject, clean: Clean, work: Work) -> Ranking:
    """Return the clean lists of a subject with as many places as the exposure is of."""
    if config.exposure <= work.context.metric_suite.length:
        return clean.ranking
    split = work.context.prepared.test
    work.context.costs.count_lists()
    return rank(subject.represent(), split.users, split.mask, k=config.exposure)


def measured(config: WorstAudit, audited: AuditedSubject) -> list[Finding]:
    """Search every item of a subject, and return the findings.

    Raises:
        RobustrecError: edits do not reach the features.
    """
    work = audited.work
    editor = work.once("editor of the worst audit", lambda: _editor(config, work))
    searching = of_search(len(work.context.prepared.test.users), work.context.seed)
    exposures = Exposures(audited, config, searching)
    drawn: list[int] = work.once(_ITEMS, list)
    own = [item for item in drawn if exposures.clean(item).shown[searching].sum() >= config.shown]
    items = [(item, False) for item in own] + [(item, True) for item in config.targets if item not in own]
    found = []
    for place, (item, target) in enumerate(items):
        search = ItemSearch(item, editor, exposures, config)
        found.append(_search(config, search, target=target))
        if target or place < config.examples:
            work.results.exhibits.append(example(search, found[-1]))
        work.context.progress("worst", place + 1, len(items), f"{audited.trained.subject.label} item {item}")
    if not own:
        return [_nothing(config, audited, f"no item is in the lists of {config.shown} users of the search")]
    if not any(each.changed for each in found if not each.target):
        return [_nothing(config, audited, f"no edit changes a vector of any of the {len(own)} items")]
    return findings_of(config, audited, found, searching)


def _nothing(config: WorstAudit, audited: AuditedSubject, note: str) -> Finding:
    return audited.value(condition_of(config, "worst"), "items", None, unit="items", note=note)


def _search(config: WorstAudit, search: ItemSearch, *, target: bool) -> FoundForItem:
    """Search the edits of one item."""
    editor, item = search.editor, search.item
    random = [editor.random(item, number, config) for number in range(config.random)]
    search.rank(random)
    search.begin()
    worst, best = search.extreme(LOWEST), search.extreme(HIGHEST)
    attacks = attacked(search, search.ranked[worst]) if config.ascent else {}
    return FoundForItem(
        item,
        target,
        search.ranked[()],
        tuple(search.ranked[each] for each in random),
        Extreme(worst, search.ranked[worst]),
        Extreme(best, search.ranked[best]),
        attacks,
        bool(search.encoded),
        search.exposures.reached,
    )


def _editor(config: WorstAudit, work: Work) -> Editor:
    """Return what edits and encodes items, after a check that edits reach the features.

    Raises:
        RobustrecError: they do not.
    """
    plan, features = work.plan, work.context.prepared.features
    assert features is not None
    edits = searched_edits(config)
    encoder = work.edited_rows("worst")
    applier = applier_of(plan.dataset, plan.home, work.context.seed, work.languages)
    if faults := arrival_faults(encoder, applier, (each.modality for each in edits)):
        raise RobustrecError(
            faults[0],
            where="worst audit",
            fix="check that the encoder reads the content it is given: robustrec doctor --features",
        )
    return Editor(edits, applier, encoder, features.tables)
