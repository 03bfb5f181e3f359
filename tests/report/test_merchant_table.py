"""The console's table of merchant edits."""

from __future__ import annotations

import io

import pytest
from labelled import condition_of, finding
from rich.console import Console

from robustrec.report.console.sheet import Page
from robustrec.report.tables.merchant import print_merchant
from robustrec.results.exhibits import FragileItem, Look
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.gates import Gate, Select
from robustrec.results.inapplicable import inapplicable
from robustrec.subject import Subject

SUBJECT = Subject(model="slmrec", strategy="sgbd", features="basic", seed=0)


def _drift(edit: str, severity: int, metric: str, drift: float, *, more: str = "") -> Finding:
    return finding(
        subject=SUBJECT,
        audit="merchant",
        condition=f"edit={edit} severity={severity} share=0.1{more}",
        metric=metric,
        quantity="drift",
        clean=0.5,
        perturbed=0.5 + drift / 2,
        drift=drift / 2,
        relative_drift=drift,
        ci_low=drift / 2 - 0.01,
        ci_high=drift / 2 + 0.01,
        relative_ci_low=drift - 0.02,
        relative_ci_high=drift + 0.02,
        n_users=100,
        n_draws=3,
        unit="share",
    )


def _touched(edit: str, severity: int, share: float, note: str) -> Finding:
    return finding(
        subject=SUBJECT,
        audit="merchant",
        condition=f"edit={edit} severity={severity} share=0.1",
        metric="touched",
        quantity="value",
        clean=share,
        n_users=0,
        n_draws=3,
        unit="share of chosen items",
        note=note,
    )


@pytest.fixture
def findings() -> list[Finding]:
    found = []
    for edit, note, worst in (
        ("promo_badge", "image", -0.004),
        ("wrong_picture", "image", -0.03),
        ("typos", "text", -0.01),
    ):
        for severity in (1, 5):
            found.append(_touched(edit, severity, 1.0, note))
            found.append(_drift(edit, severity, "ndcg@20", worst * severity / 5))
            found.append(_drift(edit, severity, "ndcg@20_edited", worst * severity * 2))
            found.append(_drift(edit, severity, "exposure@20_edited", worst * severity * 3))
            found.append(_drift(edit, severity, "ndcg@20_untouched", 0.01))
    found.append(_touched("brand_first", 5, 0.0, "text"))
    found += [_drift("all", severity, "ndcg@20", -0.003 * severity) for severity in (1, 5)]
    return found


def _printed(findings: list[Finding], exhibits: tuple[FragileItem, ...] = (), width: int = 80) -> list[str]:
    class Report:
        pass

    report = Report()
    report.exhibits = exhibits  # type: ignore[attr-defined]
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    print_merchant(Page(console, report, findings, {SUBJECT: "sgbd"}, "95 %"), findings)  # type: ignore[arg-type]
    return stream.getvalue().splitlines()


def test_one_row_an_edit_the_worst_first_with_every_severity(findings: list[Finding]) -> None:
    lines = _printed(findings)
    table = [line.split() for line in lines if line.strip()[:5] in ("wrong", "mean ", "typos", "promo")]
    assert [row[0] for row in table] == ["wrong", "mean", "typos", "promo"]
    wrong = " ".join(table[0])
    assert wrong == "wrong picture picture -0.6 -3.0 [-5.0, -1.0] -30 -45 +1.0"
    assert any("no item changed: brand_first" in line for line in lines)
    assert any("10 % of items" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_no_word_and_no_interval_is_broken_at_80_columns() -> None:
    found = []
    edits = ("attribute_contradiction+recolour", "truncation+low_resolution", "promo_phrase+promo_badge")
    for edit in edits:
        for severity in (1, 3, 5):
            found.append(_touched(edit, severity, 1.0, "both"))
            found.append(_drift(edit, severity, "ndcg@20", -0.123 * severity / 5))
            found.append(_drift(edit, severity, "ndcg@20_edited", -0.5))
            found.append(_drift(edit, severity, "exposure@20_edited", -0.5))
            found.append(_drift(edit, severity, "ndcg@20_untouched", 0.01))
    lines = _printed(found)
    assert all(len(line) <= 80 for line in lines)
    words = {word for line in lines for word in line.split()}
    for word in ("attribute", "contradiction", "recolour", "truncation", "resolution", "phrase", "badge", "edited"):
        assert word in words, word
    assert sum("[-14, -10]" in line for line in lines) == len(edits)


def test_frozen_graphs_have_a_table_of_their_own(findings: list[Finding]) -> None:
    more = [_drift("typos", severity, "ndcg@20", -0.2, more=" frozen graphs") for severity in (1, 5)]
    lines = _printed([*findings, *more])
    assert sum("frozen graphs" in line for line in lines) == 1


def test_the_most_fragile_items_are_named_without_markup(findings: list[Finding]) -> None:
    item = FragileItem(
        subject=SUBJECT,
        audit="merchant",
        condition=condition_of("edit=typos severity=5 share=0.1"),
        item="17",
        before=Look(text="[red]Shoe\n" * 20),
        after=Look(text="Sheo"),
        n_users=4,
        rank_before=3.0,
        rank_after=210.0,
        exposure_before=35,
        exposure_after=2,
        k=20,
    )
    text = " ".join(" ".join(_printed(findings, (item,))).split())
    assert "item 17 '[red]Shoe" in text
    assert (
        "typos severity 5: in the top 20 of 35 -> 2 users; mean rank 3 -> 210 for 4 users with this test item" in text
    )


def _gate(condition: str, *, optional: bool = True) -> Gate:
    select = Select(audit="merchant", condition=condition, metric="ndcg@20")
    return Gate(name="g", select=select, quantity="relative_drift", min=-0.1, optional=optional)


def _status(status: str) -> AuditStatus:
    return AuditStatus.model_validate({"audit": "merchant", "subject": SUBJECT, "status": status})


def test_an_optional_gate_is_left_out_where_nothing_could_be_edited(findings: list[Finding]) -> None:
    ok, idle = [_status("ok")], [_status("not_applicable")]
    assert "no item has" in inapplicable(_gate("edit=brand_first *"), findings, ok)
    assert "is not applicable" in inapplicable(_gate("edit=typos *"), [], idle)
    assert not inapplicable(_gate("edit=typos *"), findings, ok)
    assert not inapplicable(_gate("edit=brand_frist *"), findings, ok), "a misspelt name stays an error"
    assert not inapplicable(_gate("edit=brand_first *", optional=False), findings, ok)
    assert not inapplicable(_gate("edit=typos *"), [], [*ok, *idle])


def _hidden(edit: str, severity: int, share: float) -> Finding:
    row = _touched(edit, severity, share, "image")
    return row.model_copy(update={"metric": "hidden_share", "modality": "image"})


def test_the_hidden_share_stands_beside_the_effect_where_an_encoder_crops(findings: list[Finding]) -> None:
    shares = {("promo_badge", 1): 0.999, ("promo_badge", 5): 0.36, ("wrong_picture", 1): 0.24}
    shares["wrong_picture", 5] = 0.0
    rows = [_hidden(edit, severity, share) for (edit, severity), share in shares.items()]
    lines = _printed([*findings, *rows], width=100)
    table = {line.split()[0]: line for line in lines if line.strip()[:5] in ("wrong", "mean ", "typos", "promo")}
    assert "hidden %" in " ".join(lines)
    assert "picture 99/36 " in " ".join(table["promo"].split())
    assert "picture 24/0 " in " ".join(table["wrong"].split())
    assert "/" not in table["typos"]
    assert "--set encoder.fit=pad" in " ".join(" ".join(lines).split())


def test_an_encoder_that_sees_the_whole_picture_has_no_such_column(findings: list[Finding]) -> None:
    assert _printed([*findings, _hidden("promo_badge", 5, 0.0)]) == _printed(findings)
