"""Write the pages that are made of the program's own texts; a test compares them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final

from sm_proxy import __version__, cli
from sm_proxy.help import described

ROOT: Final = Path(__file__).parents[1]
COMMANDS: Final = Path(__file__).with_name("commands_page.py")
MAN: Final = Path(__file__).with_name("man_page.py")
SETTINGS: Final = Path(__file__).with_name("settings_page.py")
SBOM: Final = Path(__file__).with_name("server_sbom.py")


def pages() -> dict[str, str]:
    """The text of each page, by its path in the repository."""
    root, *parsers = described.walk(cli.full_parser())
    program = described.describe(root)
    commands = [described.describe(parser) for parser in parsers]
    settings = next(
        group
        for group in described.describe(cli.Parser(prog="sm-proxy")).groups
        if group.title == "settings"
    )
    sbom = runpy.run_path(str(SBOM))
    man = runpy.run_path(str(MAN))["render"]
    return {
        sbom["PATH"]: sbom["render"](),
        "docs/settings.md": runpy.run_path(str(SETTINGS))["render"](),
        "docs/commands.md": runpy.run_path(str(COMMANDS))["render"](program, commands),
        "docs/man/sm-proxy.1": man(program, commands, settings, __version__),
    }


def main() -> None:
    """Write them."""
    for name, text in pages().items():
        path = ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
