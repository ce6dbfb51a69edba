"""Whether our block is in effect: `ssh -G` with the user's config, compared with our file alone.

It compares every option that can keep ssh from a container or change what ssh checks. Another value
is accepted if it has the same effect: a path that fits, a list with the right algorithm in it.
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
"""Whether an option's value is acceptable although it differs from our file's."""
_SUN_PATH: Final = (107 if sys.platform == "linux" else 103) - 17
"""Bytes of a Unix socket's path, less those that ssh appends while it binds."""
_WRITE: Final = "sm-proxy config write"


@dataclass(frozen=True)
class Asked:
    """The options of a host, according to `ssh -G`.

    Attributes:
        host: as typed.
        prefix: that the host begins with.
        ssh_config: the user's file.
        own: our file.
        options: the values in effect, by lower-case keyword.
        ours: the values that our file alone gives.
    """

    host: str
    prefix: str
    ssh_config: Path
    own: Path
    options: dict[str, list[str]]
    ours: dict[str, list[str]]

    def listed(self, keyword: str) -> tuple[set[str], set[str]]:
        """The words of a comma-separated option: in effect, and by our file alone."""
        found = (side.get(keyword, []) for side in (self.options, self.ours))
        theirs, ours = ({word for value in values for word in value.split(",")} for values in found)
        return theirs, ours


@dataclass(frozen=True)
class Rewrite:
    """What `config write` would do now.

    Attributes:
        sets: the lower-case keywords that our blocks would set.
        moves: whether the Include would move to the top of the user's file.
    """

    sets: frozenset[str]
    moves: bool


def _never(_: Asked, __: str) -> bool:
    """Only our value is right."""
    return False


def _begins_with_ours(asked: Asked, keyword: str) -> bool:
    """More values after ours do no harm."""
    ours = asked.ours.get(keyword, [])
    return asked.options.get(keyword, [])[: len(ours)] == ours


def _shares_one(asked: Asked, keyword: str) -> bool:
    """Our file leaves this list to ssh's default; one algorithm of it is enough."""
    theirs, ours = asked.listed(keyword)
    return not ours or bool(theirs & ours)


def _needs_no_mac(asked: Asked, keyword: str) -> bool:
    """An AEAD cipher needs no MAC, and every current server supports one."""
    theirs, _ = asked.listed("ciphers")
    itself = any(word.startswith("chacha20-poly1305") or "-gcm" in word for word in theirs)
    return itself or _shares_one(asked, keyword)


def _serves_ed25519(asked: Asked, keyword: str) -> bool:
    """Our servers always have an ed25519 host key; some clients do not support the type."""
    theirs, ours = asked.listed(keyword)
    return "ssh-ed25519" in theirs or "ssh-ed25519" not in ours


def _signs_with_key(asked: Asked, keyword: str) -> bool:
    """The key that ssh offers first must have an allowed type."""
    theirs, _ = asked.listed(keyword)
    key = next(iter(asked.ours.get("identityfile", [])), "").removesuffix(".pub")
    try:
        kind = Path(f"{key}.pub").expanduser().read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):
        return True  # the checks of the key report that
    return bool(theirs & signature_algorithms(kind))


def _offers_keys(asked: Asked, keyword: str) -> bool:
    theirs, _ = asked.listed(keyword)
    return not theirs or "publickey" in theirs


def _fits(asked: Asked, keyword: str) -> bool:
    """If the path is too long, ssh ends; otherwise, sharing connections is the user's choice."""
    return all(len(os.fsencode(path)) <= _SUN_PATH for path in asked.options.get(keyword, []))


def _is_readable(asked: Asked, keyword: str) -> bool:
    """A list that ssh cannot read makes it treat every host key as revoked."""
    named = (os.path.expanduser(path) for path in asked.options.get(keyword, []))  # noqa: PTH111
    return all(os.access(path, os.R_OK) and not Path(path).is_dir() for path in named)


def _forwards_to_jobs_only(asked: Asked, keyword: str) -> bool:
    """Nobody vouches for the host key of a space, so it gets no agent."""
    del keyword
    return not asked.host.endswith(".space")


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
    "forwardagent": _forwards_to_jobs_only,
}
"""By lower-case keyword of `ssh -G`. `User` is not here: doctor checks it against the marker."""
_EFFECTS: Final = {
    **dict.fromkeys(("ciphers", "macs", "kexalgorithms"), "no current server supports these"),
    "controlpath": "that is too long for a socket",
    "revokedhostkeys": "ssh accepts no host key while it cannot read that file",
    "forwardagent": "a space must get no agent, because its host key cannot be verified",
}
_OTHER_NAMES: Final = {
    "proxycommand": ("proxyjump",),  # ssh uses the first of them
    "pubkeyacceptedalgorithms": ("pubkeyacceptedkeytypes",),
    "globalknownhostsfile": ("globalknownhostsfile2",),
    "userknownhostsfile": ("userknownhostsfile2",),
}


def ask(host: str, prefix: str, ssh_config: Path, own: Path) -> Asked:
    """Run `ssh -G` with the user's config, and with our file alone.

    Raises:
        SmProxyError: as `effective.all_options`; `config-malformed`, our file has no block for
            the host.
    """
    options = effective.all_options(host, ssh_config)
    ours = effective.all_options(host, own)
    if "proxycommand" not in ours:
        raise SmProxyError(
            "config-malformed", f"{own} has no block for {host}", f"Write it again: {_WRITE}"
        )
    return Asked(host, prefix, ssh_config, own, options, ours)


def judge(asked: Asked, rewrite: Rewrite) -> None:
    """Refuse the first option that keeps ssh from the host, or changes what ssh checks.

    Raises:
        SmProxyError: `config-malformed`, names the option, the line that sets it, and the fix.
    """
    for keyword, acceptable in _JUDGES.items():
        if asked.options.get(keyword) != asked.ours.get(keyword) and not acceptable(asked, keyword):
            raise _error(asked, keyword, rewrite)


def _error(asked: Asked, keyword: str, rewrite: Rewrite) -> SmProxyError:
    names = (keyword, *_OTHER_NAMES.get(keyword, ()))
    system = asked.ssh_config == paths.default_ssh_config()
    found = list(option_origin.find_setters(asked.ssh_config, asked.host, names, system=system))
    ours = [setter for setter in found if setter.path.resolve() == asked.own.resolve()]
    if not found or found[0] in ours:
        value = " ".join(asked.options.get(keyword, [])) or "not set"
        what = f"{asked.ssh_config} does not include our block: {keyword} is {value}"
        return SmProxyError("config-malformed", what, f"Put the Include back with: {_WRITE}")
    first = found[0]
    what = f"{first} sets {first.keyword} to {first.value}"
    if ours:
        what += f" before {asked.own} sets {keyword}"
        fix = (
            f"Move our Include to the top with: {_WRITE}"
            if rewrite.moves
            else _hint_for_users_line(asked, first)
        )
    else:
        what += f", also for {asked.host}: {_EFFECTS.get(keyword, 'our hosts need another value')}"
        helps = rewrite.sets & set(names)
        fix = f"Write our block again: {_WRITE}" if helps else _hint_for_users_line(asked, first)
    return SmProxyError("config-malformed", what, fix)


def _hint_for_users_line(asked: Asked, setter: Setter) -> str:
    """The hint for a line of the user's, which `config write` does not change."""
    return (
        f"Delete line {setter.line} of {setter.path}, or put it under a Host line that excludes "
        f"our hosts: Host * !{asked.prefix}*"
    )
