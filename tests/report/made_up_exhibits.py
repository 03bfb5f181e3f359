"""A made-up report of a full audit: merchant edits, noise sweeps, flatness, spectra, landscapes and fragile items."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

from labelled import condition_of
from made_up_report import drift, made_up_report, use_findings, value
from PIL import Image, ImageDraw

from robustrec.audits.suites import load_suite
from robustrec.results.exhibits import Curve, Exhibit, FragileItem, Look, Relation, Surface
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.report import Report
from robustrec.subject import Subject

EDITS = ("promo_badge", "keyword_stuffing", "wrong_picture", "truncation")
PAIRS = [(model, strategy) for model in ("slmrec", "dragon", "vbpr") for strategy in ("vanilla", "sgbd")]
MANY = [Subject(model=model, strategy=strategy, features="blip", seed=0) for model, strategy in PAIRS]


def jpeg(colour: str = "#3377aa", words: str = "") -> str:
    """A thumbnail as a report holds it."""
    picture = Image.new("RGB", (96, 96), colour)
    ImageDraw.Draw(picture).rectangle((20, 16, 76, 84), fill="#f4f1ea", outline="#222222")
    if words:
        ImageDraw.Draw(picture).text((26, 40), words, fill="#aa0000")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def fragile(subject: Subject, number: int = 0, **changes: Any) -> FragileItem:
    """An item that fell."""
    fields: dict[str, Any] = {
        "subject": subject,
        "audit": "merchant",
        "condition": "edit=wrong_picture severity=4 share=0.1",
        "item": f"B00{number:05d}",
        "before": Look(text="Cotton crew sock, blue\nAcme\nSoft and warm.", picture=jpeg()),
        "after": Look(text="Cotton crew sock, blue\nAcme\nSoft and warm.", picture=jpeg("#aa7733", "SALE")),
        "n_users": 7,
        "rank_before": 4.3 + number / 4,
        "rank_after": 61.5 + 3 * number,
        "exposure_before": 41,
        "exposure_after": 3,
        "k": 20,
    }
    fields |= changes
    return FragileItem(**{**fields, "condition": condition_of(fields["condition"])})


def findings_of(subject: Subject, place: int) -> list[Finding]:
    """Clean quality, a noise sweep in three scopes, four edits at five severities, and sharpness."""
    clean = 0.11 + 0.004 * place
    rows = [value(subject, clean + more, 0.006, metric=name) for name, more in (("ndcg@20", 0.0), ("recall@20", 0.1))]
    rows += use_findings(subject)
    for scope in ("", " image", " text"):
        for power in range(-8, -1):
            loss = -0.004 * (place + 1) * (power + 8) ** 2 / (2 if scope else 1)
            common = {"condition": f"sigma2={10.0**power:g}{scope}"}
            rows += [drift(subject, loss, clean=clean, metric=name, **common) for name in ("ndcg@20", "recall@20")]
    for number, edit in enumerate(EDITS):
        for severity in range(1, 6):
            common = {"audit": "merchant", "condition": f"edit={edit} severity={severity} share=0.1"}
            rows.append(drift(subject, -0.002 * severity * (number + 1) - 0.001 * place, clean=clean, **common))
    rows.append(drift(subject, -0.01, audit="missing", condition="no image at all", clean=clean))
    point: dict[str, Any] = {"audit": "noise", "condition": "break point: ndcg@20 -5%", "metric": "sigma2"}
    rows.append(value(subject, 3e-5 * (place + 1), None, unit="variance", ci_low=2e-5, ci_high=1e-3, **point))
    for measure, size in (("input_sharpness", 0.01), ("lambda_max", 0.4), ("trace", 20.0)):
        named = {"audit": "sharpness", "condition": "sigma_std=0.1 standardised", "metric": measure}
        rows.append(value(subject, size * (place + 1), size / 10, unit="loss", **named))
    return rows


def exhibits_of(subject: Subject, place: int) -> list[Exhibit]:
    """A spectrum, a slice, a surface and fragile items."""
    grid = tuple(round(-1 + step / 10, 3) for step in range(21))
    slices = tuple((1 + place / 3) * x * x for x in grid)
    common: dict[str, Any] = {"subject": subject, "audit": "sharpness", "x": grid}
    found: list[Exhibit] = [
        Curve(
            name="landscape along the first eigenvector",
            x_label="step along it",
            y_label="loss",
            y=slices,
            low=tuple(y - 0.05 for y in slices),
            high=tuple(y + 0.05 for y in slices),
            **common,
        ),
        Curve(
            name="spectral density",
            x_label="eigenvalue",
            y_label="density",
            y=tuple(math.exp(-((x + place / 20) ** 2) * 30) for x in grid),
            **common,
        ),
    ]
    if place < 2:
        z = tuple(tuple(x * x + 2 * y * y + 0.3 * x * y for x in grid) for y in grid)
        found.append(Surface(name="landscape", x_label="a", y_label="b", y=grid, z=z, **common))
    found += [fragile(subject, 10 * place + number) for number in range(3)]
    return found


def full_report(subjects: list[Subject] | None = None, **changes: Any) -> Report:
    """A report with everything that a page can show."""
    subjects = MANY if subjects is None else subjects
    record = made_up_report().subjects[1]
    words = "on these 6 subjects input sharpness orders the noise drift (τ = 0.87, p = 0.02)"
    relation = Relation(
        audit="sharpness",
        measure="input sharpness, image",
        outcome="noise sigma2=1e-06 ndcg@20",
        n_subjects=len(subjects),
        tau=0.87,
        p=0.02,
        x=tuple(0.01 * (place + 1) for place in range(len(subjects))),
        y=tuple(-0.004 * (place + 1) ** 2 for place in range(len(subjects))),
        labels=tuple(subject.label for subject in subjects),
        sentence=words,
    )
    fields: dict[str, Any] = {
        "findings": [row for place, subject in enumerate(subjects) for row in findings_of(subject, place)],
        "subjects": tuple(record.model_copy(update={"subject": subject}) for subject in subjects),
        "statuses": [
            AuditStatus(audit=audit, subject=subject, status="ok")
            for audit in ("reach", "noise", "merchant", "sharpness")
            for subject in subjects
        ],
        "exhibits": tuple(each for place, subject in enumerate(subjects) for each in exhibits_of(subject, place)),
        "relations": (relation,),
    }
    suite = load_suite("paper")
    gates = tuple(gate for gate in suite.gates if gate.name.endswith("paper's noise"))
    return made_up_report(suite.model_copy(update={"gates": gates}), **{**fields, **changes})
