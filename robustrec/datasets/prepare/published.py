"""Published sizes of prepared data sets, and the differences of what was prepared from them."""

from __future__ import annotations

from collections.abc import Mapping

USERS, ITEMS, INTERACTIONS = "users", "items", "interactions"
RAW_ROWS, RAW_ITEMS = "rows of the interactions file", "lines of the catalog"

# The 5-cores as in the papers that use them (He and McAuley 2016; Zhang et al. 2021; Zhou et al. 2023), and the sizes
# of the files of Baby that they are made from.
SIZES: dict[tuple[str, str], dict[str, int]] = {
    ("amazon2014", "Baby"): {USERS: 19_445, ITEMS: 7_050, INTERACTIONS: 160_792},
    ("amazon2014", "Sports_and_Outdoors"): {USERS: 35_598, ITEMS: 18_357, INTERACTIONS: 296_337},
    ("amazon2014", "Clothing_Shoes_and_Jewelry"): {USERS: 39_387, ITEMS: 23_033, INTERACTIONS: 278_677},
    ("amazon2014", "Electronics"): {USERS: 192_403, ITEMS: 63_001, INTERACTIONS: 1_689_188},
}
FILES: dict[str, dict[str, int]] = {
    "ratings_Baby.csv": {RAW_ROWS: 915_446},
    "meta_Baby.json": {RAW_ITEMS: 71_317},
}
NAMES = {
    ("amazon2014", "Baby"): "baby",
    ("amazon2014", "Sports_and_Outdoors"): "sports",
    ("amazon2014", "Clothing_Shoes_and_Jewelry"): "clothing",
    ("amazon2014", "Electronics"): "electronics",
}
"""Usual names of data sets, which differ from those of the files."""


def differences(layout: str, category: str, found: Mapping[str, int], *, files: tuple[str, ...], k: int) -> list[str]:
    """Return a sentence for each count that differs from the published one.

    Args:
        layout: name of the layout.
        category: the category.
        found: counts by name.
        files: names of the files that were read.
        k: smallest number of interactions of a user or item; the published data sets are 5-cores.
    """
    known = dict(SIZES.get((layout, category), {})) if k == 5 else {}
    if layout == "amazon2014":
        for file in files:
            known |= FILES.get(file.removesuffix(".gz"), {})
    subject = f"Amazon {layout[-4:]} {category}" if layout.startswith("amazon") else layout
    return [
        f"{count:,} {name} prepared, but {known[name]:,} published for {subject}"
        for name, count in found.items()
        if name in known and count != known[name]
    ]
