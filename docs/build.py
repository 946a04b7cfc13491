"""Builds the documentation's site, English at its root and Chinese in `zh/`: `make docs`."""

import sys
from pathlib import Path

from sphinx.cmd.build import main

HERE = Path(__file__).parent
SITE = HERE.parent / "build" / "site"


def build(site):
    """Build both languages into a directory; return 0, or Sphinx's exit status where a page has an error or a warning.

    Args:
        site: The directory.
    """
    strict = ["-b", "html", "-q", "-E", "-a", "-W", "--keep-going", "-c", str(HERE)]
    english = main([*strict, "-d", f"{site}.doctrees/en", str(HERE / "en"), str(site)])
    chinese = main([*strict, "-t", "zh", "-d", f"{site}.doctrees/zh", str(HERE / "zh"), str(Path(site, "zh"))])
    return english or chinese


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SITE
    status = build(target)
    print(f"The site is {target / 'index.html'}" if not status else "The site has errors.")
    sys.exit(status)
