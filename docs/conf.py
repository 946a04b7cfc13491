"""The settings of the documentation's site: `make docs` builds it with Sphinx, once for each language.

English pages are in ``en/``. The start pages, the guides and the ideas are in ``zh/`` too, under the same names, and
are built with ``-t zh``.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")  # the reference imports Keras; which backend does not matter
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

import lastgood  # noqa: E402

CHINESE = tags.has("zh")  # noqa: F821 - Sphinx defines it

project = "lastgood"
author = "the lastgood authors"
copyright = "the lastgood authors, Apache-2.0"
release = version = lastgood.__version__
language = "zh_CN" if CHINESE else "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_tools"]
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline"]
suppress_warnings = ["myst.xref_missing"] if CHINESE else []
exclude_patterns = []
templates_path = ["_templates"]
locale_dirs = [str(HERE / "locale")]  # what the theme does not translate
nitpicky = False

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_display_short_literal_types = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "lastgood"
html_context = {"default_mode": "auto"}
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_sidebars = {"index": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["language", "theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "logo": {"text": "lastgood"},
    "pygments_light_style": "github-light",
    "pygments_dark_style": "github-dark",
    "back_to_top_button": False,
}
