"""The options of ssh_config(5) that have one right value for a container.

ssh uses the first value that it reads, so the user's `Host *` could set what our block leaves open.
Pinned are the options that could keep ssh from a container (another port, a timeout for the
ProxyCommand, no public keys) or change what ssh checks (another source of host keys). Matters of
taste are left alone: forwards, terminal, escape character, log level, ciphers.

An option that ssh does not know makes it fail for every host. So we write only options that every
ssh on this machine knows. `IgnoreUnknown` does not help: ours would replace the user's.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sm_proxy.settings import Settings

_FDPASS: Final = "ProxyUseFdpass yes"
_PASSING: Final = frozenset({"linux", "darwin"})
"""Where ssh can take a descriptor. Windows's OpenSSH knows the option, but fails with it."""
_PINNED: Final = (
    "Port 22",  # means the marker's port; `ssh -p` wins over any file
    "CanonicalizeHostname no",  # `always` renames proxied hosts too
    _FDPASS,
    "RemoteCommand none",
    "SessionType default",
    "StdinNull no",
    "ForkAfterAuthentication no",
    "PreferredAuthentications publickey,keyboard-interactive,password",
    "PubkeyAuthentication yes",
    # `+` keeps the client's own list, which ssh then sorts by the known host keys.
    "HostKeyAlgorithms +ssh-ed25519",
    "KnownHostsCommand none",
    "VerifyHostKeyDNS no",
    "NoHostAuthenticationForLocalhost no",
    "GSSAPIKeyExchange no",  # in some distributions: Kerberos instead of the host key
)
_FOR_OUR_KEY: Final = ("PubkeyAcceptedKeyTypes +ssh-ed25519", "PKCS11Provider none")
"""Only for our own key: the user's key may be of another type, or in a token. The option is the old
name of PubkeyAcceptedAlgorithms, which all versions know."""
_LINE: Final = re.compile(r"\bline (\d+)\b")
_DEADLINE_S: Final = 5
_PLACES: Final = (
    *("/usr/bin/ssh", "/usr/local/bin/ssh", "/opt/homebrew/bin/ssh"),
    *(r"C:\Windows\System32\OpenSSH\ssh.exe", r"C:\Program Files\Git\usr\bin\ssh.exe"),
)


def lines(settings: Settings) -> list[str]:
    """The lines `Keyword value` that every ssh on this machine accepts."""
    wanted = _PINNED if settings.identity_file else (*_PINNED, *_FOR_OUR_KEY)
    taken = _accepted_by_all(tuple(_clients()), (*_PINNED, *_FOR_OUR_KEY))
    passes = settings.fdpass and sys.platform in _PASSING
    left_out = () if passes else (_FDPASS,)
    return [line for line in wanted if line in taken and line not in left_out]


def _clients() -> Iterator[str]:
    """Every ssh on this machine: they share one config, and an editor may use any of them."""
    seen: set[str] = set()
    for folder in os.get_exec_path():
        found = shutil.which("ssh", path=folder) if folder else None
        if found and (real := os.path.realpath(found)) not in seen:
            seen.add(real)
            yield found
    for place in _PLACES:
        if os.access(place, os.X_OK) and (real := os.path.realpath(place)) not in seen:
            seen.add(real)
            yield place


@functools.cache
def _accepted_by_all(clients: Sequence[str], options: Sequence[str]) -> frozenset[str]:
    """The `options` that all `clients` accept; none if no client can be asked."""
    answers = [answer for client in clients if (answer := _accepted(client, options)) is not None]
    return frozenset.intersection(*answers) if answers else frozenset()


def _accepted(client: str, options: Sequence[str]) -> frozenset[str] | None:
    """The `options` that `ssh -G` accepts; None if the client is not an OpenSSH with `-G`."""
    left = list(options)
    with tempfile.TemporaryDirectory(prefix="sm-proxy-") as folder:
        config = Path(folder, "config")
        for _ in options:
            config.write_text("".join(f"{line}\n" for line in left))
            try:
                done = subprocess.run(
                    [client, "-F", str(config), "-G", "sm-proxy"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                    timeout=_DEADLINE_S,
                )
            except (OSError, subprocess.TimeoutExpired):
                return None
            complaints = done.stderr.decode(errors="replace")
            named = {int(number) for number in _LINE.findall(complaints)}
            kept = [line for number, line in enumerate(left, 1) if number not in named]
            if kept == left:
                return frozenset(left) if done.returncode == 0 and done.stdout else None
            left = kept
    return None
