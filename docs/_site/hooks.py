"""Hooks of MkDocs: pages that are made from files outside of `docs/`, and links to such files."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).parent))

from cli_reference import cli_page

ROOT = Path(__file__).parents[2]
# Pages made from files of the repository, by the path of the file.
PAGES = {
    "benchmarks/RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "wsi_embed/models/README.md": "model-card.md",
}
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=relinked(text, posixpath.dirname(source))))
    files.append(File.generated(config, "cli.md", content=cli_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the links of a page of `docs/` that lead out of it."""
    if page.file.generated_by:
        return markdown
    return relinked(markdown, posixpath.join("docs", posixpath.dirname(page.file.src_uri)))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Replace the one script that the theme would load from another host by the copy in `assets`."""
    script = get_relative_url("assets/iframe-worker.js", page.url)
    return output.replace("https://unpkg.com/iframe-worker/shim", script)


def relinked(markdown: str, folder: str) -> str:
    """Return a page with links that work on the site.

    Links to a page of the site are made relative to it. Of a link to another file of the repository only the
    text is kept, because the repository has no public address.

    Args:
        markdown: Text of the page.
        folder: Folder of the page in the repository.
    """

    def replace(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match.group(0)
        file = posixpath.normpath(posixpath.join(folder, path))
        page = "index.md" if file == "README.md" else PAGES.get(file)
        if page is None and file.startswith("docs/"):
            page = file.removeprefix("docs/")
        if page is None:
            return text
        return f"[{text}]({page}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(replace, markdown)
