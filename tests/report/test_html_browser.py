"""The page in a real browser: Debian's Chromium, where it is installed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest
from made_up_exhibits import MANY, full_report
from made_up_report import made_up_report

from robustrec.report.html import html_page

CHROMIUM = shutil.which("chromium")
WIDTH = 380
# The page itself runs no script; the frame around it measures it.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="width:{width}px;height:3000px;border:0" srcdoc="{page}"></iframe><pre id="measured"></pre><script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe"), page = frame.contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("*")].filter(each => !each.closest(".scroll, .skip, svg"))
    .filter(each => each.getBoundingClientRect().right > root.clientWidth + 1).map(each => each.tagName);
  const pictures = [...page.images].filter(each => each.naturalWidth > 0).length;
  measured.textContent = JSON.stringify({{wide, pictures, all: page.images.length, scroll: root.scrollWidth,
    client: root.clientWidth, requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    drawn: [...page.querySelectorAll("svg")].every(each => each.getBoundingClientRect().height > 50)}});
}});
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt install chromium")


def opened(path, profile):
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_on_a_phone_nothing_overflows_and_nothing_is_fetched(tmp_path):
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=WIDTH, page=html.escape(html_page(full_report(MANY[:2])))), encoding="utf-8")
    dom, console = opened(frame, tmp_path / "profile")
    measured = json.loads(html.unescape(re.search(r'<pre id="measured">(.*?)</pre>', dom)[1]))
    assert console == []
    assert measured["wide"] == []
    assert measured["scroll"] == measured["client"] <= WIDTH
    assert measured["pictures"] == measured["all"] > 0
    assert measured["requests"] == 0
    assert measured["drawn"]


def test_the_console_stays_empty_with_hostile_titles(tmp_path):
    page = tmp_path / "page.html"
    hostile = "<script>document.title='owned'</script><img src=https://example.invalid/x onerror=alert(1)>"
    page.write_text(html_page(made_up_report(warnings=(hostile,), verdict_reason=hostile)), encoding="utf-8")
    dom, console = opened(page, tmp_path / "profile")
    assert console == []
    assert "owned</title>" not in dom
    assert "&lt;script&gt;document.title" in dom
