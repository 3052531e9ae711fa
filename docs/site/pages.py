"""A hook of mkdocs: pages whose source lies elsewhere in the repository, and links to them."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "experiments/README.md": "experiments.md",
    **{f"notebooks/{path.name}": f"tutorials/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))},
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)")


@event_priority(100)  # before the plugin that renders notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the pictures that they show."""
    pictures = {
        (ROOT / source).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        for source in PAGES
        if source.endswith(".md")
        for target in LINK.findall((ROOT / source).read_text())
        if target.endswith(".png")
    }
    added = PAGES | {picture: f"files/{picture}" for picture in sorted(pictures)}
    for source, page in added.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages; a file without a page is only named."""
    here = page.file.src_uri
    folder = Path(SOURCES.get(here, f"docs/{here}")).parent
    up = "../" * here.count("/")

    def linked(match: re.Match[str]) -> str:
        text, target, anchor = match["text"], match["target"], match["anchor"] or ""
        source = (ROOT / folder / target).resolve().relative_to(ROOT).as_posix()
        if source.endswith(".png"):
            return f"[{text}]({up}files/{source})"
        if source in PAGES:
            return f"[{text}]({up}{PAGES[source]}{anchor})"
        if source.startswith("docs/"):
            return f"[{text}]({up}{source.removeprefix('docs/')}{anchor})"
        return text if text.strip("`") == source else f"{text} (`{source}`)"

    pattern = r"\[(?P<text>[^\[\]]*)\]\((?!https?:|#|mailto:)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)"
    return re.sub(pattern, linked, markdown)
