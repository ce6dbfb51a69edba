"""What ssh makes of its config files: `ssh -G` with the user's file against ours alone."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from sm_proxy import config_writer
from sm_proxy.doctor import account, laptop, option_origin
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files
from sm_proxy.settings import contexts
from sm_proxy.ssh_config import our_file

_OURS: Final = (
    *("proxycommand", "userknownhostsfile", "stricthostkeychecking", "identityfile"),
    *("proxyjump", "port", "remotecommand"),
)
"""The keywords whose value has to be the one of our block; a user of one's own is judged later."""
_RIVALS: Final = {"proxycommand": ("proxyjump",)}
"""Whichever comes first of them decides."""
_WRITE: Final = "sm-proxy config write"


def effective(context: Context) -> str:
    """Our block is what ssh goes by; else who shadows it, with file and line."""
    own = context.settings.ssh_config_file
    if not private_files.exists(own):
        raise SmProxyError("config-malformed", f"there is no {own}", f"Run: {_WRITE}")
    first = context.host or f"{context.settings.prefix}doctor"
    others = [] if context.host else [f"{prefix}doctor" for prefix in contexts.read(own)]
    for host in dict.fromkeys([*others, first]):  # ours last: the next checks go by it
        _effective(context, own, host)
    return f"ssh goes by {own}"


def _effective(context: Context, own: Path, host: str) -> None:
    theirs = context.effective = _asked(context.ssh_config, host)
    ours = _asked(own, host)
    if "proxycommand" not in ours:
        raise SmProxyError(
            "config-malformed", f"{own} has no block for {host}", f"Write it anew: {_WRITE}"
        )
    for keyword in _OURS:
        if theirs.get(keyword) != ours.get(keyword) and not _only_more(keyword, theirs, ours):
            raise _shadowed(context, host, keyword, theirs.get(keyword, []))


def marks(context: Context) -> str:
    """Our marks and records in both files are whole, and every context's program is there."""
    config = context.ssh_config or paths.user_ssh_config()
    program = our_file.own_program()
    changes = config_writer.plan(config, context.settings, program)
    for found in config_writer.problems(changes, context.settings):
        # What ssh makes of the Include has been seen, and a block that is out of date still does.
        if found.what.startswith("program missing"):
            raise SmProxyError("config-malformed", found.what, found.fix)
    return f"{config} and {context.settings.ssh_config_file} are whole"


def _only_more(keyword: str, theirs: dict[str, list[str]], ours: dict[str, list[str]]) -> bool:
    """Further identity files behind ours do no harm."""
    mine = ours.get(keyword, [])
    return keyword == "identityfile" and theirs.get(keyword, [])[: len(mine)] == mine


def program(context: Context) -> str:
    """The program in the ProxyCommand is still where it was."""
    command = next(iter(context.effective.get("proxycommand", [])), "")
    words = shlex.split(command, posix=os.name != "nt")
    if not words:
        raise SkipCheck("ssh -G tells no ProxyCommand")
    found = words[0].replace("%%", "%").strip('"')
    if shutil.which(found) is None:
        raise SmProxyError(
            "config-malformed",
            f"the ProxyCommand starts {found}, and there is no such program",
            f"Write its new place with: {_WRITE}",
        )
    _follow(context, words)
    return found


def _follow(context: Context, words: list[str]) -> None:
    """Look where a connection will: profile, region and bastion as the ProxyCommand gives them."""
    named = {
        name: words[words.index(f"--{name}") + 1].replace("%%", "%")
        for name in ("profile", "region", "bastion")
        if f"--{name}" in words[:-1]
    }
    context.settings = replace(context.settings, **named)  # type: ignore[arg-type]
    context.aws = account.make_client(context.settings)


def _asked(config: Path | None, host: str) -> dict[str, list[str]]:
    command = ["ssh", *(["-F", str(config)] if config else []), "-G", host]
    done = laptop.run(command)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise SmProxyError(
            "config-malformed",
            f"ssh refuses its config: {'; '.join(lines[:2])}",
            "Mend or take out the line that it names.",
        )
    values: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword.lower(), []).append(value)
    return values


def _shadowed(context: Context, host: str, keyword: str, values: list[str]) -> SmProxyError:
    config = context.ssh_config or paths.user_ssh_config()
    value = values[0] if values else ""
    names = (keyword, *_RIVALS.get(keyword, ()))
    system = context.ssh_config is None
    where = next(option_origin.find_setters(config, host, names, system=system), None)
    own = context.settings.ssh_config_file
    if where is None or where.path.resolve() == own.resolve():
        what = f"{config} does not lead to our block: {keyword} is {value or 'not set'}"
        return SmProxyError("config-malformed", what, f"Put the Include back with: {_WRITE}")
    return SmProxyError(
        "config-malformed",
        f"{where} sets {where.keyword} to {where.value} before {own} sets {keyword}",
        f"Move our Include to the top with: {_WRITE}",
    )
