"""The site, as built and as a browser shows it: no error, no external request, no broken link."""

import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urljoin, urlsplit

import pytest

import lastgood
from docs.pages import ROOT, site_pages

pytestmark = pytest.mark.long

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE, DESK = 390, 1200
PAGES = [f"{page.removesuffix('.md')}.html" for page in site_pages("en")]
PAGES += [f"zh/{page.removesuffix('.md')}.html" for page in site_pages("zh")]
PAGES += ["search.html", "genindex.html", "zh/search.html"]
FOUND = [
    ("search.html", "resume", "guides/resume.html"),
    ("search.html", "keep_best", "guides/arguments.html"),
    ("zh/search.html", "恢复", "zh/guides/resume.html"),
    ("zh/search.html", "断点续训", "zh/guides/resume.html"),
    ("zh/search.html", "存储桶", "zh/guides/object-storage.html"),
    ("zh/search.html", "resume", "zh/guides/resume.html"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The directory of the built site."""
    target = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "docs/build.py", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site):
    """The address at which the site is served, on this machine only."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page of the browser that collects errors and external requests."""
    page = browser.new_page()
    page.wrong = []
    page.on("console", lambda said: page.wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("requestfailed", lambda request: page.wrong.append(f"failed: {request.url}"))
    page.on("request", lambda asked: page.wrong.append(asked.url) if not _is_own(asked.url, address) else None)
    yield page
    page.close()


def _is_own(url, address):
    return url.startswith((address, "data:", "blob:"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_errors_or_external_requests_and_fits_the_screen(name, page, address):
    page.goto(address + name, wait_until="load")
    for mode in ("light", "dark"):
        page.emulate_media(color_scheme=mode)
        page.wait_for_function("mode => document.documentElement.dataset.theme === mode", arg=mode)
        for width in (PHONE, DESK):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (mode, width)
    assert page.wrong == []


@pytest.mark.parametrize(("name", "words", "expected"), FOUND)
def test_search_finds_the_expected_page(name, words, expected, page, address):
    page.goto(f"{address}{name}?q={words}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_function("document.querySelector('#search-results .search-summary')?.innerText.match(/\\d/)")
    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any(urlsplit(link).path == f"/{expected}" for link in links), links
    assert page.wrong == []


class _Links(HTMLParser):
    """What a page links to, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.places.add(attributes.get("id"))


def test_no_link_is_broken(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    found = {f"/{path.relative_to(site).as_posix()}": _Links(path.read_text(encoding="utf-8")) for path in pages}
    links = [(name, link) for name, each in found.items() for link in each.links]
    assert [(name, link) for name, link in links if _is_broken(name, link, found, site)] == []
    assert set(PAGES) <= {name.lstrip("/") for name in found}


def test_the_interface_of_a_chinese_page_is_chinese(site):
    text = (site / "zh" / "guides" / "resume.html").read_text(encoding="utf-8")
    english = ("Sidebar<", "Search<", "Previous<", "Next<", "On this page<")
    assert "收起侧栏" in text
    assert [each for each in english if each in text] == []


def test_the_reference_has_every_public_name(site):
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html"))
    names = [name for name in lastgood.__all__ if name != "__version__"]
    assert [name for name in names if f'id="lastgood.{name}"' not in text] == []


def _is_broken(name, link, found, site):
    """Return whether a link of a page leads to an anchor or a file that the site does not have."""
    target = urlsplit(urljoin(f"http://site{name}", link))
    if target.netloc != "site":
        return False
    path = unquote(target.path)
    if path in found:
        return unquote(target.fragment) not in found[path].places
    return not (site / path.lstrip("/")).exists()
