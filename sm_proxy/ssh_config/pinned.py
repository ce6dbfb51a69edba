"""The options of ssh_config(5) that have one right value for a container, and who takes them.

ssh takes the first value that it reads, so what our block leaves open a `Host *` of the user's
fills in. Pinned here is what could keep ssh from a container (another port, a helper that must pass
a descriptor, no public keys) or change what it checks (another source of host keys). What is a
matter of taste is left alone: forwards, terminal, escape character, log level, ciphers.

An option that an ssh does not know ends it for every host. So only those are written that every
ssh of this machine takes; never with `IgnoreUnknown`, whose first value would be ours as well.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sm_proxy.settings import Settings

_PINNED: Final = (
    "Port 22",  # stands for the marker's port; `ssh -p` is read before any file
    "CanonicalizeHostname no",  # `always` renames proxied hosts too
    "ProxyUseFdpass no",
    "RemoteCommand none",
    "SessionType default",
    "StdinNull no",
    "ForkAfterAuthentication no",
    "PreferredAuthentications publickey,keyboard-interactive,password",
    "PubkeyAuthentication yes",
    # `+` begins with the client's own list, and leaves its order to the known host keys.
    "HostKeyAlgorithms +ssh-ed25519",
    "KnownHostsCommand none",
    "VerifyHostKeyDNS no",
    "NoHostAuthenticationForLocalhost no",
    "GSSAPIKeyExchange no",  # of some distributions: Kerberos instead of the host key
)
_FOR_OUR_KEY: Final = ("PubkeyAcceptedKeyTypes +ssh-ed25519", "PKCS11Provider none")
"""A key of the user's own may be of another type, or in a token. The old name of
PubkeyAcceptedAlgorithms is the one that every version knows."""
_LINE: Final = re.compile(r"\bline (\d+)\b")
_DEADLINE_S: Final = 5
_PLACES: Final = (
    *("/usr/bin/ssh", "/usr/local/bin/ssh", "/opt/homebrew/bin/ssh"),
    *(r"C:\Windows\System32\OpenSSH\ssh.exe", r"C:\Program Files\Git\usr\bin\ssh.exe"),
)


def lines(settings: Settings) -> list[str]:
    """The options, `Keyword value` each, that every ssh here takes."""
    wanted = _PINNED if settings.identity_file else (*_PINNED, *_FOR_OUR_KEY)
    taken = _taken_by_all(tuple(_clients()), (*_PINNED, *_FOR_OUR_KEY))
    return [line for line in wanted if line in taken]


def _clients() -> Iterator[str]:
    """Every ssh of this machine: they read one config, and editors choose for themselves."""
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
def _taken_by_all(clients: Sequence[str], options: Sequence[str]) -> frozenset[str]:
    """Those of `options` that each of `clients` takes; none where no client can be asked."""
    answers = [answer for client in clients if (answer := _taken(client, options)) is not None]
    return frozenset.intersection(*answers) if answers else frozenset()


def _taken(client: str, options: Sequence[str]) -> frozenset[str] | None:
    """What `ssh -G` does not complain about; None where it is no OpenSSH that can tell."""
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
