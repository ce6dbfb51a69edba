"""SSH clients that are not OpenSSH, and take a command as their proxy."""

from __future__ import annotations

import secrets
import shlex

from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import Desk
from tests.e2e.labs import SM_PROXY

_CONNECT = f"{shlex.join(SM_PROXY)} connect --user root"


def _fingerprint(desk: Desk) -> str:
    """SHA256:... of the container's Ed25519 key."""
    lines = desk.run("ssh-keygen", "-lf", str(desk.known_hosts)).splitlines()
    return next(line.split()[1] for line in lines if line.endswith("(ED25519)"))


def _putty(desk: Desk) -> None:
    """A command, and a file each way; another fingerprint is refused."""
    desk.run("puttygen", str(desk.key), "-O", "private", "-o", "key.ppk")
    proxy = ("-batch", "-i", "key.ppk", "-proxycmd", f"{_CONNECT} %host %port")
    words = (*proxy, "-hostkey", _fingerprint(desk))
    user = f"root@{desk.host}"
    assert "algo-1" in desk.run("plink", *words, user, "echo $SM_CURRENT_HOST")
    desk.write("sent", sent := secrets.token_bytes(300_000))
    desk.run("pscp", *words, "sent", f"{user}:{desk.there}/file")
    desk.run("pscp", *words, f"{user}:{desk.there}/file", "back")
    assert (desk.folder / "back").read_bytes() == sent
    other = "SHA256:" + "A" * 43
    status, said = desk.start("plink", *proxy, "-hostkey", other, user, "true")
    assert status != 0, said


def _dropbear(desk: Desk) -> None:
    desk.run("dropbearconvert", "openssh", "dropbear", str(desk.key), "key")
    keys = desk.known_hosts.read_text().replace("* ", f"{desk.host} ")
    known = desk.folder.parent / "home" / ".ssh" / "known_hosts"
    known.write_text(keys)
    try:
        said = desk.run(
            *("dbclient", "-i", "key", "-J", f"{_CONNECT} {desk.host} 22"),
            *(f"root@{desk.host}", "echo $SM_CURRENT_HOST"),
        )
    finally:
        known.unlink()
    assert said == "algo-1\n"


_PROXY = "works with our command as its proxy: [how](#putty-and-winscp)"
CLIENTS = (
    Client(
        "PuTTY (plink, pscp)", "a command, a file each way; a wrong host key is refused", _putty,
        ("plink", "-V"), _PROXY, ("sftp",), package="putty-tools",
    ),
    Client(
        "dbclient (dropbear)", "a command; host key checked", _dropbear, ("dbclient", "-V"), _PROXY,
        package="dropbear-bin",
    ),
)  # fmt: skip
