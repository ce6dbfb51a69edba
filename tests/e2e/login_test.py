"""sshds that refuse the user, or that accept the login but run no command: doctor tells which."""

from __future__ import annotations

import json

import pytest

from tests.e2e.labs import Lab

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


def test_doctor_names_the_servers_restriction(lab: Lab) -> None:
    job = lab.launch("strict")
    _, port = job.where()
    for number, options in enumerate(CASES, 1):
        config = f"{options}\nPort {port + number}\nPidFile none\n"
        lab.ok(
            job.host,
            "cd $SM_PROXY_RUN_DIR && { cat; grep -v '^Port\\|^PidFile' sshd_config; } > other &&"
            " $(readlink /proc/$(cat sshd.pid)/exe | sed s,/root/usr/sbin/,/,) -f $PWD/other",
            stdin=config.encode(),
        )
    for number, options in enumerate(CASES, 1):
        job.claim(port=port + number)
        lab.forget()
        done = lab.sm_proxy("doctor", job.host, "--json", "--ssh-config", lab.config)
        told = json.loads(done.stdout)["data"]
        broken = [check for check in told["checks"] if check["result"] == "failed"]
        assert told["cause"] == CASES[options][0], (options, broken)
        assert CASES[options][1] in broken[0]["reason"], (options, broken)
