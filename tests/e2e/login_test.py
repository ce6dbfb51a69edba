"""Real sshds that keep a user out, or let one in for nothing: doctor says which it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.labs import Lab, running
from tests.e2e.refusal_test import claim, marker, where

pytestmark = pytest.mark.e2e

CASES = {
    "MaxSessions 0": ("login-refused", "opens no session"),
    "ForceCommand echo hello": ("login-refused", "runs something else"),
    "ForceCommand exit 3": ("login-refused", "ends with status 3"),
    "AllowUsers nobody-else": ("key-refused", "although the job was given that key"),
    "PubkeyAuthentication no\nPasswordAuthentication yes": ("key-refused", "takes no keys"),
    "PasswordAuthentication yes\nAuthenticationMethods publickey,password": (
        "key-refused",
        "wants password besides",
    ),
    "PubkeyAcceptedAlgorithms rsa-sha2-256": ("key-refused", "although the job was given that key"),
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(tmp_path_factory.mktemp("login")) as lab:
        yield lab


def test_what_a_server_forbids(own: Lab) -> None:
    address, port = where(own)
    user = own.environment["SM_PROXY_LAB_USER"]
    key = own.ok(own.host, "cat $SM_PROXY_RUN_DIR/ssh_host_ed25519_key.pub").decode()
    host_key = " ".join(key.split()[:2])
    for number, options in enumerate(CASES, 1):
        config = f"{options}\nPort {port + number}\nPidFile none\n"
        own.ok(
            own.host,
            "cd $SM_PROXY_RUN_DIR && { cat; grep -v '^Port\\|^PidFile' sshd_config; } > other &&"
            " $(readlink /proc/$(cat sshd.pid)/exe | sed s,/root/usr/sbin/,/,) -f $PWD/other",
            stdin=config.encode(),
        )
    for number, options in enumerate(CASES, 1):
        claim(own, marker(address, port + number, user, host_key), number)
        own.forget()
        done = own.sm_proxy("doctor", own.host, "--json", "--ssh-config", own.config)
        told = json.loads(done.stdout)["data"]
        broken = [check for check in told["checks"] if check["result"] == "failed"]
        assert told["cause"] == CASES[options][0], (options, broken)
        assert CASES[options][1] in broken[0]["reason"], (options, broken)
