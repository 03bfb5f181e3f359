"""Built-in networks meet what is required of user-defined encoders: a vector depends on its row only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.own_samples import samples
from robustrec.encoders.purity import TOLERANCE, WAYS, difference, fault_of
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork
from robustrec.errors import RobustrecError


@pytest.mark.parametrize("name", ["tiny-blip", "minilm", "lite0"])
def test_vectors_of_built_in_networks_depend_on_their_row_only(name: str, tmp_path: Path) -> None:
    try:
        network = StoredNetwork(name, EncoderOptions(device="cpu", offline=True, batch_size=4), tmp_path, first=name)
    except RobustrecError as error:
        pytest.skip(f"needs the weights of {name}: {error.what}")
    rows = [RowContent(each.text, each.copy) for each in samples()]

    def encode(places: Sequence[int]) -> dict[str, Any]:
        found = network.uncached([rows[place] for place in places], None)
        return {output: table.numpy() for output, table in found.outputs.items()}

    before = encode(range(len(rows)))
    for way in WAYS:
        assert fault_of(way, encode, len(rows), before, TOLERANCE["full"])[0] == ""
    for table in before.values():
        np.testing.assert_allclose(table[0], table[4], atol=1e-5 * float(np.abs(table).max()))  # equal rows


def test_the_difference_is_a_share_of_the_largest_value_and_ignores_rows_without_content() -> None:
    before = {"text": np.array([[1, -4], [np.nan, np.nan], [0, 2]], np.float32), "image": np.ones((3, 1), np.float32)}
    after = {"text": np.array([[1, -4], [7, 7], [0.5, 2]], np.float32), "image": np.ones((3, 1), np.float32)}
    assert difference(before, after) == ("text", 0.125, 2)
    after["text"][2] = np.nan
    assert difference(before, after) == ("text", float("inf"), 2)
    zeros = {"text": np.zeros((2, 2), np.float32)}
    assert difference(zeros, zeros).share == 0
    assert difference(zeros, {"text": np.eye(2, dtype=np.float32)}).share == 1
