"""Counts of the work of an audit, which do not depend on the machine: a regression fails without timing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from merchant_shop import make_shop, shop_plan

from robustrec.audits import run as runner
from robustrec.audits.merchant import conditions, measure
from robustrec.audits.merchant.items import PROBED
from robustrec.evaluation import bootstrap, cells
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import EditApplier

EDITS = ("wrong_picture", "empty_description")
SUITE = f"""
schema_version = 1
name = "counts"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
compare_with = "vanilla"
bootstrap = {{ replicates = 200 }}
[[audits]]
kind = "merchant"
edits = ["{EDITS[0]}", "{EDITS[1]}"]
severities = [1, 5]
shares = [0.2]
draws = 3
"""
SUBJECTS, DRAWS, CONDITIONS = 2, 3, 2 * len(EDITS)


@pytest.fixture(scope="module")
def counted(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """What the conditions of a merchant audit of two subjects call, and what the whole run does."""
    calls: Counter[str] = Counter()
    inside = [False]
    with pytest.MonkeyPatch.context() as patch:

        def watch(owner: Any, name: str, *, condition: bool = False) -> None:
            function = getattr(owner, name)

            def called(*args: Any, **kwargs: Any) -> Any:
                calls[name] += 1
                calls[f"{name} of conditions"] += inside[0]
                inside[0] |= condition
                try:
                    return function(*args, **kwargs)
                finally:
                    inside[0] &= not condition

            patch.setattr(owner, name, called)

        watch(measure, "_measure_condition", condition=True)
        watch(conditions, "rank_pairs")
        watch(cells, "groups_of")
        patch.setattr(conditions, "groups_of", cells.groups_of)
        watch(bootstrap, "_drawn")
        watch(TrainedSubject, "represent")
        watch(EditApplier, "after")
        folder = make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter")
        plan = shop_plan(folder, tmp_path_factory.mktemp("home"), "vbpr", suite=SUITE, strategy=("vanilla", "mirror"))
        bootstrap.kept_counts.cache_clear()
        runner.measure(plan)
    return calls


def test_a_draw_of_a_condition_is_one_representation_and_one_ranking(counted: Counter[str]) -> None:
    assert counted["_measure_condition"] == CONDITIONS
    evaluations = CONDITIONS * SUBJECTS * DRAWS
    assert counted["represent of conditions"] == evaluations
    assert counted["rank_pairs of conditions"] == evaluations
    assert counted["rank_pairs"] == evaluations + SUBJECTS, "the clean places of each subject, once"


def test_users_are_drawn_once_for_each_condition(counted: Counter[str]) -> None:
    assert counted["_drawn of conditions"] == CONDITIONS


def test_cells_are_numbered_once_for_each_part_of_users_or_items(counted: Counter[str]) -> None:
    parts, users = 4, 2  # edited, head, tail, untouched; users with an edited test item, and without
    assert 0 < counted["groups_of of conditions"] <= CONDITIONS * SUBJECTS * (parts + users)


def test_an_item_is_edited_once_for_each_severity_and_draw(counted: Counter[str]) -> None:
    edited, probes = 12, 2 * PROBED  # 20 % of 60 items
    of_exhibits = SUBJECTS * 5 + CONDITIONS  # fragile items, and one item under each edit
    assert 0 < counted["after"] <= CONDITIONS * DRAWS * edited + probes + of_exhibits
