"""The report as a browser shows it: offline, in light and dark mode, and on a phone."""

import json
import platform
import re
import shutil
import socket

import pytest

from cli.conftest import command_in
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
    """Open a file; fail at the end if the console logged an error or the page requested anything else."""
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


@pytest.fixture(scope="module")
def report(trained):
    """The report of a run. Tests must not change it."""
    directory = trained.parent
    told = command_in(directory, "report", "digits", "-o", "report.html", "--png", "curves.png")
    path = directory / "report.html"
    assert told.splitlines() == [
        f"wrote report.html: {size(path)}",
        f"wrote curves.png: {size(directory / 'curves.png')}",
    ]
    return path


def labels_of_charts(shown):
    return shown.locator("[role=img]").evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")


def size(path):
    count = path.stat().st_size
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def test_the_report_shows_curves_checkpoints_and_the_timeline(report, page):
    assert report.stat().st_size < 2_000_000
    shown = page(report)
    assert shown.locator("h1").inner_text() == "digits"
    assert shown.locator("figure svg").count() == 3  # the losses, and the cost and size of saves
    assert shown.locator("figure svg").first.bounding_box()["height"] > 100
    assert "val_loss goes from 0.9 at step 10 to 0.8 at step 60" in shown.locator("figcaption").first.inner_text()
    rows = shown.locator("table.checkpoints tbody tr")
    assert rows.locator("th").all_inner_texts() == ["06.keras", "05.keras", "04.keras", "02.keras"]
    assert "best" in rows.nth(2).inner_text()
    assert "pinned" in rows.nth(3).inner_text()
    text = shown.locator("main").inner_text()
    assert "2 more were pruned" in text
    assert "training began" in text
    assert "resumed from" in text


def test_the_report_shows_a_summary_starts_settings_and_versions(report, page):
    shown = page(report)
    names, values = shown.locator("dl.summary dt"), shown.locator("dl.summary dd")
    summary = dict(zip(names.all_inner_texts(), values.all_inner_texts(), strict=True))
    assert summary["Best val_loss"].splitlines() == ["0.4", "step 40, epoch 4: 04.keras"]
    assert summary["Newest checkpoint"].startswith("06.keras")
    assert summary["State"].startswith("ended")
    assert summary["Starts"].startswith("2")
    assert re.match(r"[\d.]+ s\none epoch: [\d.]+ s", summary["Trained for"])
    assert summary["Where"].startswith(socket.gethostname())
    starts = shown.locator("table.starts tbody tr")
    ends = [starts.nth(i).locator("td").all_inner_texts() for i in range(starts.count())]
    assert [(cells[0], cells[1], cells[-1]) for cells in ends] == [
        ("04.keras", "ended", "epochs: 4 → 6"),
        ("(fresh start)", "ended", ""),
    ]
    text = shown.locator("main").inner_text()
    for setting in ("keep_best\n2", "keep_last\n3", "resume\nyes", "optimizer learning rate\n0.125", "epochs\n6"):
        assert setting in text
    assert f"python\n{platform.python_version()}" in text


def test_the_report_has_headings_captions_and_row_headers(report, page):
    shown = page(report)
    assert shown.locator("h1").count() == 1
    assert shown.locator("h2").all_inner_texts() == [
        "Metrics",
        "Checkpoints",
        "Starts and restarts",
        "Cost and size of saves",
        "Settings",
        "Code and environment",
        "Timeline (UTC)",
    ]
    assert shown.locator("table").count() == shown.locator("table > caption").count() == 2
    assert shown.locator("tbody tr").count() == shown.locator("tbody tr > th[scope=row]").count()


def test_charts_and_tables_have_labels_for_screen_readers(report, page):
    shown = page(report)
    assert labels_of_charts(shown) == shown.locator("figcaption").all_inner_texts()
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.getAttribute('aria-label')") == "Table of checkpoints"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_has_enough_contrast_in_light_and_dark_mode(report, page, scheme):
    shown = page(report, color_scheme=scheme)
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = shown.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    bright = {name: sum(map(int, color[4:-1].split(","))) for name, color in (("paper", paper), ("ink", ink))}
    assert (bright["paper"] > bright["ink"]) == (scheme == "light")
    assert abs(bright["paper"] - bright["ink"]) > 300


def test_the_report_fits_on_a_phone_without_horizontal_scrolling(report, page):
    shown = page(report, viewport={"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_metric_name_with_html_is_shown_as_text(run, command, tmp_path, page):
    open_run(run).attach("06.keras", {"<script>alert(1)</script>": 1.0})
    command("report", "digits", "-o", "report.html")
    shown = page(tmp_path / "report.html")
    assert shown.locator("script").count() == 0
    assert "<script>alert(1)</script>" in shown.locator("main").inner_text()


def test_names_of_files_and_runs_with_html_are_shown_as_text(run, command, tmp_path, page):
    file, name = "<img src=x onerror=alert(1)>.keras", "<b>digits<b>"
    (run / "04.keras").rename(run / file)  # the best one, which the comparison names too
    run.rename(tmp_path / name)
    shutil.copytree(tmp_path / name, tmp_path / "other")
    command("report", name, "-o", "report.html")
    command("report", name, "other", "-o", "compared.html")
    for report in ("report.html", "compared.html"):
        shown = page(tmp_path / report)
        assert shown.locator("img, b").count() == 0
        assert {name, file} <= set(re.split(r"[\n\t]", shown.locator("main").inner_text()))


def test_a_run_without_metrics_or_a_journal_has_a_report(run, command, tmp_path, page):
    shutil.rmtree(run / ".lastgood")
    for path in run.glob("0[2-6].keras"):
        path.rename(path.with_suffix(".txt"))
    found = json.loads(command("report", "digits", "-o", "report.html", "--json"))
    assert found["wrote"][0]["path"] == "report.html"
    assert "No checkpoint has metrics." in page(tmp_path / "report.html").locator("main").inner_text()


def test_a_run_of_an_older_version_has_a_report(run, command, tmp_path, page):
    journal = run / ".lastgood" / "journal.jsonl"
    events = map(json.loads, journal.read_text().splitlines())
    newer = ("host", "process", "code", "settings", "training", "monitor", "mode")
    older = [{name: value for name, value in event.items() if name not in newer} for event in events]
    journal.write_text("".join(f"{json.dumps(event)}\n" for event in older))
    command("report", "digits", "-o", "report.html")
    shown = page(tmp_path / "report.html")
    assert "Settings" not in shown.locator("h2").all_inner_texts()
    assert shown.locator("table.starts tbody tr").count() == 2
    assert "Where" not in shown.locator("dl.summary dt").all_inner_texts()


def test_a_notebook_shows_metrics_checkpoints_and_the_summary(trained, page, tmp_path):
    shown = open_run(trained)._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    (tmp_path / "cell.html").write_text(f"<!DOCTYPE html><link rel=icon href=data:,>{shown}", encoding="utf-8")
    frame = page(tmp_path / "cell.html", viewport={"width": 390, "height": 844}).frame_locator("iframe")
    assert frame.locator("h2").all_inner_texts() == ["Metrics", "Checkpoints"]
    assert frame.locator("figure svg").count() == 1
    assert "06.keras" in frame.locator("table.checkpoints").inner_text()
    assert "Best val_loss" in frame.locator("dl.summary").inner_text()
    assert frame.locator("html").evaluate("each => each.scrollWidth <= each.clientWidth")


# The comparison of runs


@pytest.fixture(scope="module")
def compared(trained, faster, tmp_path_factory):
    """The report that compares two runs. Tests must not change it."""
    directory = tmp_path_factory.mktemp("compared")
    runs = (str(trained), str(faster))
    told = command_in(directory, "report", *runs, "-o", "compared.html", "--png", "curves.png")
    assert [line.partition(":")[0] for line in told.splitlines()] == ["wrote compared.html", "wrote curves.png"]
    assert (directory / "curves.png").read_bytes().startswith(b"\x89PNG")
    return directory / "compared.html"


def table(shown, name):
    """Return the rows of a table by name."""
    rows = shown.locator(f"[aria-label='{name}'] tbody tr")
    names = [" ".join(name.split()) for name in rows.locator("th").all_text_contents()]
    return {name: rows.nth(i).locator("td").all_inner_texts() for i, name in enumerate(names)}


def test_the_comparison_shows_curves_best_checkpoints_times_and_settings(compared, page):
    shown = page(compared)
    assert shown.locator("h1").inner_text() == "2 runs compared"
    charts = shown.locator("figure h3").all_inner_texts()
    assert charts == ["val_loss", "val_loss by time", "loss"]
    told = shown.locator("figcaption").first.inner_text()
    assert "digits goes from 0.9 at step 10 to 0.8 at step 60" in told
    assert "faster goes from 0.45 at step 10 to 0.2 at step 40" in told
    best = table(shown, "Table of best checkpoints")
    assert best["checkpoint"] == ["04.keras", "04.keras"]
    assert best["val_loss"] == ["0.4", "0.2 (best)"]
    assert (best["step"], best["epoch"]) == (["40", "40"], ["4", "4"])
    times = table(shown, "Table of times and restarts")
    assert (times["starts"], times["state"]) == (["2", "1"], ["ended", "ended"])
    assert all(re.fullmatch(r"[\d.]+ s", cell) for cell in times["trained for"])
    settings = table(shown, "Table of settings, code and environment")
    assert settings["≠ differs: keep_last"] == ["3", "1"]
    assert [name for name in settings if "differs: " in name] == [
        f"≠ differs: {name}" for name in ("filepath", "keep_last", "epochs", "optimizer learning rate")
    ]


def test_settings_that_do_not_differ_can_be_hidden(compared, page):
    shown = page(compared)
    rows = shown.locator("table.settings tbody tr")
    assert rows.count() > rows.locator("visible=true").count() - 1 > 4
    shown.get_by_label("Show only what differs").check()
    visible = [i for i in range(rows.count()) if rows.nth(i).is_visible()]
    assert len(visible) == 4
    assert rows.nth(visible[1]).locator("td").all_inner_texts() == ["3", "1"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_the_comparison_fits_the_screen_in_light_and_dark_mode(compared, page, scheme, width):
    shown = page(compared, color_scheme=scheme, viewport={"width": width, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    lines = shown.evaluate("[...document.querySelectorAll('svg.key line')].map(e => getComputedStyle(e).stroke)")
    assert len(set(lines)) == 2
    assert shown.locator("table").count() == shown.locator("table > caption").count() == 3
    assert len(labels_of_charts(shown)) == 3
    assert all(labels_of_charts(shown))


def test_more_runs_than_colors_get_distinct_lines(run, command, tmp_path, page):
    names = [f"{'long-' * 12}{i}" for i in range(9)]
    for name in names:
        shutil.copytree(run, tmp_path / name)
    command("report", *names, "-o", "report.html")
    shown = page(tmp_path / "report.html", viewport={"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    looks = shown.evaluate(
        "[...document.querySelectorAll('dl svg.key line')].map(e => e.getAttribute('stroke') + e.getAttribute("
        "'stroke-dasharray'))"
    )
    assert len(set(looks)) == 9


def test_runs_are_compared_by_the_requested_metric(trained, faster, command, tmp_path, page):
    command("report", str(trained), str(faster), "--monitor", "loss", "--mode", "max", "-o", "other.html")
    shown = page(tmp_path / "other.html")
    assert "By loss (higher is better)" in shown.locator("main").inner_text()
    assert table(shown, "Table of best checkpoints")["loss"] == ["0.4 (best)", "0.25"]


def test_a_run_without_a_journal_is_compared_with_one_that_has_one(run, faster, command, tmp_path, page):
    shutil.rmtree(run / ".lastgood")
    command("report", "digits", str(faster), "-o", "other.html")
    shown = page(tmp_path / "other.html")
    assert table(shown, "Table of times and restarts")["state"] == ["", "ended"]


def test_comparing_a_run_with_itself_or_a_missing_run_is_refused(run, command):
    assert "is given twice" in command("report", "digits", "./digits", status=2)
    assert "There is no directory 'nothing'" in command("report", "digits", "nothing", status=2)
