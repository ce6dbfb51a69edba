"""Options of `relaunch` and `launch` become what the job gets."""

from __future__ import annotations

import argparse

import pytest

from sm_proxy.commands import launch_options
from sm_proxy.identity import identities
from sm_proxy.launch.request import Ssh
from sm_proxy.settings import Settings


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    launch_options.add_arguments(parser)
    launch_options.add_size(parser)
    return parser.parse_args(words)


@pytest.fixture
def own(tmp_path: object) -> Settings:
    return Settings(ssh_dir=f"{tmp_path}/ssh")


def test_options_that_are_not_given_leave_the_choice_to_the_request(own: Settings) -> None:
    told: list[str] = []
    ssh = launch_options.ssh_of(parsed(), own, told.append)
    assert ssh == Ssh(keys=(identities.ensure(own).public_key,))
    assert told == [f"made your ssh key {identities.private_key_path(own)}"]
    assert launch_options.ssh_of(parsed(), own, told.append) == ssh
    assert len(told) == 1, "the key is made once"


def test_each_option_is_passed_on(own: Settings) -> None:
    words = ["--keep", "1h", "--wait", "90s", "--shell", "--without-isolation", "--remote-debug"]
    network = ["--subnets", "subnet-1,subnet-2", "--subnets", "subnet-3", "--security-groups=sg-1"]
    ssh = launch_options.ssh_of(parsed(*words, *network), own, print)
    assert (ssh.keep_s, ssh.wait_s, ssh.shell, ssh.without_isolation) == (3600, 90, True, True)
    assert ssh.remote_debug
    assert ssh.subnets == ("subnet-1", "subnet-2", "subnet-3")
    assert ssh.security_groups == ("sg-1",)


def test_every_key_that_ssh_offers_may_log_in(own: Settings) -> None:
    first = identities.ensure(own)
    (first.path.parent / "id_ed25519.1").write_bytes(first.path.read_bytes())
    assert launch_options.ssh_of(parsed(), own, print).keys == (first.public_key,)


def test_the_entrypoint_is_read_as_a_shell_does() -> None:
    assert parsed("--entrypoint", "bash -c 'a b'").entrypoint == ("bash", "-c", "a b")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--entrypoint", "sh 'a"], "shell words"),
        (["--entrypoint", " "], "empty"),
        (["--subnets", "sub net"], "'sub' is not an id"),
        (["--security-groups", "sg-1,\x1b[31m"], "is not an id"),
        (["--instance-type", "m5.large"], "such as ml.g5.xlarge"),
        (["--keep", "long"], "a duration such as"),
        (["--smaller", "--instance-type", "ml.m5.large"], "not allowed with"),
    ],
)
def test_bad_values_are_refused(words: list[str], why: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=why):
        parsed(*words)
