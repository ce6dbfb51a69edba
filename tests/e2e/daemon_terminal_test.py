"""A question of a connection that the daemon serves is asked at the terminal of its ssh."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import terminals
from tests.e2e.labs import Lab
from tests.waits import read_until

pytestmark = pytest.mark.e2e

CONFIG = """
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile role]
role_arn = arn:aws:iam::123456789012:role/research
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/me
[profile program]
credential_process = {program}
"""
PROGRAM = """#!/bin/sh
exec </dev/tty 2>/dev/tty || exit 1
printf 'MFA code, please: ' >&2
read -r code
printf '{"Version": 1, "AccessKeyId": "AKIA%s", "SecretAccessKey": "s"}' "$code"
"""


@dataclasses.dataclass
class Terminal:
    """The terminal of an ssh whose connection the daemon was to serve."""

    ssh: subprocess.Popen[bytes]
    near: int

    def shows(self, words: bytes) -> bytes:
        return read_until(self.near, words)

    def types(self, keys: bytes) -> None:
        os.write(self.near, keys)


@contextlib.contextmanager
def terminal(served: Lab, folder: Path, profile: str) -> Iterator[Terminal]:
    program = folder / "program"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    config = folder / "config"
    config.write_text(CONFIG.format(program=program))
    ours = {"AWS_CONFIG_FILE": str(config), "SM_PROXY_PROFILE": profile, "SM_PROXY_LOG": "debug"}
    for name in ("AWS_ACCESS_KEY_ID", "DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS_REQUIRE"):
        ours[name] = ""
    near, far = pty.openpty()

    command = ["ssh", "-F", served.config, served.host, "echo $((40 + 2))"]
    process = served.popen(
        *command, stdin=subprocess.DEVNULL, stdout=far, stderr=far,
        **terminals.controlling(far), env=ours,
    )  # fmt: skip
    os.close(far)
    try:
        yield Terminal(process, near)
    finally:
        process.kill()
        process.wait(60)
        os.close(near)


@contextlib.contextmanager
def question(served: Lab, folder: Path, profile: str) -> Iterator[Terminal]:
    """The terminal at which a question is asked that the daemon gave back."""
    while True:  # on a very busy machine, an ssh does the work itself from the start
        with terminal(served, folder, profile) as seen:
            if b"gave the work back" in seen.shows(b"MFA code"):
                yield seen
                return


@pytest.fixture(scope="module")
def served(host_lab: Lab) -> Iterator[Lab]:
    with host_lab.with_daemon() as found:
        found.ok(found.host, "true")
        found.await_daemon()
        yield found


@pytest.mark.parametrize("profile", ["role", "program"])
def test_a_code_is_typed_there(served: Lab, tmp_path: Path, profile: str) -> None:
    with question(served, tmp_path, profile) as seen:
        seen.types(b"998877\n")
        seen.shows(b"42\r\n")
        assert seen.ssh.wait(60) == 0


def test_ctrl_c_at_the_question_ends_it(served: Lab, tmp_path: Path) -> None:
    with question(served, tmp_path, "role") as seen:
        seen.types(b"\x03")
        assert seen.ssh.wait(60) == 255 or seen.ssh.returncode < 0
    served.settle()
    assert served.ok(served.host, "echo ok") == b"ok\n"
