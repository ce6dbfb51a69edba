"""What ssh makes of its config files: `ssh -G` with the user's file against ours alone."""

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
from sm_proxy.local import paths, private_files, python_environment
from sm_proxy.settings import contexts
from sm_proxy.settings.schema import IN_PROXY_COMMAND, option
from sm_proxy.ssh_config import judgement, our_file
from sm_proxy.ssh_config.judgement import Rewrite

_IMPORTS: Final = "import botocore.session, cryptography, keyring, platformdirs, websockets"
"""What a connection may need: a package that is half gone shows by its import."""
_SAID: Final = "sm-proxy"
"""What the program says of itself."""
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
    config = context.ssh_config or paths.user_ssh_config()
    prefix = contexts.prefix_of(host, contexts.read(own)) or context.settings.prefix
    asked = judgement.ask(host, prefix, config, own)
    context.effective = asked.options
    judgement.judge(asked, _rewrite(context, config))


def _rewrite(context: Context, config: Path) -> Rewrite:
    try:
        changes = config_writer.plan(config, context.settings, our_file.own_program())
    except SmProxyError:  # `marks` will say so
        return Rewrite(frozenset(), moves=False)
    return config_writer.rewrite_of(changes)


def marks(context: Context) -> str:
    """Our marks and records in both files are whole, and every context's program is there."""
    config = context.ssh_config or paths.user_ssh_config()
    program = our_file.own_program()
    changes = config_writer.plan(config, context.settings, program)
    for found in config_writer.problems(changes, config):
        # What ssh makes of the Include has been seen, and a block that is out of date still does.
        if found.what.startswith("program missing"):
            raise SmProxyError("config-malformed", found.what, found.fix)
    return f"{config} and {context.settings.ssh_config_file} are whole"


def program(context: Context) -> str:
    """The program in the ProxyCommand is still where it was, with all that a connection imports."""
    command = next(iter(context.effective.get("proxycommand", [])), "")
    split = shlex.split(command, posix=os.name != "nt")
    words = [word.replace("%%", "%").strip('"') for word in split]
    if not words:
        raise SkipCheck("ssh -G tells no ProxyCommand")
    found = words[0]
    if shutil.which(found) is None:
        raise SmProxyError(
            "config-malformed",
            f"the ProxyCommand starts {found}, and there is no such program",
            f"Write its new place with: {_WRITE}",
        )
    done = laptop.run(_probe(words))
    if done.returncode:
        raise _does_not_start(found, done.stderr, isolated="-I" in words)
    if _SAID not in done.stdout:
        raise SmProxyError(
            "config-malformed",
            f"the ProxyCommand starts {found}, which is not sm-proxy",
            f"Write it anew: {_WRITE}",
        )
    _follow(context, words)
    return found


def _probe(words: list[str]) -> list[str]:
    """The program of a ProxyCommand with something to do that shows whether it works."""
    if "-m" in words[:4]:
        module = words[words.index("-m") + 1 :][:1]
        tried = f"{_IMPORTS}, {''.join(module)}.proxy; print({_SAID!r})"
        return [*words[: words.index("-m")], "-c", tried]
    package = [word for word in words[1:3] if word == "-I" or word.endswith("__main__.py")]
    return [words[0], *package, "--version"]


def _does_not_start(program: str, complaint: str, *, isolated: bool) -> SmProxyError:
    last = next((line for line in reversed(complaint.splitlines()) if line.strip()), "")
    what = f"the ProxyCommand starts {program}, which fails: {last or 'it says nothing'}"
    names = python_environment.misleading()
    if names and not isolated:
        what += f"; it goes by {', '.join(names)}, which your shell sets"
        return SmProxyError("config-malformed", what, f"Write it anew, immune to them: {_WRITE}")
    reinstall = f"{shlex.quote(program)} -m pip install --force-reinstall sm-proxy"
    if "python" not in Path(program).name.lower():
        reinstall = "install sm-proxy again"
    return SmProxyError("missing-dependency", what, f"{reinstall}; then: {_WRITE}")


def _follow(context: Context, words: list[str]) -> None:
    """Use the settings that the ProxyCommand gives, so that checks look where a connection will."""
    named = {
        name: words[words.index(option(name)) + 1]
        for name in IN_PROXY_COMMAND
        if option(name) in words[:-1]
    }
    context.settings = replace(context.settings, **named)  # type: ignore[arg-type]
    context.aws = account.make_client(context.settings)
