"""A keyring that is locked, broken, refused or silent: nobody waits long, and ssh connects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import Lab, code_of, last_line, running
from tests.soak import only_in_soak

pytestmark = [pytest.mark.e2e, only_in_soak]

CONFIG = """
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile mfa]
role_arn = arn:aws:iam::123456789012:role/research
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/me
"""
BACKEND = """
import os, time
from keyring.backend import KeyringBackend
from keyring.errors import InitError, KeyringLocked

class PromptDismissedException(Exception):
    pass

ITEMS = {}
WAYS = {
    "locked": KeyringLocked("Failed to unlock the collection!"),
    "broken": InitError("Failed to open keyring: org.freedesktop.DBus.Error.NoReply"),
    "refused": PromptDismissedException("Prompt dismissed.."),
}

class Keyring(KeyringBackend):
    priority = 5

    def _open(self):
        way = os.environ["RING_IS"]
        if way == "silent":
            time.sleep(60)
        raise WAYS[way]

    def get_password(self, service, name):
        self._open()

    def set_password(self, service, name, value):
        self._open()

    def delete_password(self, service, name):
        self._open()
"""
SAYS = {
    "locked": b"Unlock the keyring",
    "broken": b"Repair the keyring (InitError: ",
    "refused": b"Unlock the keyring",
    "silent": b"did not answer within 10 s",
}
LONGEST_S = 40.0
"""Ten seconds for the keyring, the rest for a busy machine; the silent one sleeps for 60."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose user has a profile with a role, and names a keyring."""
    folder, named = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("xdg")
    (named / "broken_ring.py").write_text(BACKEND)
    (named / "python_keyring").mkdir()
    rc = f"[backend]\ndefault-keyring=broken_ring.Keyring\nkeyring-path={named}\n"
    (named / "python_keyring" / "keyringrc.cfg").write_text(rc)
    with running(folder) as lab:
        config = Path(lab.environment["AWS_CONFIG_FILE"])
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(CONFIG)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"):
            lab.environment.pop(name, None)
        lab.environment |= {"SM_PROXY_PROFILE": "mfa", "AWS_ACCESS_KEY_ID": ""}
        lab.environment["XDG_CONFIG_HOME"] = str(named)
        yield lab


@pytest.fixture
def asking(tmp_path: Path) -> dict[str, str]:
    """Variables with which a user types a code, each time another one: AWS takes each once."""
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\ndate +%N | cut -c 1-6\n")
    askpass.chmod(0o755)
    return {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}


@pytest.mark.parametrize("way", SAYS)
def test_nobody_waits_long_for_a_keyring_that_tells_nothing(
    way: str, own: Lab, asking: dict[str, str]
) -> None:
    began = time.monotonic()
    refused = own.ssh(own.host, "true", env={"RING_IS": way}, start_new_session=True)
    assert time.monotonic() - began < LONGEST_S
    assert code_of(refused) == "no-credentials"
    assert SAYS[way] in refused.stderr
    assert "the code once in a terminal: " in last_line(refused)
    began = time.monotonic()
    done = own.ssh(own.host, "echo ok", env={"RING_IS": way, **asking}, start_new_session=True)
    assert time.monotonic() - began < LONGEST_S
    assert (done.returncode, done.stdout) == (0, b"ok\n"), done.stderr
    login = own.sm_proxy("login", env={"RING_IS": way, **asking}, start_new_session=True)
    assert (login.returncode, code_of(login)) == (1, "no-keyring")
    assert SAYS[way] in login.stderr
