"""Loss of an item under an edit."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.audits.merchant.audit import MerchantCondition


class Fall(NamedTuple):
    """Loss of one item under one edit.

    Attributes:
        loss: Σ over users with this test item of 1/log2(1 + rank), before minus after: its part of their DCG.
        condition: name of the condition.
        draw: number of the draw.
        item: the item.
        n_users: number of users with this test item.
        places: mean rank for these users, before and after.
        shown: number of users with the item in their top k, before and after.
    """

    loss: float
    condition: MerchantCondition
    draw: int
    item: int
    n_users: int
    places: tuple[float, float]
    shown: tuple[int, int]
