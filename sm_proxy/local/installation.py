"""How this program was installed, and the commands that change that installation.

pipx leaves `pipx_metadata.json` in the environment that it makes, `uv tool` leaves
`uv-receipt.toml` (both measured, pipx 1.18 and uv 0.13).
"""

from __future__ import annotations

import shlex
import site
import sys
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from sm_proxy.local import python_environment

Kind = Literal["pipx", "uv-tool", "archive", "folder", "target", "uv", "no-pip", "pip"]
"""`archive` is a PEX file or a zipapp, `folder` a clone that is not installed, `target` a folder of
`pip install --target`, `uv` an environment of `uv venv` or `uv sync`, which has no pip, `no-pip`
another one that has none."""

_NAME: Final = "sm-proxy"


def kind(python: str | None = None) -> Kind:
    """How this program was installed.

    Args:
        python: of another environment than this one, which a ProxyCommand may start.
    """
    is_this = python in {None, sys.executable}
    prefix = Path(sys.prefix) if is_this else Path(str(python)).parents[1]
    if is_this and archive() is not None:
        return "archive"
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx"
    if (prefix / "uv-receipt.toml").is_file():
        return "uv-tool"
    if is_this and (place := _place()) not in _sites():
        return "target" if place else "folder"
    if (prefix / "pyvenv.cfg").is_file() and not _has_pip(prefix):
        return "uv" if _is_made_by_uv(prefix) else "no-pip"
    return "pip"


def _place() -> Path | None:
    """The folder that this package is installed in; None if it is not."""
    import importlib.metadata  # noqa: PLC0415 - slow

    try:
        found = importlib.metadata.distribution(_NAME)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(""))).resolve()


def _sites() -> set[Path]:
    """The folders whose packages pip removes."""
    import sysconfig  # noqa: PLC0415 - slow

    found = [*site.getsitepackages(), site.getusersitepackages()]
    return {Path(path).resolve() for path in (*found, sysconfig.get_path("purelib"))}


def _target_files() -> str:
    """What `pip install --target` has put into a folder that may have other packages, too.

    pip does not look there; where it does, for PYTHONPATH, it leaves the program.
    """
    place = Path(str(_place()))
    programs = ("bin/sm-proxy", "share/man/man1/sm-proxy.1")
    ours = ("sm_proxy", "sm_proxy_lab", "sm_proxy-*.dist-info", *programs)
    found = [path for name in ours for path in sorted(place.glob(name))]
    return " ".join(shlex.quote(str(path)) for path in found)


def _has_pip(prefix: Path) -> bool:
    return any(
        folder.is_dir()
        for pattern in ("lib/python*/site-packages/pip", "Lib/site-packages/pip")
        for folder in prefix.glob(pattern)
    )


def _is_made_by_uv(prefix: Path) -> bool:
    """uv writes its version into pyvenv.cfg."""  # noqa: D403
    lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def archive() -> Path | None:
    """The PEX file or zipapp that this program was started from; None if it was not."""
    found = python_environment.archive()
    return Path(found) if found else None


def reinstall(python: str | None = None) -> str:
    """The command that repairs an installation.

    Args:
        python: as for `kind`.
    """
    found = kind(python)
    ours = shlex.join(_ours(_NAME)) if python in {None, sys.executable} else _NAME
    fixed = {
        "pipx": f"pipx reinstall {_NAME}",
        "uv-tool": f"uv tool install --reinstall {ours}",
        "archive": f"download {archive()} again",
        "folder": f"{_pip(found)} install -e {_clone()}",
        "uv": f"{_pip(found, python)} install --reinstall {ours}",
    }
    if found == "target":
        return f"{_into_target()} --upgrade {ours}"
    return fixed.get(found, f"{_pip(found, python)} install --force-reinstall {ours}")


def add(requirement: str) -> str:
    """The command that adds a package to this program's environment.

    Args:
        requirement: such as `botocore[crt]>=1.41.6`, or this package with an extra.
    """
    found = kind()
    is_ours = requirement.startswith(_NAME)
    wanted = shlex.join(_ours(requirement) if is_ours else [requirement])
    if is_ours and found in {"pipx", "uv-tool"}:
        tool = found.replace("-", " ")
        return f"{tool} install --force {wanted}"
    fixed = {
        "pipx": f"pipx inject {_NAME} {wanted}",
        "uv-tool": f"uv tool install --with {wanted} {shlex.join(_ours(_NAME))}",
        "archive": f"make {archive()} again, with {requirement} in it",
    }
    if found == "target":
        return f"{_into_target()} {wanted}"
    return fixed.get(found, f"{_pip(found)} install {wanted}")


def _ours(requirement: str) -> list[str]:
    """What names this program to an installer: where it came from, which need not be PyPI.

    Installers keep that address in `direct_url.json` (PEP 610), unless it was an index.
    """
    import importlib.metadata  # noqa: PLC0415 - slow
    import json  # noqa: PLC0415 - only after an error

    try:
        kept = importlib.metadata.distribution(_NAME).read_text("direct_url.json")
        origin = json.loads(kept or "null")
    except (importlib.metadata.PackageNotFoundError, ValueError):  # it may be damaged
        origin = None
    if not origin:
        return [requirement]
    url = str(origin["url"])
    if origin.get("dir_info", {}).get("editable"):
        return ["--editable", f"{unquote(urlsplit(url).path)}{requirement.removeprefix(_NAME)}"]
    control = origin.get("vcs_info", {}).get("vcs")
    return [f"{requirement} @ {control}+{url}" if control else f"{requirement} @ {url}"]


def remove() -> str:
    """The command that removes this program, but nothing that it has written."""
    found = kind()
    fixed = {
        "pipx": f"pipx uninstall {_NAME}",
        "uv-tool": f"uv tool uninstall {_NAME}",
        "archive": f"rm {shlex.quote(str(archive()))}",
        "folder": f"rm -r {_clone()}",
    }
    if found == "target":
        return f"rm -r {_target_files()}"
    return fixed.get(found, f"{_pip(found)} uninstall {_NAME}")


def _pip(found: Kind, python: str | None = None) -> str:
    """The pip that changes an environment, up to its action."""
    program = shlex.quote(python or sys.executable)
    if found == "uv":
        return f"uv pip --python {program}"
    return f"pip --python {program}" if found == "no-pip" else f"{program} -m pip"


def _into_target() -> str:
    return f"{_pip('target')} install --target {shlex.quote(str(_place()))}"


def _clone() -> str:
    return shlex.quote(str(Path(__file__).parents[2]))
