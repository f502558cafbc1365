"""MkDocs hook: links out of docs/, such as ../README.md, lead to the project's address on the site.

The address is `url` in setup.cfg.
"""

import configparser
import re
from pathlib import Path

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parent.parent


def on_page_markdown(markdown: str, **_) -> str:
    """Replaces the links of a page that leave docs/; stops the build where there is no such file."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    address = metadata["metadata"]["url"]

    def to_repository(link: re.Match) -> str:
        path, _, heading = link[1].partition("#")
        if not (ROOT / path).exists():
            raise PluginError(f"a page of docs/ links to ../{path}, which is not there.")
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"]({address}/{kind}/main/{path}{'#' * bool(heading)}{heading})"

    return re.sub(r"\]\(\.\./([^)\s]+)\)", to_repository, markdown)
