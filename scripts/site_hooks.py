"""What MkDocs calls while it builds the site; the work is done in the package handbook."""

from __future__ import annotations

from handbook import pictures
from handbook.generated import pages
from handbook.outside import Links
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made at build time, and one for each file that a page links to."""
    made = pages()
    links = Links(made)
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for name, page in made.items():
        written[name] = page.text
        files.append(File.generated(config, name, content=page.text))
    for name, text in links.sources(written).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Let links to the repository's files lead to their pages in the site."""
    return Links(pages()).rewritten(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Put the pictures into the page itself, where they have its colours."""
    return pictures.inlined(html)
