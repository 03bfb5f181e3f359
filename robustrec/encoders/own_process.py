"""A second process of `robustrec doctor --features`: it writes the digest and the vectors of the synthetic items."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from robustrec.encoders.own import own_encoder
from robustrec.encoders.own_samples import encode_samples, samples
from robustrec.errors import RobustrecError
from robustrec.own_code import folders_stay


def main(spec: str, answer: Path) -> None:
    """Write {"digest", "vectors"} or {"error"} as JSON.

    Args:
        spec: name of the encoder.
        answer: the file.
    """
    try:
        with folders_stay():
            encoder = own_encoder(spec)
            vectors = {
                modality: [[None if np.isnan(value) else value for value in row] for row in table.tolist()]
                for modality, table in encode_samples(encoder, samples()).items()
            }
            content = {"digest": encoder.digest(), "vectors": vectors}
    except RobustrecError as error:
        content = {"error": error.what}
    answer.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
