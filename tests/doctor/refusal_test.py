from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.doctor import refusal
from sm_proxy.doctor.check import Context
from sm_proxy.settings import Settings
from tests import fakes

TYPE, OURS = fakes.HOST_KEY.split()[:2]
OUR_KEY = SimpleNamespace(get_name=lambda: TYPE, get_base64=lambda: OURS)


def explained(
    *, source: str = "marker", algorithms: bytes = b"", banner: bytes | None = None, **rest: Any
) -> Any:
    environment = {"SM_PROXY_AUTHORIZED_KEY_2": rest.pop("given", "")}
    aws = fakes.FakeAws(DescribeTrainingJob={"Environment": environment})
    examined = Context(Settings(), "sm-my-job", aws)
    examined.container = fakes.container(source=source)
    extensions = {"server-sig-algs": algorithms}
    examined.ssh = SimpleNamespace(server_extensions=extensions, get_banner=lambda: banner)
    examined.login_methods = rest.pop("offered", ("publickey",))
    return refusal.explain(examined, "root", ["a key: no"], [OUR_KEY], rest.pop("more", ()))


def test_a_key_missing_from_the_job_is_the_cause() -> None:
    error = explained()
    assert error.code == "key-refused"
    assert "keys show --env" in error.hint
    assert "AllowUsers" not in error.hint


@pytest.mark.parametrize("value", [f"{TYPE} {OURS}", f"{TYPE} {OURS} me@laptop"])
def test_a_key_that_the_job_has_points_to_sshd_config(value: str) -> None:
    error = explained(given=value)
    assert "although the job's Environment has that key" in error.message
    for word in ("AllowUsers", "PermitRootLogin", "/etc/passwd", "StrictModes", "/etc/nologin"):
        assert word in error.hint
    assert "keys show" not in error.hint


def test_without_our_entrypoint_both_causes_are_named() -> None:
    error = explained(source="ip-addr", given=f"{TYPE} {OURS}")
    assert "authorized_keys" in error.hint
    assert "AllowUsers" in error.hint
    assert "container" not in error.message + error.hint.partition("If it is")[2]  # or a node


def test_the_message_has_the_servers_hints() -> None:
    assert "it accepts no keys, only password" in explained(offered=("password",)).message
    assert "also wants password" in explained(more=["password"]).message
    assert "accepts no signatures" in explained(algorithms=b"rsa-sha2-256").message
    assert "accepts no signatures" not in explained(algorithms=TYPE.encode()).message
    assert 'its banner says "go away"' in explained(banner=b"go\r\naway\n").message
