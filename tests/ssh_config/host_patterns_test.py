"""The user's own hosts keep their options, and our jobs keep ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.config_writer import Stub
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import host_patterns

SSH = shutil.which("ssh")
OURS = " connect --user %r %n %p"
NARROWER = {
    "sm-dev-*": "sm-dev-1",
    "sm-dev?": "sm-dev1",
    "sm-0?": "sm-01",
    "sm-DEV*": "sm-DEV-box",
    "sm-*-dev": "sm-x-dev",
    "sm-?dev*": "sm-1dev-2",
    "sm-dev.*": "sm-dev.lan",
    "sm-*.example.com": "sm-web.example.com",
    "*.example.com": "sm-web.example.com",
    "s*.lan": "sm-web.lan",
    "sm-box-*.space": "sm-box-1.space",
}
AT_LARGE = [
    *("*", "?*", "s*", "sm*", "sm-*", "sm-?*", "sm-**", "sm-*-*", "sm-???", "sm-*2*", "sm-*1"),
    *(
        "sm-*e*",
        "*-dev",
        "*dev*",
        "sm-*.*",
        "sm-*.algo-*",
        "sm-*.algo-7",
        "sm-*.2",
        "sm-*.training",
    ),
    *("sm-*.algo-2.training", "*.algo-2", "*.endpoint", "sm-*g", "sm_*", "sm-*.i-*"),
    *("sm-*.space", "*.hyperpod", "sm-*.d-0ab.space", "sm-*pod", "sm-*.workers.*.hyperpod"),
]
JOBS = [
    *("bert-2026-11-23-09-12-33-123", "x", "Job", "my-job.algo-7", "my-job.2", "my-job.training"),
    *("my-job.i-0123456789abcdef0", "my-job.algo-2.training", "latest"),
    *("My-Space.space", "x.d-0ab.space", "c.workers.1.hyperpod"),
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "ssh").mkdir(mode=0o700)
    return tmp_path / "ssh"


def written(base: Path, user: str) -> tuple[Path, Settings]:
    config = base / "config"
    config.write_text(user)
    config.chmod(0o600)
    settings = Settings(ssh_dir=str(base / "sm-proxy"))
    config_writer.apply(config_writer.plan(config, settings, ["/opt/bin/sm-proxy"]))
    return config, settings


def answer(config: Path, host: str) -> str:
    """The real ssh's options for a host."""
    if SSH is None:
        pytest.skip("needs the OpenSSH client")
    words = [SSH, "-G", "-F", str(config), host]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "option", ["HostName 192.0.2.9", "ProxyJump gate", "ProxyCommand nc %h 22"]
)
def test_a_narrower_pattern_with_a_destination_is_the_users(base: Path, option: str) -> None:
    user = "".join(f"Host {pattern}\n    {option}\n" for pattern in NARROWER)
    (base / "alone").write_text(user)
    (base / "alone").chmod(0o600)
    config, _ = written(base, user)
    for pattern, host in NARROWER.items():
        assert answer(config, host) == answer(base / "alone", host), pattern
    for job in JOBS:
        assert OURS in answer(config, f"sm-{job}"), job


@pytest.mark.parametrize("pattern", AT_LARGE)
def test_a_general_pattern_takes_no_job_from_us(base: Path, pattern: str) -> None:
    config, _ = written(base, f"Host {pattern}\n    HostName 192.0.2.9\n    ProxyJump gate\n")
    for job in JOBS:
        assert OURS in answer(config, f"sm-{job}"), job


@pytest.mark.parametrize(
    "user",
    [
        "Host sm-dev-*\n    User me\n    ForwardAgent yes\n",
        "Host sm-dev-*\n    User me\nHost other\n    HostName 192.0.2.9\n",
        "Host sm-dev-*\nMatch host other\n    ProxyJump gate\n",
    ],
)
def test_a_block_without_a_destination_takes_no_job_from_us(base: Path, user: str) -> None:
    config, _ = written(base, user)
    assert OURS in answer(config, "sm-dev-1")


def test_options_of_an_included_file_belong_to_the_block(base: Path) -> None:
    (base / "where").write_text("HostName 192.0.2.9\nHost sm-far-*\n    User me\n")
    (base / "where").chmod(0o600)
    config, _ = written(base, f"Host sm-dev-*\n    Include {base}/where\n    User me\n")
    assert "hostname 192.0.2.9\n" in answer(config, "sm-dev-1")
    assert OURS in answer(config, "sm-far-1")


def test_a_stub_that_matches_an_excluded_pattern_is_removed(base: Path) -> None:
    config, settings = written(base, "Host sm-dev-*\n    HostName 192.0.2.9\n")
    stubs = [Stub("sm-dev-1", "root", ""), Stub("sm-eu-1", "root", "")]
    config_writer.apply(config_writer.plan_stubs(settings, stubs))
    assert config_writer.read_stubs(settings) == stubs[1:]
    config.write_text("Host sm-eu-?\n    HostName 192.0.2.9\n")
    config_writer.apply(config_writer.plan(config, settings, ["/opt/bin/sm-proxy"]))
    assert config_writer.read_stubs(settings) == []


def test_each_context_excludes_the_hosts_of_its_prefix() -> None:
    taken = ["sm-mine", "sm-eu-mine", "sm-dev-*", "sm-eu*", "sm-eu-dev-*", "sm-*-dev", "*.lan", "*"]
    known = ["sm-", "sm-eu-"]
    assert host_patterns.excluded_patterns(taken, "sm-eu-", known) == [
        "sm-eu-mine",
        "sm-eu-dev-*",
        "*.lan",
    ]
    assert host_patterns.excluded_patterns(taken, "sm-", known) == [
        *("sm-mine", "sm-dev-*", "sm-eu*", "sm-*-dev", "*.lan"),
    ]
