"""`sm-proxy container init`: writes our files for a training image into its build context."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from sm_proxy import __version__
from sm_proxy.commands import options
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, sources
from sm_proxy.setup import build_context
from sm_proxy.setup.build_context import File

_WORDS = {
    "new": "new",
    "same": "up to date",
    "older": "from an older version",
    "edited": "edited by you",
}

DESCRIPTION: Final = (
    "Writes what a training image needs for ssh into a folder beside your Dockerfile."
)
EXAMPLES: Final = (("sm-proxy container init .", "writes ./sm-proxy, tells what to add"),)
USES: Final = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`container init DIR [--python-server] [--force] [--dry-run] [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    init = actions.add_parser(
        "init",
        help="write our files into DIR/sm-proxy",
        description="Writes our files into DIR/sm-proxy, and prints the lines that your Dockerfile"
        " needs. Run it again after an update of sm-proxy; files that you edited stay.",
        examples=(
            ("sm-proxy container init .", "the Dockerfile is here"),
            ("sm-proxy container init . --python-server", "for an image without sshd"),
            ("sm-proxy container init . --dry-run", "show the files, write none"),
        ),
        uses=(),
    )
    init.add_argument("folder", metavar="DIR", type=Path, help="the folder with your Dockerfile")
    init.add_argument(
        "--python-server",
        action="store_true",
        help="use our SSH server in Python, for images without sshd",
    )
    init.add_argument("--force", action="store_true", help="overwrite files that you edited")
    init.add_argument("--dry-run", action="store_true", help="show what would be written")
    options.add_json(init)


load_settings = sources.load_nothing


def run(args: argparse.Namespace, _: Settings) -> Result:
    """Write the files.

    Data: `{"version", "files": [{"path", "state", "written"}], "dockerfile": [lines], "example"}`.
    `state` shows what was there before: new (nothing), same, older or edited.
    """
    folder: Path = args.folder
    files = build_context.planned(folder)
    lines = build_context.dockerfile_lines(python_server=args.python_server)
    example = None
    if not args.dry_run:
        build_context.apply(folder, files, force=args.force)
        example = build_context.write_example(folder, lines)
    data = {
        "version": __version__,
        "files": [_data(file, written=file.needed and not args.dry_run) for file in files],
        "dockerfile": lines,
        "example": None if example is None else str(example),
    }
    return Result(data, _text(folder, files, lines, example))


def _data(file: File, *, written: bool) -> dict[str, object]:
    return {"path": str(file.path), "state": file.state, "written": written}


def _text(
    folder: Path, files: list[File], lines: list[str], example: Path | None
) -> tuple[str, ...]:
    shown = [f"{build_context.shown(file.path, folder)}  ({_WORDS[file.state]})" for file in files]
    if example is None:
        heading = "Add to your Dockerfile, with your own program after the entrypoint:"
        return (*shown, "", heading, "", *(f"    {line}" for line in lines))
    return (*shown, "", f"{example.name} is a Dockerfile to start from.")
