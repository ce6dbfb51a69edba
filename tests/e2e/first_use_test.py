"""The article's own container: it only starts sshd, prints `ip addr` and sleeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy_lab.machines import debian
from tests.e2e.labs import Lab, await_true, code_of, last_line, running
from tests.e2e.refusal_test import script
from tests.lab.conftest import ISOLATED

pytestmark = pytest.mark.e2e

ARTICLE = """
mkdir -p /etc/ssh /run/sshd /root/.ssh
echo "$SM_PROXY_AUTHORIZED_KEY" > /root/.ssh/authorized_keys
chmod 700 /root/.ssh; chmod 600 /root/.ssh/authorized_keys
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/own_key
printf 'HostKey /etc/ssh/own_key\\nUsePAM no\\nSubsystem sftp internal-sftp\\n' > /etc/ssh/own
${SM_PROXY_SSHD:-/usr/sbin/sshd} -f /etc/ssh/own
echo "----- ip addr -----"
ip addr
sleep 600
"""


ROOTS = pytest.mark.skipif(not (ISOLATED and debian.available()), reason="needs root and apt-get")


@pytest.fixture(scope="module", params=["host", pytest.param("debian", marks=ROOTS)])
def article(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A lab whose container is the article's, on this machine's files and on a root of its own."""
    folder = tmp_path_factory.mktemp("article")
    program = script(folder / "train", ARTICLE)
    with running(folder, "--bare", "--image", request.param, "--train", program) as lab:
        if not lab.netns:
            pytest.skip("`ip addr` tells no container's address without namespaces")
        yield lab


def test_it_is_resolved_from_ip_addr(article: Lab) -> None:
    data = json.loads(article.sm_proxy("resolve", article.host, "--json").stdout)["data"]
    assert data["source"] == "ip-addr"
    assert article.environment["SM_PROXY_LAB_ADDRESSES"] == f"algo-1={data['address']}:22"
    assert (data["host_keys"], data["user"]) == ([], None)


def test_it_is_refused_without_the_users_trust(article: Lab) -> None:
    done = article.ssh(article.host, "true")
    assert done.returncode == 255
    assert code_of(done) == "host-key-unknown"
    asked_for = f'trust_first_use = true under [hosts."{article.host}"] in {settings(article)},'
    assert asked_for in last_line(done)
    # Nor does anything else say that one could get there.
    waited = article.sm_proxy("wait", article.host)
    assert (waited.returncode, code_of(waited)) == (1, "host-key-unknown")
    assert listed(article) == (False, "host-key-unknown")
    assert not any(call["operation"] == "StartSession" for call in article.calls())


def settings(lab: Lab) -> Path:
    return Path(lab.environment["SM_PROXY_CONFIG_DIR"]) / "config.toml"


def listed(lab: Lab) -> tuple[bool | None, str | None]:
    """Whether the list says that the job can be reached, and the code of the reason."""
    data = json.loads(lab.sm_proxy("list", "--check", "--json").stdout)["data"]
    (job,) = (job for job in data["jobs"] if job["job"] == lab.job)
    return job["reachable"], job["reason"] and job["reason"].split(":")[0]


def test_a_key_that_is_pinned_once_needs_no_asking_any_more(article: Lab) -> None:
    asked = article.ssh(article.host, "id -un", env={"SM_PROXY_TRUST_FIRST_USE": "1"})
    assert asked.stdout == b"root\n", asked.stderr
    assert b"on first use" in asked.stderr
    before = len(article.calls())
    later = article.ssh(article.host, "id -un")
    assert (later.stdout, later.stderr) == (b"root\n", b"")
    made = {call["operation"] for call in article.calls()[before:]}
    assert not made & {"DescribeTrainingJob", "GetLogEvents"}
    waited = article.sm_proxy("wait", article.host)
    assert waited.returncode == 0, waited.stderr
    assert listed(article) == (True, None)
    (pin,) = (article.state / "first-use").iterdir()
    pin.unlink()
    assert code_of(article.ssh(article.host, "true")) == "host-key-unknown"


def test_with_trust_it_connects_and_stays_pinned(article: Lab) -> None:
    settings(article).parent.mkdir(parents=True, exist_ok=True)
    settings(article).write_text(f'[hosts."{article.host}"]\ntrust_first_use = true\n')
    first = article.ssh(article.host, "id -un")
    assert first.stdout == b"root\n", first.stderr
    assert b"on first use" in first.stderr
    second = article.ssh(article.host, "id -un")
    assert (second.stdout, second.stderr) == (b"root\n", b"")
    pin = next((article.state / "first-use").iterdir())
    assert pin.stat().st_mode & 0o777 == 0o600
    # Another key in its place: ssh refuses, whatever the container says.
    pin.write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1WPFtcsn2Qsy5Uf9dxpbUR8VuA4tOSFOdgbgjckIHq"
    )
    refused = article.ssh(article.host, "true")
    assert refused.returncode == 255
    assert b"HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    assert code_of(refused) == "host-key-changed"
    assert "pinned on first use" in last_line(refused)
    assert listed(article) == (False, "host-key-changed")
    examined = json.loads(
        article.sm_proxy("doctor", article.host, "--ssh-config", article.config, "--json").stdout
    )["data"]
    assert examined["cause"] == "host-key-changed"
    (check,) = (check for check in examined["checks"] if check["id"] == "host-key")
    assert "pinned on first use: SHA256:" in check["reason"]
    assert "log" not in check["reason"]
    assert f"delete {pin} to trust anew" in check["fix"]
    await_true(lambda: not article.sessions(), 60, article.sessions)
