"""The report, as a browser shows it: offline, in light and in dark, and on a phone."""

import json
import shutil

import pytest

from lastgood import open_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """Open a file; fail at the end if the console had an error or anything else was asked for."""
    opened = []

    def go(path, **options):
        context = browser.new_context(**options)
        page = context.new_page()
        errors, asked = [], []
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        opened.append((context, errors, asked, path.as_uri()))
        return page

    yield go
    for context, errors, asked, own in opened:
        context.close()
        assert errors == []
        assert [url for url in asked if url != own and not url.startswith("data:")] == []


@pytest.fixture
def report(run, command, tmp_path):
    told = command("report", "digits", "-o", "report.html", "--png", "curves.png")
    path = tmp_path / "report.html"
    assert told.splitlines() == [
        f"wrote report.html: {size(path)}",
        f"wrote curves.png: {size(tmp_path / 'curves.png')}",
    ]
    return path


def size(path):
    count = path.stat().st_size
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def test_curves_checkpoints_and_the_course_are_there(report, page):
    assert report.stat().st_size < 2_000_000
    shown = page(report)
    assert shown.locator("h1").inner_text() == "digits"
    assert shown.locator("figure svg").count() == 3  # the losses, what saves cost, and how large they are
    assert shown.locator("figure svg").first.bounding_box()["height"] > 100
    assert "val_loss goes from 0.9 at step 10 to 0.8 at step 60" in shown.locator("figcaption").first.inner_text()
    rows = shown.locator("tbody tr")
    assert [rows.nth(i).locator("td").first.inner_text() for i in range(rows.count())] == [
        "06.keras",
        "05.keras",
        "04.keras",
        "02.keras",
    ]
    assert "best" in rows.nth(2).inner_text()
    assert "pinned" in rows.nth(3).inner_text()
    text = shown.locator("main").inner_text()
    assert "2 more were pruned" in text
    assert "training began" in text
    assert "resumed from" in text


def test_what_is_drawn_is_told_to_those_who_do_not_see_it(report, page):
    shown = page(report)
    for i in range(shown.locator("[role=img]").count()):
        assert shown.locator("[role=img]").nth(i).get_attribute("aria-label")
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.getAttribute('aria-label')") == "Table of checkpoints"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(report, page, scheme):
    shown = page(report, color_scheme=scheme)
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = shown.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    bright = {name: sum(map(int, color[4:-1].split(","))) for name, color in (("paper", paper), ("ink", ink))}
    assert (bright["paper"] > bright["ink"]) == (scheme == "light")
    assert abs(bright["paper"] - bright["ink"]) > 300


def test_a_phone_need_not_scroll_sideways(report, page):
    shown = page(report, viewport={"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


def test_names_of_metrics_and_files_are_text(run, command, tmp_path, page):
    open_run(run).attach("06.keras", {"<script>alert(1)</script>": 1.0})
    command("report", "digits", "-o", "report.html")
    shown = page(tmp_path / "report.html")
    assert shown.locator("script").count() == 0
    assert "<script>alert(1)</script>" in shown.locator("main").inner_text()


def test_a_run_without_metrics_or_a_journal_has_a_report(run, command, tmp_path, page):
    shutil.rmtree(run / ".lastgood")
    for path in run.glob("0[2-6].keras"):
        path.rename(path.with_suffix(".txt"))
    found = json.loads(command("report", "digits", "-o", "report.html", "--json"))
    assert found["wrote"][0]["path"] == "report.html"
    assert "No checkpoint has metrics." in page(tmp_path / "report.html").locator("main").inner_text()


def test_a_notebook_shows_it(trained):
    shown = open_run(trained)._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "06.keras" in shown
