"""The most fragile items of a subject, before and after the edit."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from robustrec.audits.merchant.audit import MerchantCondition
from robustrec.audits.merchant.conditions import EvaluationTargets, Floats, Ints, Lists
from robustrec.audits.merchant.examples import Example, example_of
from robustrec.audits.merchant.fall import Fall
from robustrec.audits.merchant.rows import AUDIT
from robustrec.edits.content import Content, content_of, text_of
from robustrec.errors import RobustrecError
from robustrec.results.exhibits import FragileItem, Look
from robustrec.runs.treatments import EditApplier
from robustrec.subject import Subject

THUMBNAIL = 96
"""Longest side of a thumbnail in pixels."""

_TEXT, _QUALITY = 4000, 80


@dataclass
class Fragile:
    """Collects the items with the largest losses, each at its worst condition.

    Attributes:
        targets: what is measured.
        most: number of items to keep.
        example: user of the item with the largest loss.
    """

    targets: EvaluationTargets
    most: int
    example: Example | None = field(default=None, init=False)
    _worst: dict[int, Fall] = field(default_factory=dict, init=False)

    def add(self, condition: MerchantCondition, draw: int, before: Lists, after: Lists, edited: Ints) -> None:
        """Add the edited items of a draw; items that are in no test split or without loss do not count."""
        wanted, n_items = self.targets.wanted, len(self.targets.strata)

        def gain(lists: Lists) -> Floats:
            weights = 1.0 / np.log2(1.0 + lists.places)
            return np.asarray(np.bincount(wanted.items, weights, minlength=n_items), dtype=np.float64)

        loss = (gain(before) - gain(after))[edited]
        count = np.bincount(wanted.items, minlength=n_items)
        for place in np.argsort(-loss, kind="stable")[: self.most]:
            item = int(edited[place])
            known = self._worst.get(item)
            if loss[place] <= 0 or (known is not None and known.loss >= loss[place]):
                continue
            here = wanted.items == item
            self._worst[item] = Fall(
                float(loss[place]),
                condition,
                draw,
                item,
                int(count[item]),
                (float(before.places[here].mean()), float(after.places[here].mean())),
                (int(before.shown[item]), int(after.shown[item])),
            )
            if self.example is None or loss[place] > self.example.loss:
                self.example = example_of(self.targets, self._worst[item], before, after, edited)

    @property
    def falls(self) -> list[Fall]:
        """Items with the largest losses, the worst first."""
        return worst(self._worst.values(), self.most)


def worst(falls: Iterable[Fall], most: int) -> list[Fall]:
    """Return the items with the largest losses, each at its worst condition, the worst first."""
    found: dict[int, Fall] = {}
    for fall in falls:
        if fall.item not in found or fall.loss > found[fall.item].loss:
            found[fall.item] = fall
    return sorted(found.values(), key=lambda fall: (-fall.loss, fall.item))[:most]


def exhibit(subject: Subject, fall: Fall, applier: EditApplier, k: int) -> FragileItem:
    """Return a fragile item with its content; the edit is applied again."""
    condition = fall.condition
    before = applier.before(condition.treatment, fall.item)
    after = applier.after(condition.treatment, before, fall.item, condition.severity, fall.draw)
    return FragileItem(
        subject=subject,
        audit=AUDIT,
        condition=condition.condition,
        item=str(fall.item),
        own_id=applier.catalog.own_id(fall.item),
        before=_look(before, applier, fall.item),
        after=_look(after, applier, fall.item),
        n_users=fall.n_users,
        rank_before=fall.places[0],
        rank_after=fall.places[1],
        exposure_before=fall.shown[0],
        exposure_after=fall.shown[1],
        k=k,
        loss=fall.loss,
    )


def _look(content: Content, applier: EditApplier, item: int) -> Look:
    picture = content.picture
    if picture is None:  # left out because no part edits it, or not readable
        try:
            picture = content_of(applier.catalog, item).picture
        except RobustrecError:
            picture = None
    return look_of(replace(content, picture=picture))


def look_of(content: Content) -> Look:
    """Return text and thumbnail of a content."""
    picture = content.picture
    return Look(text=text_of(content)[:_TEXT], picture=None if picture is None else thumbnail(picture))


def thumbnail(picture: Image.Image) -> str:
    """Return a picture as JPEG in base64, its longest side THUMBNAIL pixels at most."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
