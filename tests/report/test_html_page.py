from __future__ import annotations

import base64
import functools
import io
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_exhibits import MANY, fragile, full_report, jpeg
from made_up_report import SGBD, VANILLA, drift, made_up_report, value
from page_checks import is_harmless, seen
from PIL import Image

from robustrec.reading.flatness import flatness_section
from robustrec.report.html import html_page
from robustrec.report.html.pictures import checked_jpeg
from robustrec.results.exhibits import Curve, Look, Relation, Surface
from robustrec.results.findings import AuditStatus

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{7*7}}$x^2$\x1b[31m\u202eevil\u2066\x00]]>"
SECTIONS = [
    "models",
    "recommendation",
    "edits",
    "noise",
    "drift",
    "fragile",
    "flatness",
    "shapes",
    "values",
    "gates",
    "findings",
    "run",
    "words",
]


@functools.cache
def full_page():
    return html_page(full_report())


def test_a_page_has_everything_in_order_and_needs_nothing_else():
    parser = is_harmless(full_page())
    places = [full_page().index(f'<section id="{name}"') for name in SECTIONS]
    assert places == sorted(places)
    assert full_page().index("Verdict: ") < full_page().index("Power") < places[0]
    assert len(parser.ids) == len(set(parser.ids)), "two plots share an id"
    text = "".join(parser.text)
    for word in (
        "SAMPLE EDITION",
        "2 of 2 blocking gates failed",
        "1 training seed each",
        "For these 6 subjects",
        "wrong picture",
        "mean rank 4.3",
        "8.00 percentage points outside the limit",
        "robustrec audit --model slmrec --dataset clothing",
        "Kendall's rank correlation",
        "no image at all",
        "sharpness: 3 measures",
        "0.4000 [0.3600, 0.4400]",
    ):
        assert word in text, word
    links = {attributes["href"][1:] for tag, attributes in parser.elements if tag == "a"}
    assert links <= set(parser.ids)


def test_the_same_report_gives_the_same_bytes():
    report = made_up_report(exhibits=(fragile(SGBD), fragile(VANILLA)))
    assert html_page(report) == html_page(report.model_copy())


def test_headings_descend_one_level_at_a_time():
    levels = [int(tag[1]) for tag, _ in seen(full_page()).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_colours_follow_the_page_and_marks_differ_without_them():
    page = full_page()
    charts = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert not re.search(r"\s(?:stroke|fill|style)=", charts)
    for style in range(4):
        assert f"--s{style}:" in page
        assert f'class="c{style} mkr' in charts
    assert {"circle", "rect", "path"} <= set(re.findall(r'class="c\d mkr"><(\w+)', charts))
    assert 'class="ln c1 d1"' in charts


def test_hostile_texts_are_shown_and_never_obeyed():
    subject = MANY[0].model_copy(update={"strategy": HOSTILE})
    subjects = [subject, *MANY[1:3]]
    looks = {"before": Look(text=HOSTILE), "after": Look(text=HOSTILE, picture="data:text/html,<script>")}
    report = full_report(
        subjects,
        warnings=(HOSTILE,),
        command=(HOSTILE,),
        exhibits=(
            fragile(subject, item=HOSTILE, condition=HOSTILE, **looks),
            Curve(subject=subject, audit="x", name=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, x=(0, 1), y=(0, 1)),
        ),
        dataset=made_up_report().dataset.model_copy(update={"name": HOSTILE}),
    )
    page = html_page(report)
    text = "".join(is_harmless(page).text)
    assert "<script>alert(1)</script>" in text
    assert "{{7*7}}" in text
    assert not set("\x00\x1b\u202e\u2066") & set(page)


@pytest.mark.parametrize("text", ["x", "", "====", "SGVsbG8gd29ybGQ=", jpeg()[:200], jpeg() + "!", "'><script>"])
def test_only_whole_jpegs_are_shown(text):
    assert checked_jpeg(text) is None
    page = html_page(full_report(MANY[:1], exhibits=(fragile(MANY[0], before=Look(text="a", picture=text)),)))
    assert page.count("data:image/jpeg") == 2
    assert ("picture not shown" in page) == bool(text)


def test_whole_jpegs_are_shown():
    assert checked_jpeg(jpeg()) == jpeg()
    assert full_page().count('src="data:image/jpeg;base64,') == 2 * 18 + 2


def test_a_picture_of_more_than_4000_letters_is_whole():
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 90).convert("RGB").save(buffer, "JPEG", quality=95)
    large = base64.b64encode(buffer.getvalue()).decode()
    assert len(large) > 5000
    page = html_page(full_report(MANY[:1], exhibits=(fragile(MANY[0], before=Look(text="a", picture=large)),)))
    assert f'src="data:image/jpeg;base64,{large}"' in page


def test_pictures_items_and_rows_are_bounded():
    picture = jpeg()
    many = tuple(fragile(SGBD, number) for number in range(200))
    long = "a long note " * 300
    rows = [drift(SGBD, -0.01, condition=f"thing number {number}", note=long) for number in range(10_000)]
    steps = tuple(step / 1e5 for step in range(100_000))
    many += (Curve(subject=SGBD, audit="a", name="long", x_label="x", y_label="y", x=steps, y=steps),)
    side = tuple(range(300))
    plane = tuple(tuple(float(a * b) for a in side) for b in side)
    many += (Surface(subject=SGBD, audit="a", name="big", x_label="x", y_label="y", x=side, y=side, z=plane),)
    clean = [value(each, metric=metric) for each in (SGBD, VANILLA) for metric in ("ndcg@20", "recall@20")]
    page = html_page(made_up_report(findings=[*clean, *rows], exhibits=many, gates=(), verdict="inconclusive"))
    assert len(page.encode()) < 5_000_000
    assert page.count(picture) == 24 + 1
    assert "176 more are in the JSON report" in page
    assert "7004 further rows" in page


def test_a_report_of_nothing_has_a_page():
    empty = made_up_report(findings=[], statuses=[], subjects=(), gates=(), verdict="error", verdict_reason="nothing")
    text = "".join(is_harmless(html_page(empty)).text)
    assert "the run ended in an error" in text
    assert "so it cannot fail" in text


def test_what_cannot_be_drawn_is_left_out():
    grid = Surface(
        subject=SGBD, audit="a", name="odd", x_label="x", y_label="y", x=(0, 1), y=(0, 1), z=((1.0,), (2.0,))
    )
    curve = Curve(subject=SGBD, audit="a", name="short", x_label="x", y_label="y", x=(0, 1), y=(0,))
    one = Curve(
        subject=SGBD, audit="a", name="banded", x_label="x", y_label="y", x=(0, 1), y=(0, 1), low=(0,), high=(1, 2)
    )
    flat = grid.model_copy(update={"name": "flat", "z": ((1.0, 1.0), (1.0, 1.0))})
    page = html_page(made_up_report(exhibits=(grid, curve, one, flat)))
    assert "odd" not in page
    assert "short" not in page
    assert "banded" in page
    assert "flat, sgbd" in page


def test_errors_and_inapplicable_audits_are_shown():
    statuses = [
        AuditStatus(audit="reach", subject=SGBD, status="error", message="image did not reach the scores"),
        AuditStatus(audit="noise", subject=VANILLA, status="not_applicable", message="reads no features"),
    ]
    text = "".join(seen(html_page(made_up_report(statuses=statuses))).text)
    assert "No recommendation: the run ended in an error" in text
    assert "image did not reach the scores" in text
    assert "NOT APPLICABLE" in text


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_makes_a_sound_page(text):
    rows = [value(SGBD, audit="noise", metric=text, condition=text, note=text)]
    report = made_up_report(findings=rows, warnings=(text,), command=(text,), exhibits=(fragile(SGBD, item=text),))
    is_harmless(html_page(report))


def test_the_encoder_and_flatness_are_tables_and_sentences_on_the_page():
    moved = {"audit": "encoder", "condition": "edit=crop severity=3"}
    rows = [
        value(VANILLA, 0.59, 0.1, metric="movement_image", **moved),
        value(VANILLA, 0.31, 0.1, metric="edit_size", **moved),
        value(VANILLA, 0.61, 0.1, metric="contraction_image", **moved),
    ]
    report = made_up_report()
    page = html_page(report.model_copy(update={"findings": (*report.findings, *rows)}))
    assert "Encoder response to edits" in page
    assert "<td>0.59</td><td>0.31</td><td>0.61 [0.51, 0.71]</td>" in page
    assert "Encoder response to edits" not in html_page(report)


def test_an_inconclusive_flatness_is_stated_once():
    few = Relation(
        audit="sharpness",
        measure="λ₁",
        outcome="ndcg@20",
        n_subjects=4,
        tau=None,
        p=None,
        sentence="it is not known whether λ₁ orders the drift: there are 4 subjects",
    )
    section = flatness_section([few, few, few])
    assert section.sentences == [f"{few.sentence}; 3 rank correlations are not defined"]
    assert section.rows == []
    sure = few.model_copy(update={"tau": 0.8, "p": 0.01, "labels": ("slmrec/vanilla",)})
    section = flatness_section([sure, few.model_copy(update={"measure": "trace"})])
    assert section.rows == [("λ₁", ["+0.80 (p = 0.01)"])]
