"""The page in a real browser: Chromium, where it is installed."""

from __future__ import annotations

import shutil

import pytest
from made_up_exhibits import MANY, full_report
from made_up_report import made_up_report

from robustrec.report.html import html_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (320, 380, 768, 1280, 1600)
TOO_SMALL = """[...document.querySelectorAll("svg text, svg[role=img]")].filter(each => each.tagName === "text"
  ? parseFloat(getComputedStyle(each).fontSize) < 12 || each.getScreenCTM().a !== 1
  : each.getBoundingClientRect().height < 20 || each.getBoundingClientRect().width < 100).map(each => each.outerHTML)"""
HOSTILE = "<script>document.title='owned'</script><img src=https://example.invalid/x onerror=alert(1)>"

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'robustrec[test]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt install chromium")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page in the browser, with all it said and asked for."""

    def __init__(self, browser, text, folder, **options):
        path = folder / "page.html"
        path.write_text(text, encoding="utf-8")
        self.page = browser.new_page(viewport={"width": 1280, "height": 800}, **options)
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def quiet(self):
        return self.said == [] and {url for url in self.asked if not url.startswith("data:")} == {self.asked[0]}


def test_nothing_overflows_and_nothing_is_fetched_at_any_width(browser, tmp_path):
    opened = Opened(browser, html_page(full_report(MANY[:2], warnings=(HOSTILE,), verdict_reason=HOSTILE)), tmp_path)
    for width in WIDTHS:
        opened.page.set_viewport_size({"width": width, "height": 800})
        opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width
        assert opened.page.evaluate(TOO_SMALL) == []
    pictures = opened.page.evaluate("[...document.images].map(each => each.naturalWidth)")
    assert len(pictures) > 0
    assert all(pictures)
    assert opened.page.title() != "owned"
    assert opened.quiet(), (opened.said, opened.asked)


def test_on_a_phone_sections_are_folded_and_a_link_opens_them(browser, tmp_path):
    opened = Opened(browser, html_page(made_up_report()), tmp_path)
    opened.page.set_viewport_size({"width": 380, "height": 800})
    opened.page.reload()
    assert opened.page.locator("#gates .fold").get_attribute("open") is None
    opened.page.locator(".contents a[href='#gates']").click()
    assert opened.page.locator("#gates .fold").get_attribute("open") is not None
    assert opened.quiet(), (opened.said, opened.asked)
