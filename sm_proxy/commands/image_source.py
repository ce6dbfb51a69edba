"""What `image build` reads on this machine, and what it says about it before anything is sent."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.image import context, dockerfile
from sm_proxy.image.context import Context
from sm_proxy.image.dockerfile import Dockerfile
from sm_proxy.local import output, secret_values, sizes
from sm_proxy.setup import build_context

_ARGUMENT: Final = re.compile(r"([A-Za-z_]\w*)(?:=(.*))?", re.ASCII | re.DOTALL)
_SECRET_NAME: Final = re.compile(r"AUTH|CREDENTIAL|KEY|PASS|SECRET|TOKEN", re.IGNORECASE)
_LARGE: Final = 200_000_000
"""A context of more bytes than this holds data more often than code."""
_SHOWN: Final = 10


@dataclass(frozen=True)
class Source:
    """What is on this machine.

    Attributes:
        context: the files to send.
        dockerfile: what it says.
        arguments: values for its ARG instructions.
    """

    context: Context
    dockerfile: Dockerfile
    arguments: dict[str, str] = field(repr=False)


def write_our_files(folder: Path, file: Path | None) -> None:
    """Write our files, as `container init` does, and an example if there is no Dockerfile.

    Raises:
        SmProxyError: as `build_context.planned` and `apply`.
    """
    files = build_context.planned(folder)
    build_context.apply(folder, files, force=False)
    new = sum(file.needed for file in files)
    if new:
        output.status(f"wrote {new} files into {folder / build_context.FOLDER}")
    if file is None and (example := build_context.write_example(folder, _lines())):
        output.status(f"wrote {example}, a Dockerfile to start from")


def read(args: argparse.Namespace) -> Source:
    """The context and the Dockerfile; say what a user should know of them.

    Raises:
        SmProxyError: something is missing or wrong.
    """
    if args.init and args.file is None and not (args.folder / "Dockerfile").exists():
        raise _no_dockerfile(args.folder)
    arguments = _arguments(args.build_arg)
    found = context.scan(args.folder, args.file)
    parsed = dockerfile.read(found.dockerfile.decode(errors="replace"), arguments, args.target)
    if not parsed.starts_ours:
        what = "the Dockerfile does not start our entry point"
        if args.init:
            raise _no_entry_point(args.folder, what)
        output.status(
            f"{what}: jobs of the image have ssh only if `launch` or `relaunch` start them, or if"
            " the image that it builds on has it; --init shows what to add"
        )
    elif parsed.copies(build_context.FOLDER) and not (args.init and args.dry_run):
        _check_our_files(args.folder, found)
    _warn(found)
    return Source(found, parsed, arguments)


def _arguments(given: list[str]) -> dict[str, str]:
    """The build arguments by name.

    Raises:
        SmProxyError: `usage`.
    """
    found: dict[str, str] = {}
    for text in given:
        parts = _ARGUMENT.fullmatch(text)
        if parts is None:
            name = printable(text.partition("=")[0], 100)  # the value may be a secret
            raise SmProxyError("usage", f"--build-arg {name}: not a name", "Write NAME=VALUE.")
        value = os.environ.get(parts[1]) if parts[2] is None else parts[2]
        if value is not None:  # as in docker, one that the environment lacks is not sent
            found[parts[1]] = value
    for name, value in found.items():
        if _SECRET_NAME.search(name):
            secret_values.keep(value)
    return found


def _no_dockerfile(folder: Path) -> SmProxyError:
    example = folder / build_context.EXAMPLE
    if example.exists():
        hint = f"Rename {example} to Dockerfile, and put your own program into it."
    else:
        hint = "Without --dry-run, --init writes an example."
    return SmProxyError("bad-setting", f"there is no {folder / 'Dockerfile'}", hint)


def _no_entry_point(folder: Path, what: str) -> SmProxyError:
    dockerfile = folder / "Dockerfile"
    output.status(f"add these lines to {dockerfile}, with your own program in the last one:")
    for line in _lines():
        output.write_to_stderr(f"    {line}")
    return SmProxyError("bad-setting", what, "Add the lines above to the Dockerfile.")


def _lines() -> list[str]:
    return build_context.dockerfile_lines(python_server=False)


def _check_our_files(folder: Path, found: Context) -> None:
    """Docker would notice after minutes that our files are missing.

    Raises:
        SmProxyError: `bad-setting`.
    """
    entry = f"{build_context.FOLDER}/entrypoint.sh"
    if any(item.name == entry for item in found.entries):
        return
    if (folder / entry).is_file():
        hint = f"Let it through in .dockerignore: !{build_context.FOLDER}"
        raise SmProxyError("bad-setting", f"the build context leaves out {entry}", hint)
    raise SmProxyError(
        "bad-setting",
        f"the Dockerfile copies {build_context.FOLDER}/, and {folder / entry} does not exist",
        "Add --init, which writes it.",
    )


def _warn(found: Context) -> None:
    """Say what of a context may surprise."""
    if found.passed_over:
        output.status(f"not sent, because an image cannot contain it: {_some(found.passed_over)}")
    if secrets := found.secrets():
        output.status(
            f"the build context has {_some(secrets)}, which may hold secrets: leave out with"
            " .dockerignore what the image does not need"
        )
    if found.size > _LARGE:
        parts = ", ".join(f"{name} {sizes.in_words(size)}" for name, size in found.biggest())
        output.status(f"the build context has {sizes.in_words(found.size)}: {parts}")


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
