"""A hook of mkdocs: pages whose source lies elsewhere in the repository, and links to them."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

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


def _roles() -> ModuleType:
    """Return the module beside this one, which is not on the path."""
    spec = spec_from_file_location("roles", Path(__file__).with_name("roles.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


described = _roles().described


def _members(name: str) -> str:
    """Return the lines that describe a package and its members, or an object, one by one."""
    if not hasattr(resolve_name(name), "__all__"):
        return f"::: {name}"
    head = f"::: {name}\n    options: {{ members: false, show_root_heading: false }}"
    return "\n\n".join([head, *(f"::: {path}" for path in described(name))])


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

    markdown = re.sub(r"^::: (\S+)$", lambda match: _members(match[1]), markdown, flags=re.M)
    pattern = r"\[(?P<text>[^\[\]]*)\]\((?!https?:|#|mailto:)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)"
    return re.sub(pattern, linked, markdown)
