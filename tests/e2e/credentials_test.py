"""A role needs an MFA code: it is typed once; the session is in a Secret Service, not on disk."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import terminals
from tests.e2e import secret_service
from tests.e2e.labs import Lab, code_of, last_line, running
from tests.waits import await_true

pytestmark = pytest.mark.e2e

CONFIG = """
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile mfa]
role_arn = arn:aws:iam::123456789012:role/research
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/me
"""
EXPIRE = """
import json, sys
import keyring, secretstorage
bus = secretstorage.dbus_init()
for item in secretstorage.get_default_collection(bus).get_all_items():
    count, tag, text = item.get_secret().decode().split(" ", 2)
    kept = json.loads(text)
    sys.stdout.write(kept["SessionToken"] + " " + kept["SecretAccessKey"] + " ")
    kept["Expiration"] = "2020-01-01T00:00:00+00:00"
    item.set_secret(f"{count} {tag} {json.dumps(kept)}".encode())
"""
LOCK = """
import secretstorage
secretstorage.get_default_collection(secretstorage.dbus_init()).lock()
"""
IS_OPEN = """
import sys, secretstorage
sys.exit(secretstorage.get_default_collection(secretstorage.dbus_init()).is_locked())
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose user has a profile with a role and a keyring."""
    folder = tmp_path_factory.mktemp("credentials")
    ring = tmp_path_factory.mktemp("ring")
    with secret_service.running(ring) as bus, running(folder) as lab:
        config = Path(lab.environment["AWS_CONFIG_FILE"])
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(CONFIG)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"):
            lab.environment.pop(name, None)
        lab.environment |= {**bus, "SM_PROXY_PROFILE": "mfa", "AWS_ACCESS_KEY_ID": ""}
        lab.environment["RING"] = str(ring)
        yield lab


def assumed(lab: Lab) -> int:
    """The number of AssumeRole calls so far."""
    return sum(call["operation"] == "AssumeRole" for call in lab.calls())


def typed(lab: Lab, *codes: str) -> bytes:
    """Run ssh on its own terminal, type the codes there; return what the terminal shows."""
    near, far = pty.openpty()

    process = lab.popen(
        *("ssh", "-F", lab.config, lab.host, "echo $((40 + 2))"),
        stdin=subprocess.DEVNULL, stdout=far, stderr=far, **terminals.controlling(far),
    )  # fmt: skip
    os.close(far)
    shown, left, until = b"", list(codes), time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([near], [], [], 0.05)[0]:
            try:
                shown += os.read(near, 1000)
            except OSError:  # the other end is closed
                break
        if left and shown.count(b"MFA code") > len(codes) - len(left):
            os.write(near, left.pop(0).encode() + b"\n")
    process.wait(60)
    os.close(near)
    return shown


def test_without_a_terminal_the_error_names_the_login_command(own: Lab) -> None:
    done = own.ssh(own.host, "true", start_new_session=True)
    assert code_of(done) == "no-credentials"
    assert last_line(done).endswith("sm-proxy login --profile mfa")
    assert assumed(own) == 0


def test_an_mfa_code_is_typed_once(own: Lab, tmp_path: Path) -> None:
    shown = typed(own, "000000", "998877")
    assert shown.count(b"MFA code of arn:aws:iam::123456789012:mfa/me (AWS profile mfa)") == 2
    assert b"42" in shown
    assert b"998877" not in shown
    assert assumed(own) == 2
    # From now on, neither a code nor a call to STS is needed.
    assert own.ok(own.host, "echo again", start_new_session=True) == b"again\n"
    own.forget()
    assert own.ok(own.host, "echo again", start_new_session=True) == b"again\n"
    assert assumed(own) == 2


def test_credentials_are_not_on_disk_and_two_helpers_ask_once(own: Lab, tmp_path: Path) -> None:
    secrets = own.run(sys.executable, "-c", EXPIRE).stdout.split()
    assert len(secrets) == 2
    folder = Path(own.environment["SM_PROXY_LAB_SESSIONS"]).parent
    for path in [path for path in folder.rglob("*") if path.is_file() and os.access(path, os.R_OK)]:
        with contextlib.suppress(FileNotFoundError):  # the lab replaces some files meanwhile
            if path.stat().st_size < 1 << 24:
                assert not [secret for secret in secrets if secret in path.read_bytes()], path
    # The credentials have expired: an askpass program gives a new code.
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\nsleep 1\necho x >> {tmp_path}/asked\necho 654321\n")
    askpass.chmod(0o755)
    asking = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
    processes = [
        own.popen("ssh", "-F", own.config, own.host, "echo ok", env=asking,
                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for _ in range(2)
    ]  # fmt: skip
    assert [process.communicate(timeout=60)[0] for process in processes] == [b"ok\n", b"ok\n"]
    assert (tmp_path / "asked").read_text() == "x\n"
    login = own.sm_proxy("login", start_new_session=True)
    assert b"assumed-role/research" in login.stdout


def test_the_advice_for_a_locked_keyring_works(own: Lab, tmp_path: Path) -> None:
    """`login` reports that it stored nothing, and the command in its error fixes that."""
    own.run(sys.executable, "-c", LOCK)
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho 112233\n")
    askpass.chmod(0o755)
    asking = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
    login = own.sm_proxy("login", env=asking, start_new_session=True)
    assert (login.returncode, code_of(login)) == (1, "no-keyring")
    assert b"assumed-role/research" in login.stdout
    unlock = last_line(login).partition("over ssh, for GNOME's: ")[2].partition(")")[0]
    assert "it is locked" in last_line(login)
    refused = own.ssh(own.host, "true", start_new_session=True)
    assert code_of(refused) == "no-credentials"
    assert "Unlock the keyring" in last_line(refused)
    with secret_service.unlocked(Path(own.environment["RING"]), unlock):
        opened = lambda: own.run(sys.executable, "-c", IS_OPEN).returncode == 0  # noqa: E731
        await_true(opened, 60)
        # The credentials stored earlier are available again, and no code is needed.
        own.ok(own.host, "true", start_new_session=True)
        assert own.sm_proxy("login", start_new_session=True).returncode == 0
