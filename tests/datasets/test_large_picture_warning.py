"""A picture of many pixels is refused by rule, and nothing is said on stderr beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

READ = """
import sys
from pathlib import Path
from robustrec.datasets.pictures import decode
from robustrec.errors import RobustrecError
try:
    decode(Path(sys.argv[1]).read_bytes(), "item 0")
except RobustrecError as error:
    print(error.what)
"""


def test_pillows_own_warning_is_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (12_000, 9_000)).save(path)
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    assert "12000 x 9000 pixels, but at most 40 million" in done.stdout
    assert done.stderr == ""
