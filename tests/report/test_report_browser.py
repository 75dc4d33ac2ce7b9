"""The page in a real browser: offline, in both languages, by keyboard, with a thousand scenarios."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from results_made import result
from test_report_page import hostile, matrix
from watched_made import watched

from pytest_vllm_bench.comparing import side_by_side
from pytest_vllm_bench.model import Cell, Verdict
from pytest_vllm_bench.report import page
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.text import table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (apt install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright (pip install playwright)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield running
        running.close()


class Opened:
    """A page with all that it said and asked for."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        # By locators: the page's own policy forbids what evaluates strings, waiting functions included.
        self.page.locator("#shown", has_text=re.compile(r"\S")).wait_for(state="attached")

    def scroll(self) -> None:
        """Bring every chart into view once: each is drawn when it is seen."""
        for plot in self.page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
            plot.locator(".main-svg").first.wait_for(state="attached")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two sessions with failures, records, a trend and a comparison."""
    path = tmp_path_factory.mktemp("report")
    before = matrix(session="s1", date="2026-11-22T05:25:05+00:00")
    made = []
    for k, (input_len, c) in enumerate((i, c) for i in (256, 1024) for c in (1, 4, 16, 64)):
        verdict = list(Verdict)[k % 4]
        more: dict[str, Any] = {
            "tokens": 20,
            "failed": 3 if verdict is Verdict.FAIL else 0,
            "complete": k != 1,
            "server": {"requests": 3.0},
        }
        one = result(input_len, concurrency=c, n=10 * c, verdict=verdict, session="s2", **more)
        made.append(replace(one, metrics={**one.metrics, "steady_p99_ttft_ms": 100.0}))
        folder.write(made[-1], path)
    extra = page.Extra(history=[*before, *made], compared=side_by_side(before, made))
    return page.write(made, path, extra=extra)


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Opened]:
    one = Opened(browser, report, viewport={"width": 1280, "height": 900})
    yield one
    one.context.close()


def test_it_opens_offline_and_draws_everything(opened: Opened, report: Path) -> None:
    opened.scroll()
    assert opened.said == []
    assert opened.asked == [report.as_uri()]
    assert opened.page.locator(".plot .main-svg").count() >= opened.page.locator(".plot").count() > 10


def test_the_filter_reaches_table_and_charts(opened: Opened) -> None:
    tab = opened.page
    points = "() => document.querySelector('#overview .plot').data.map(one => one.x.length)"
    tab.locator("#overview .plot").first.scroll_into_view_if_needed()
    tab.wait_for_selector("#overview .plot .main-svg")
    assert tab.evaluate(points) == [4, 4]
    tab.fill("#filter", "io256 mc16")
    assert tab.locator("#table tbody tr:visible").count() == 1
    assert tab.inner_text("#shown") == "1 of 8 scenarios shown"
    assert tab.evaluate(points) == [1, 0]
    tab.fill("#filter", "nothing like it")
    assert tab.locator("#table tbody tr:visible").count() == 0
    assert opened.said == []


def test_a_row_leads_to_its_charts(opened: Opened) -> None:
    tab = opened.page
    tab.click("#table tbody tr:nth-child(6) td:nth-child(4)")
    assert tab.input_value("#scenario") == "5"
    assert tab.locator("#own figure").count() >= 6
    assert tab.get_attribute("#table tbody tr:nth-child(6)", "aria-selected") == "true"


def test_the_table_is_sorted_by_keyboard(opened: Opened) -> None:
    tab = opened.page
    head = tab.locator("#table thead th", has_text="Completed")
    column = int(head.get_attribute("data-c") or "")
    head.locator("button").focus()
    for order, sort in (("ascending", sorted), ("descending", lambda x: sorted(x, reverse=True))):
        tab.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        shown = [
            int(t.replace(",", "")) for t in tab.locator(f"#table tbody td:nth-child({column + 1})").all_inner_texts()
        ]
        assert shown == sort(shown)


def test_axes_can_be_logarithmic(opened: Opened) -> None:
    tab = opened.page
    figure = tab.locator("#overview figure").first
    figure.scroll_into_view_if_needed()
    tab.wait_for_selector("#overview .plot .main-svg")
    scale = "() => document.querySelector('#overview .plot').layout.yaxis.type"
    assert tab.evaluate(scale) != "log"
    figure.locator("input[data-axis=y]").check()
    assert tab.evaluate(scale) == "log"


def test_a_chart_has_its_figures_as_a_table(opened: Opened) -> None:
    figure = opened.page.locator("#overview figure").first
    figure.locator("summary").click()
    figure.locator("table tbody tr").nth(7).wait_for()  # it is drawn when it is opened
    assert figure.locator("table tbody tr").count() == 8


# ------------------------------------------------------------------------------------------- languages

#: Every text that a reader can see: text nodes that are shown, in the page and in its drawings, and spoken attributes.
SEEN = """() => {
  const texts = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent.closest("script, style, code") && (parent.closest("option") || parent.checkVisibility()))
      texts.push(walker.currentNode.textContent);
  }
  for (const name of ["title", "aria-label", "placeholder"])
    document.querySelectorAll(`[${name}]`).forEach((node) => texts.push(node.getAttribute(name)));
  return texts.map((text) => text.trim()).filter(Boolean);
}"""
CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


def english_patterns() -> re.Pattern[str]:
    """All English texts whose Chinese differs, with anything in their blanks."""
    patterns = []
    for en, zh in table().values():
        fixed = re.sub(r"\{[^}]*\}", "", en)
        if en != zh and re.search(r"[A-Za-z]{3}", fixed):
            patterns.append(re.sub(r"\\\{.*?\\\}", ".+", re.escape(en)))
    return re.compile("|".join(patterns))


def everything(opened: Opened) -> list[str]:
    opened.scroll()
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    opened.page.wait_for_timeout(100)
    seen: list[str] = opened.page.evaluate(SEEN)
    return seen


def test_each_language_reaches_everything(opened: Opened) -> None:
    """English, Chinese, and back: no label of the other language is left anywhere."""
    first = everything(opened)
    assert "LLM serving benchmark" in first
    assert {text for text in first if CHINESE.search(text)} == {"中文"}
    opened.page.click("button[data-lang=zh]")
    seen = everything(opened)
    assert "大模型推理服务压测报告" in seen
    english = english_patterns()
    left = {text for text in seen if english.fullmatch(text)} - {"English", "TTFT", "TPOT", "ITL", "E2EL"}
    assert not left
    assert opened.page.get_attribute("html", "lang") == "zh"
    opened.page.click("button[data-lang=en]")
    assert everything(opened) == first
    assert opened.said == []


def test_it_opens_in_the_language_asked_for(browser: Browser, tmp_path: Path) -> None:
    one = Opened(browser, page.write(matrix(), tmp_path, lang="zh"))
    assert one.page.inner_text("h1") == "大模型推理服务压测报告"
    assert one.page.title() == "大模型推理服务压测报告"
    one.context.close()


# --------------------------------------------------------------------------------- looks and extremes


def test_dark_and_light(opened: Opened) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert opened.page.evaluate(ground) == "rgb(255, 255, 255)"
    opened.page.click("#theme")
    assert opened.page.evaluate(ground) == "rgb(13, 17, 23)"


def test_a_phone_scrolls_only_down(browser: Browser, report: Path) -> None:
    one = Opened(browser, report, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    one.scroll()
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    one.context.close()


def test_paper_has_no_buttons(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert not opened.page.locator(".controls").is_visible()
    assert opened.page.locator("#table").is_visible()


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    made = hostile(result(verdict=Verdict.FAIL, failed=1))
    other = replace(hostile(result(concurrency=4, n=40)), model="m")
    other = replace(other, scenario=replace(other.scenario, cell=Cell(place="other")))
    one = Opened(browser, page.write([made, other], tmp_path))
    one.scroll()
    assert one.page.evaluate("window.broken") is None
    assert one.page.locator("img").count() == 0
    assert "<img src=x" in one.page.inner_text("#table")
    assert one.said == []
    one.context.close()


def test_a_thousand_scenarios(browser: Browser, thousand: Path) -> None:
    one = Opened(browser, thousand)
    assert one.page.locator("#table tbody tr").count() == 1000
    one.page.fill("#filter", "io16x mc4")
    assert one.page.inner_text("#shown") == "1 of 1000 scenarios shown"
    one.page.click("#table tbody tr:visible a")
    assert one.page.input_value("#scenario") == "3"
    assert one.said == []
    one.context.close()


def test_what_was_watched_is_drawn_under_a_thousand_requests(browser: Browser, tmp_path: Path) -> None:
    """On one time axis, four panels at first and more at a click, on a phone too, in a page of at most 6 MB."""
    path = page.write([watched(tmp_path, n=1000)], tmp_path)
    assert path.stat().st_size < 6e6
    for width, theme in ((1280, "light"), (390, "dark")):
        one = Opened(browser, path, viewport={"width": width, "height": 844}, color_scheme=theme)
        figure = one.page.locator("#own figure").nth(1)
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg").first.wait_for(state="attached")
        facts = (
            "figure => { const of = figure.querySelector('.plot').layout;"
            " return [Object.keys(of).filter((k) => /^yaxis[0-9]/.test(k)).length, of.xaxis.anchor,"
            " of.annotations.map((a) => a.text).join()]; }"
        )
        panels, anchor, said = figure.evaluate(facts)
        assert (panels, anchor) == (4, "y5")
        assert "running" in said
        assert "KV cache full" in said
        chosen = figure.locator(".below button[aria-pressed=true]")
        assert chosen.count() == 4
        figure.locator(".below button[aria-pressed=false]").first.click()
        assert figure.evaluate(facts)[0] == 5
        figure.locator(".below button[aria-pressed=true]").first.click()
        assert figure.evaluate(facts)[0] == 4
        one.page.click('[data-lang="zh"]')
        assert "KV 缓存用满" in figure.evaluate(facts)[2]
        assert figure.locator(".below").inner_text().startswith("下方显示")
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        assert one.said == []
        one.context.close()
