"""Checks of the ssh config: what `ssh -G` shows with the user's file and with ours alone."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from sm_proxy import config_writer
from sm_proxy.doctor import account, laptop
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.local import installation, paths, private_files, python_environment
from sm_proxy.settings import contexts
from sm_proxy.settings.schema import IN_PROXY_COMMAND, option
from sm_proxy.ssh_config import judgement, our_file
from sm_proxy.ssh_config.judgement import Rewrite

_IMPORTS: Final = "import botocore.session, cryptography, keyring, platformdirs, websockets"
"""Modules that a connection may need; the import fails if a package is damaged."""
_IMPORTS_S: Final = 60.0
"""The first import from a home folder in a network, or on a busy machine, takes long."""
_PRINTED: Final = "sm-proxy"
"""The word that the program prints about itself."""
_WRITE: Final = "sm-proxy config write"


def effective(context: Context) -> str:
    """Our block is in effect; if another one overrides it, the error names file and line."""
    own = context.settings.ssh_config_file
    if not private_files.exists(own):
        raise SmProxyError("config-malformed", f"there is no {own}", f"Run: {_WRITE}")
    first = context.host or f"{context.settings.prefix}doctor"
    others = [] if context.host else [f"{prefix}doctor" for prefix in contexts.read(own)]
    for host in dict.fromkeys([*others, first]):  # ours last: later checks use its options
        _effective(context, own, host)
    return f"ssh uses {own}"


def _effective(context: Context, own: Path, host: str) -> None:
    config = context.ssh_config or paths.user_ssh_config()
    prefix = contexts.prefix_of(host, contexts.read(own)) or context.settings.prefix
    asked = judgement.ask(host, prefix, config, own)
    context.effective = asked.options
    judgement.judge(asked, _rewrite(context, config))


def _rewrite(context: Context, config: Path) -> Rewrite:
    try:
        changes = config_writer.plan(config, context.settings, our_file.own_program())
    except SmProxyError:  # the check `marks` reports it
        return Rewrite(frozenset(), moves=False)
    return config_writer.rewrite_of(changes)


def marks(context: Context) -> str:
    """Our marks in both files are undamaged, and every context's program exists."""
    config = context.ssh_config or paths.user_ssh_config()
    program = our_file.own_program()
    changes = config_writer.plan(config, context.settings, program)
    for found in config_writer.problems(changes, config):
        # An earlier check covers the Include, and an outdated block still works.
        if found.what.startswith("program missing"):
            raise SmProxyError("config-malformed", found.what, found.fix)
    return f"{config} and {context.settings.ssh_config_file} are undamaged"


def program(context: Context) -> str:
    """The ProxyCommand's program exists, is sm-proxy, and can import what a connection needs."""
    command = next(iter(context.effective.get("proxycommand", [])), "")
    split = shlex.split(command, posix=os.name != "nt")
    words = [word.replace("%%", "%").strip('"') for word in split]
    if not words:
        raise SkipCheck("ssh -G shows no ProxyCommand")
    found = words[0]
    if shutil.which(found) is None:
        raise SmProxyError(
            "config-malformed",
            f"the ProxyCommand starts {found}, which does not exist",
            f"Write its new path with: {_WRITE}",
        )
    done = laptop.run(_probe(words), _IMPORTS_S)
    if done.returncode:
        raise _does_not_start(found, done.stderr, isolated="-I" in words)
    if _PRINTED not in done.stdout:
        raise SmProxyError(
            "config-malformed",
            f"the ProxyCommand starts {found}, which is not sm-proxy",
            f"Write it again: {_WRITE}",
        )
    _follow(context, words)
    return found


def _probe(words: list[str]) -> list[str]:
    """A command that shows whether the ProxyCommand's program works."""
    if "-m" in words[:4]:
        module = words[words.index("-m") + 1 :][:1]
        tried = f"{_IMPORTS}, {''.join(module)}.proxy; print({_PRINTED!r})"
        return [*words[: words.index("-m")], "-c", tried]
    at = 2 if words[1:2] == ["-I"] else 1
    # The path of our package, of a PEX file, or of a zipapp.
    given = [word for word in words[at : at + 1] if Path(word).is_absolute()]
    return [*words[:at], *given, "--version"]


def _does_not_start(program: str, complaint: str, *, isolated: bool) -> SmProxyError:
    last = next((line for line in reversed(complaint.splitlines()) if line.strip()), "")
    what = f"the ProxyCommand starts {program}, which fails: {last or 'it prints nothing'}"
    names = python_environment.misleading()
    if names and not isolated:
        what += f"; your shell sets {', '.join(names)}, which changes how it starts"
        return SmProxyError(
            "config-malformed", what, f"Write it again, so that it ignores them: {_WRITE}"
        )
    reinstall = "install sm-proxy again"
    if "python" in Path(program).name.lower():
        reinstall = installation.reinstall(shutil.which(program) or program)
    return SmProxyError("missing-dependency", what, f"{reinstall}; then: {_WRITE}")


def _follow(context: Context, words: list[str]) -> None:
    """Use the settings that the ProxyCommand names, as a connection does."""
    named = {
        name: words[words.index(option(name)) + 1]
        for name in IN_PROXY_COMMAND
        if option(name) in words[:-1]
    }
    context.settings = replace(context.settings, **named)  # type: ignore[arg-type]
    context.aws = account.make_client(context.settings)
