"""The page in a real browser: Chromium, where it is installed."""

from __future__ import annotations

import functools
import shutil

import pytest
from made_up_exhibits import MANY, full_report

from robustrec.report.html import html_page
from robustrec.results.report import Report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (320, 380, 768, 1280, 1600)
HOSTILE = "<script>document.title='owned'</script><img src=https://example.invalid/x onerror=alert(1)>"
FOCUSABLE = "a[href], button, summary, input, [tabindex='0']"

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'robustrec[test]'")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python: pip install 'robustrec[test]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt install chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a report with all sections and hostile texts, open in a browser; what it said and asked for."""
    from playwright.sync_api import sync_playwright

    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html_page(whole_report()), encoding="utf-8")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.said, opened.asked = [], []
        opened.on("console", lambda message: opened.said.append(message.text))
        opened.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.goto(path.as_uri())
        yield opened
        browser.close()


@functools.cache
def whole_report() -> Report:
    long = MANY[0].model_copy(update={"strategy": "s" * 300})
    return full_report([long, MANY[1]], warnings=(HOSTILE, "w" * 300), verdict_reason=HOSTILE)


def at(page, width, *, folded=False):
    """Load the page again at a width, as a phone or a screen of it would, and open all folds."""
    page.set_viewport_size({"width": width, "height": 800})
    page.reload()
    if not folded:
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


def test_no_width_scrolls_sideways_and_nothing_is_fetched(page):
    for width in WIDTHS:
        at(page, width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
    pictures = page.evaluate("[...document.images].map(each => each.naturalWidth)")
    assert len(pictures) > 0
    assert all(pictures)
    assert page.title() != "owned"
    assert page.said == []
    assert {url for url in page.asked if not url.startswith("data:")} == {page.asked[0]}


def test_axe_finds_no_violation_in_light_and_dark_on_screen_and_phone(page):
    from axe_playwright_python.sync_playwright import Axe

    for width in (1280, 380):
        at(page, width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page).response["violations"]
            told = [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found]
            assert told == [], (width, scheme)
    page.emulate_media(color_scheme="light")


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page):
    at(page, 1280)
    expected = page.evaluate(
        f"""[...document.querySelectorAll("{FOCUSABLE}")].filter(each => each.checkVisibility())
            .map((each, number) => {{ each.dataset.place = number; return number; }}).length"""
    )
    reached, unseen = set(), []
    for _ in range(expected + 1):
        page.keyboard.press("Tab")
        place, html, outline = page.evaluate(
            """(() => { const each = document.activeElement, style = getComputedStyle(each);
            return [each.dataset.place, each.outerHTML.slice(0, 120), style.outlineStyle + style.outlineWidth]; })()"""
        )
        if place is None:
            break
        reached.add(int(place))
        if outline != "solid3px":
            unseen.append(html)
    assert unseen == []
    missing = set(range(expected)) - reached
    assert not missing, page.evaluate(
        f"[...document.querySelectorAll('[data-place]')].filter(one => {sorted(missing)}.includes(+one.dataset.place))"
        ".map(each => each.outerHTML.slice(0, 120))"
    )


def test_what_the_script_adds(page):
    at(page, 1280)
    term = page.locator("a.term").first
    term.focus()
    assert len(page.locator("#tip").inner_text()) > 20
    assert term.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert page.locator("#tip").count() == 0

    table = page.locator("#table-findings")
    drifts = "[...document.querySelectorAll('#table-findings tbody tr')].map(each => each.cells[6].dataset.v)"
    head = table.locator("th", has_text="drift").first
    head.locator("button").click()
    values = page.evaluate(drifts)
    numbers = [float(each) for each in values if each]
    assert head.get_attribute("aria-sort") == "ascending"
    assert numbers == sorted(numbers)
    assert "" not in values[: len(numbers)]
    page.locator(".tools [type=search]").fill("wrong_picture merchant")
    shown = page.evaluate(
        "[...document.querySelectorAll('#table-findings tbody tr')].filter(each => !each.hidden).length"
    )
    assert 0 < shown < len(values)
    assert page.locator(".tools [role=status]").inner_text() == f"{shown} of {len(values)} rows"

    page.locator(".copy").first.click()
    page.wait_for_function("['Copied', 'Press Ctrl+C'].includes(document.querySelector('.copy').textContent)")


def test_on_a_phone_sections_are_folded_and_a_link_opens_them(page):
    at(page, 380, folded=True)
    assert page.locator("#gates .fold").get_attribute("open") is None
    page.evaluate("location.hash = '#gate-0'")
    page.wait_for_function("document.querySelector('#gates .fold').open")
    page.emulate_media(media="print")
    assert page.locator(".contents").is_hidden()
    assert page.locator("#run dl").first.is_visible()
    page.emulate_media(media="screen")
