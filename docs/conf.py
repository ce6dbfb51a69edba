"""The manual: `script/docs` builds it from the Markdown files that GitHub shows as well.

No page has anything of Sphinx in it. The lists of links in `docs/index.md` become the navigation.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
_VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "sm_proxy/__init__.py").read_text("utf-8"))

project = "sm-proxy"
author = "the sm-proxy authors"
release = version = _VERSION[1] if _VERSION else sys.exit("sm_proxy/__init__.py has no version")
html_title = f"sm-proxy {release}"

extensions = ["myst_parser"]
myst_heading_anchors = 4  # as GitHub: each heading is an anchor
# The sources are where GitHub shows them, so that one relative link serves both.
root_doc = "docs/index"
include_patterns = [
    *("README*.md", "CONTRIBUTING.md", "CHANGELOG.md", "container/README.md"),
    *("docs/*.md", "docs/decisions/*.md"),
]
exclude_patterns = ["**/.*", ".*", "build", "tests", "sm_proxy", "sm_proxy_lab"]

html_theme = "furo"  # fonts of the system, and no file from the network
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_permalinks_icon = "#"


def _navigation(text: str) -> str:
    """A hidden toctree for each section of `docs/index.md`, of the pages that it links to."""
    trees = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        pages = dict.fromkeys(re.findall(r"\]\(([^)#:]+)\.md", section))
        trees.append(_tree([f":caption: {title}"], list(pages)))
    return "\n".join(trees)


def _tree(options: list[str], pages: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", *options, "", *pages, "```", ""])


def _add_navigation(_app: Any, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += "\n" + _navigation(source[0])
    elif page == "docs/decisions/README":
        source[0] += "\n" + _tree([":glob:"], ["*"])


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _add_navigation)
