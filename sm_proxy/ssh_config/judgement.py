"""Whether ssh goes by our block: `ssh -G` with the user's config against our file alone.

Judged is every option that can keep ssh from a container or change what it checks, by what it does:
a path that fits and a list with the right algorithm in it are as good as ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.public_key import signature_algorithms
from sm_proxy.ssh_config import effective, option_origin
from sm_proxy.ssh_config.option_origin import Setter

_Judge = Callable[["Asked", str], bool]
"""Whether what holds for an option will do although it is not as in our file."""
_SUN_PATH: Final = (107 if sys.platform == "linux" else 103) - 17
"""Bytes of a Unix socket's path, less what ssh appends while it binds it."""
_WRITE: Final = "sm-proxy config write"


@dataclass(frozen=True)
class Asked:
    """A host as `ssh -G` sees it.

    Attributes:
        host: as typed.
        prefix: of our host names, that this one begins with.
        ssh_config: the user's file.
        own: our file.
        options: what holds, values by lower-case keyword.
        ours: what our file alone would give.
    """

    host: str
    prefix: str
    ssh_config: Path
    own: Path
    options: dict[str, list[str]]
    ours: dict[str, list[str]]

    def listed(self, keyword: str) -> tuple[set[str], set[str]]:
        """The words of a list with commas, as it holds and as our file alone would give it."""
        found = (side.get(keyword, []) for side in (self.options, self.ours))
        theirs, ours = ({word for value in values for word in value.split(",")} for values in found)
        return theirs, ours


@dataclass(frozen=True)
class Rewrite:
    """What `config write` would do now.

    Attributes:
        sets: the lower-case keywords that our blocks would set.
        moves: whether the Include would go to the top of the user's file.
    """

    sets: frozenset[str]
    moves: bool


def _never(_: Asked, __: str) -> bool:
    """Ours is the one right value."""
    return False


def _begins_with_ours(asked: Asked, keyword: str) -> bool:
    """Further ones behind ours do no harm."""
    ours = asked.ours.get(keyword, [])
    return asked.options.get(keyword, [])[: len(ours)] == ours


def _shares_one(asked: Asked, keyword: str) -> bool:
    """Our file leaves the list to ssh; one of these is enough to agree with a server of today."""
    theirs, ours = asked.listed(keyword)
    return not ours or bool(theirs & ours)


def _needs_no_mac(asked: Asked, keyword: str) -> bool:
    """Such a cipher checks what it carries by itself, and every server of today has one."""
    theirs, _ = asked.listed("ciphers")
    itself = any(word.startswith("chacha20-poly1305") or "-gcm" in word for word in theirs)
    return itself or _shares_one(asked, keyword)


def _serves_ed25519(asked: Asked, keyword: str) -> bool:
    """Our servers have such a host key, whatever else; some clients do not know the type."""
    theirs, ours = asked.listed(keyword)
    return "ssh-ed25519" in theirs or "ssh-ed25519" not in ours


def _signs_with_key(asked: Asked, keyword: str) -> bool:
    """The key that ssh offers first is of a type that it may use."""
    theirs, _ = asked.listed(keyword)
    key = next(iter(asked.ours.get("identityfile", [])), "").removesuffix(".pub")
    try:
        kind = Path(f"{key}.pub").expanduser().read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):
        return True  # the checks of the key will say so
    return bool(theirs & signature_algorithms(kind))


def _offers_keys(asked: Asked, keyword: str) -> bool:
    theirs, _ = asked.listed(keyword)
    return not theirs or "publickey" in theirs


def _fits(asked: Asked, keyword: str) -> bool:
    """A longer one ends ssh; sharing itself is a matter of taste."""
    return all(len(os.fsencode(path)) <= _SUN_PATH for path in asked.options.get(keyword, []))


def _is_readable(asked: Asked, keyword: str) -> bool:
    """Where ssh cannot read the list, it takes every host key for revoked."""
    named = (os.path.expanduser(path) for path in asked.options.get(keyword, []))  # noqa: PTH111
    return all(os.access(path, os.R_OK) and not Path(path).is_dir() for path in named)


_JUDGES: Final[dict[str, _Judge]] = {
    **dict.fromkeys(
        (
            *("proxycommand", "proxyjump", "proxyusefdpass", "port", "canonicalizehostname"),
            *("userknownhostsfile", "globalknownhostsfile", "stricthostkeychecking"),
            *("knownhostscommand", "verifyhostkeydns", "nohostauthenticationforlocalhost"),
            *("remotecommand", "sessiontype", "stdinnull", "forkafterauthentication"),
            *("pubkeyauthentication", "gssapikeyexchange"),
        ),
        _never,
    ),
    "identityfile": _begins_with_ours,
    "preferredauthentications": _offers_keys,
    "hostkeyalgorithms": _serves_ed25519,
    "pubkeyacceptedalgorithms": _signs_with_key,
    **dict.fromkeys(("ciphers", "kexalgorithms"), _shares_one),
    "macs": _needs_no_mac,
    "controlpath": _fits,
    "revokedhostkeys": _is_readable,
}
"""By lower-case keyword, as `ssh -G` shows it. A user of one's own is judged elsewhere."""
_EFFECTS: Final = {
    **dict.fromkeys(("ciphers", "macs", "kexalgorithms"), "no server of today agrees to these"),
    "controlpath": "that is too long for a socket",
    "revokedhostkeys": "ssh accepts no host key while it cannot read that file",
}
_OTHER_NAMES: Final = {
    "proxycommand": ("proxyjump",),  # whichever comes first of them decides
    "pubkeyacceptedalgorithms": ("pubkeyacceptedkeytypes",),
    "globalknownhostsfile": ("globalknownhostsfile2",),
    "userknownhostsfile": ("userknownhostsfile2",),
}


def ask(host: str, prefix: str, ssh_config: Path, own: Path) -> Asked:
    """Ask ssh twice.

    Raises:
        SmProxyError: as `effective.all_options`; `config-malformed`, our file has no block for
            the host.
    """
    options = effective.all_options(host, ssh_config)
    ours = effective.all_options(host, own)
    if "proxycommand" not in ours:
        raise SmProxyError(
            "config-malformed", f"{own} has no block for {host}", f"Write it anew: {_WRITE}"
        )
    return Asked(host, prefix, ssh_config, own, options, ours)


def judge(asked: Asked, rewrite: Rewrite) -> None:
    """Refuse the first option that keeps ssh from the host, or changes what it checks.

    Raises:
        SmProxyError: `config-malformed`, with the option, its place and what mends it.
    """
    for keyword, will_do in _JUDGES.items():
        if asked.options.get(keyword) != asked.ours.get(keyword) and not will_do(asked, keyword):
            raise _fault(asked, keyword, rewrite)


def _fault(asked: Asked, keyword: str, rewrite: Rewrite) -> SmProxyError:
    names = (keyword, *_OTHER_NAMES.get(keyword, ()))
    system = asked.ssh_config == paths.default_ssh_config()
    found = list(option_origin.find_setters(asked.ssh_config, asked.host, names, system=system))
    ours = [setter for setter in found if setter.path.resolve() == asked.own.resolve()]
    if not found or found[0] in ours:
        value = " ".join(asked.options.get(keyword, [])) or "not set"
        what = f"{asked.ssh_config} does not lead to our block: {keyword} is {value}"
        return SmProxyError("config-malformed", what, f"Put the Include back with: {_WRITE}")
    first = found[0]
    what = f"{first} sets {first.keyword} to {first.value}"
    if ours:
        what += f" before {asked.own} sets {keyword}"
        fix = (
            f"Move our Include to the top with: {_WRITE}"
            if rewrite.moves
            else _narrowed(asked, first)
        )
    else:
        what += f", for {asked.host} as well, and {_EFFECTS.get(keyword, 'ssh needs another')}"
        helps = rewrite.sets & set(names)
        fix = f"Write our block anew: {_WRITE}" if helps else _narrowed(asked, first)
    return SmProxyError("config-malformed", what, fix)


def _narrowed(asked: Asked, setter: Setter) -> str:
    """What `config write` cannot do: the line is the user's."""
    return (
        f"Take line {setter.line} of {setter.path} out, or put it under a Host line that leaves "
        f"our hosts out: Host * !{asked.prefix}*"
    )
