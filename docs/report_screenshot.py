"""Takes the picture of a report that the guide shows, of the run that `lastgood demo` trains: `make screenshot`."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("report.png")


def main():
    """Train, report, and take the picture."""
    with tempfile.TemporaryDirectory() as directory:
        for arguments in (["demo", "demo", "--epochs", "12"], ["demo", "demo", "--epochs", "40"], ["report", "demo"]):
            subprocess.run([sys.executable, "-m", "lastgood", *arguments], cwd=directory, check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 820, "height": 1130})
            page.goto(Path(directory, "report.html").as_uri())
            page.screenshot(path=PICTURE)
            browser.close()


if __name__ == "__main__":
    main()
