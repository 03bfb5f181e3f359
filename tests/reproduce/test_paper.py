"""The printed tables as the package has them: their counts, and the flags that follow from the numbers."""

import itertools
import tomllib

import pytest

from robustrec.files import shipped
from robustrec.reproduce.paper import FLAGS, HALF, LENGTHS, METRICS, TABLES, paper


def test_the_counts_are_those_of_the_cells():
    cells = paper().cells()
    flags = {flag: sum(flag in cell.flags for cell in cells) for flag in FLAGS}
    found = {
        "cells": len(cells),
        "sound": sum(not cell.flags for cell in cells),
        "left_out": sum(cell.value is None for cell in cells),
        **flags,
    }
    assert found == paper().counts
    assert (found["cells"], found["sound"], found["left_out"]) == (1576, 1280, 80)
    assert flags == {"scan": 163, "typo": 17, "impossible": 17, "implausible": 29, "copied": 108}
    assert all(set(cell.flags) <= set(FLAGS) for cell in cells)
    assert all(text.endswith(".") for cell in cells for text in cell.flags.values())
    assert all("scan" in cell.flags for cell in cells if cell.value is None), "each cell left out says why"


def test_every_row_is_there_once():
    rows = list(paper().rows)
    wanted = {
        (table, dataset, model, features, strategy)
        for table, datasets in {
            2: ["baby"],
            3: ["baby", "sports"],
            4: ["clothing", "electronics"],
            5: ["baby"],
            6: ["sports"],
            7: ["clothing"],
            8: ["electronics"],
        }.items()
        for dataset in datasets
        for model in (["dualgnn", "dragon"] if table == 2 else ["dualgnn", "dragon", "slmrec"])
        for features in ("minilm+cnn", "blip", "blip2")
        for strategy in ("vanilla", "mirror", "sgbd")
    }
    assert set(map(tuple, rows)) == wanted
    assert len(rows) == len(wanted) == 234
    assert len(paper().improvements) == 32


def hits_fault(low, high):
    """Return the fault of recall and precision at two lengths (k, recall, precision), as the sets of cells to blame.

    For a user with n relevant items and h hits recall is h/n and precision h/k, so that over users k P >= R, both R and
    k P grow with k, and a longer list adds at least as much to k P as to R; each up to the rounding of four decimals.
    """
    (k, r1, p1), (big, r2, p2) = low, high
    if r1 and r2 and r2 + HALF < r1 - HALF:
        return True
    if p1 and p2 and big * (p2 + HALF) < k * (p1 - HALF):
        return True
    return bool(all((r1, r2, p1, p2)) and r2 - r1 - 2 * HALF > big * (p2 + HALF) - k * (p1 - HALF))


def lists_of(key):
    """Return every list length of a subject, over its tables, with table, recall and precision."""
    found = []
    for other, cells in paper().rows.items():
        if other[1:] == key[1:] and (other.table == 2) == (key.table == 2):
            found += [
                (k, other, cells[f"recall@{k}"].value, cells[f"precision@{k}"].value) for k in LENGTHS[other.table]
            ]
    return sorted(found, key=lambda each: each[0])


def test_what_no_recommender_can_have_is_flagged_and_nothing_else():
    impossible = {
        (key, name) for key, cells in paper().rows.items() for name, cell in cells.items() if "impossible" in cell.flags
    }
    assert len(impossible) == 17
    derived, faults = set(), 0
    for key in paper().rows:
        lists = lists_of(key)
        for k, row, recall, precision in lists:
            if recall and precision and k * (precision + HALF) < recall - HALF:
                derived |= {(row, f"{name}@{k}") for name in ("recall", "precision")}
                assert any(paper().rows[row][f"{name}@{k}"].flags for name in ("recall", "precision"))
        for (k, row, *low), (big, other, *high) in itertools.pairwise(lists):
            if hits_fault((k, *low), (big, *high)):
                faults += 1
                cells = {(row, f"{name}@{k}") for name in ("recall", "precision")}
                cells |= {(other, f"{name}@{big}") for name in ("recall", "precision")}
                derived |= cells
                flagged = {"impossible", "implausible", "copied"}
                assert any(flagged & set(paper().rows[where][name].flags) for where, name in cells), cells
    assert faults > 0
    assert impossible <= derived


def test_a_planted_fault_is_found():
    assert not hits_fault((5, 0.03, 0.007), (10, 0.05, 0.006))
    assert hits_fault((5, 0.03, 0.007), (10, 0.02, 0.006))
    assert hits_fault((5, 0.03, 0.007), (10, 0.05, 0.003))
    assert hits_fault((5, 0.03, 0.007), (10, 0.06, 0.005))


def test_rows_of_another_data_set_are_flagged_as_copied():
    rows = paper().rows
    for key, cells in rows.items():
        if key.table == 4 and key.model in ("dragon", "slmrec") and key.dataset == "clothing":
            twin = rows[key._replace(table=3, dataset="sports")]
            for name, cell in cells.items():
                assert cell.value is None or "copied" in cell.flags or cell.value != twin[name].value, (key, name)


def test_sgbd_rows_that_are_the_mirror_row_are_flagged():
    for key, cells in paper().rows.items():
        if key.strategy == "sgbd":
            mirror = paper().rows[key._replace(strategy="mirror")]
            if all(cell.value is not None and cell.value == mirror[name].value for name, cell in cells.items()):
                assert all("copied" in cell.flags for cell in cells.values()), key


def test_improvements_that_are_not_the_best_row_are_flagged():
    """The best row over the vanilla row, where every cell of the block can be read."""
    checked = 0
    for (table, dataset, model), line in paper().improvements.items():
        if model == "average":
            continue
        for name, cell in line.items():
            block = {
                key[3:]: cells[name].value for key, cells in paper().rows.items() if key[:3] == (table, dataset, model)
            }
            base = block.pop(("minilm+cnn", "vanilla"))
            if cell.value is None or base is None or None in block.values() or "scan" in cell.flags:
                continue
            best = max(block.values())
            low, high = (100 * ((best + sign * HALF) / (base - sign * HALF) - 1) for sign in (-1, 1))
            fits = low - 0.06 <= cell.value <= high + 0.06
            checked += 1
            assert fits or "typo" in cell.flags, (table, dataset, model, name)
    assert checked > 80


def test_the_shipped_tables_are_the_given_ones(shared_folder):
    given = (shared_folder / "spec" / TABLES).read_text().replace("cnn+minilm", "minilm+cnn")
    assert tomllib.loads(shipped("fixtures", TABLES).read_text()) == tomllib.loads(given)


@pytest.mark.parametrize("metric", METRICS)
def test_a_known_cell_can_be_looked_up(metric):
    cells = next(cells for key, cells in paper().rows.items() if key == (3, "baby", "slmrec", "blip", "sgbd"))
    assert cells[f"{metric}@5"].value == {"recall": 0.0376, "ndcg": 0.0247, "precision": 0.0083, "map": 0.0198}[metric]
    assert cells[f"{metric}@5"].sound
