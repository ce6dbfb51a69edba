"""sshds that refuse the user, or that accept the login but run no command: doctor tells which."""

from __future__ import annotations

import json
import shlex
from itertools import count

import pytest

from tests.e2e.labs import Lab
from tests.soak import cases

pytestmark = pytest.mark.e2e

CASES = {
    "MaxSessions 0": ("login-refused", "opens no session"),
    "ForceCommand echo hello": ("login-refused", "does not run our command"),
    "ForceCommand exit 3": ("login-refused", "ends with status 3"),
    "AllowUsers nobody-else": ("key-refused", "although the job's Environment has that key"),
    "PubkeyAuthentication no\nPasswordAuthentication yes": ("key-refused", "accepts no keys"),
    "PasswordAuthentication yes\nAuthenticationMethods publickey,password": (
        "key-refused",
        "also wants password",
    ),
    "PubkeyAcceptedAlgorithms rsa-sha2-256": (
        "key-refused",
        "although the job's Environment has that key",
    ),
}


def started(options: str, port: int) -> str:
    """The command that starts a further sshd with these options at this port."""
    config = shlex.quote(f"{options}\nPort {port}\nPidFile none\n")
    return (
        f"{{ printf %s {config}; grep -v '^Port\\|^PidFile' sshd_config; }} > other &&"
        " $sshd -f $PWD/other"
    )


def test_doctor_names_the_servers_restriction(lab: Lab) -> None:
    tried = cases(CASES, list(CASES)[2:4])
    job = lab.launch("strict")
    _, port = job.where()
    lab.ok(
        job.host,
        "cd $SM_PROXY_RUN_DIR && sshd=$(readlink /proc/$(cat sshd.pid)/exe |"
        " sed s,/root/usr/sbin/,/,) && " + " && ".join(map(started, tried, count(port + 1))),
    )
    for number, options in enumerate(tried, 1):
        job.claim(port=port + number)
        lab.forget()
        done = lab.warm("doctor", job.host, "--json", "--ssh-config", lab.config)
        told = json.loads(done.stdout)["data"]
        broken = [check for check in told["checks"] if check["result"] == "failed"]
        assert told["cause"] == CASES[options][0], (options, broken)
        assert CASES[options][1] in broken[0]["reason"], (options, broken)
