"""A container without our entrypoint: it only starts sshd, prints `ip addr` and sleeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import Job, Lab, code_of, last_line
from tests.fakes import HOST_KEY
from tests.lab.conftest import needs_debian
from tests.soak import only_in_soak
from tests.waits import await_true

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


ROOTS = (
    needs_debian,
    only_in_soak,
    pytest.mark.xdist_group("images_test"),  # whose worker has a Debian lab
)


@pytest.fixture(params=["host", pytest.param("debian", marks=ROOTS)])
def lab(request: pytest.FixtureRequest) -> Lab:
    """A lab whose containers have this machine's files, or a Debian root."""
    if request.param == "host":
        found: Lab = request.getfixturevalue("host_lab")
    else:
        found = request.getfixturevalue("image_lab")(request.param)
    if not found.netns:
        pytest.skip("without namespaces, `ip addr` does not show a container's address")
    return found


@pytest.fixture
def article(lab: Lab) -> Job:
    """A job with such a container."""
    job = lab.launch("article", "/bin/sh", "-c", 'eval "$RUN"', environment={"RUN": ARTICLE})
    await_true(lambda: "scope global" in job.log(), 60, job.log)
    return job


def test_the_address_is_found_in_the_output_of_ip_addr(lab: Lab, article: Job) -> None:
    data = json.loads(lab.sm_proxy("resolve", article.host, "--json").stdout)["data"]
    assert data["source"] == "ip-addr"
    assert f"inet {data['address']}/" in article.log()
    assert (data["port"], data["host_keys"], data["user"]) == (22, [], None)


def test_an_unknown_host_key_is_refused_unless_the_user_trusts_it(lab: Lab, article: Job) -> None:
    before = len(lab.calls())
    done = lab.ssh(article.host, "true")
    assert done.returncode == 255
    assert code_of(done) == "host-key-unknown"
    assert f"`sm-proxy settings {article.host} --set trust_first_use=true`" in last_line(done)
    # The other commands do not connect either.
    waited = lab.warm("wait", article.host)
    assert (waited.returncode, code_of(waited)) == (1, "host-key-unknown")
    assert listed(article) == (False, "host-key-unknown")
    address = json.loads(lab.sm_proxy("resolve", article.host, "--json").stdout)["data"]["address"]
    made = lab.calls()[before:]
    started = [call["request"] for call in made if call["operation"] == "StartSession"]
    assert [address] not in [request.get("Parameters", {}).get("host") for request in started]


def settings(lab: Lab) -> Path:
    return Path(lab.environment["SM_PROXY_CONFIG_DIR"]) / "config.toml"


def listed(job: Job) -> tuple[bool | None, str | None]:
    """Whether the list says that the job can be reached, and the code of the reason."""
    data = json.loads(job.lab.warm("list", "--check", "--json").stdout)["data"]
    (found,) = (item for item in data["jobs"] if item["job"] == job.name)
    return found["reachable"], found["reason"] and found["reason"].split(":")[0]


def test_a_pinned_key_needs_no_lookup(lab: Lab, article: Job) -> None:
    asked = lab.ssh(article.host, "id -un", env={"SM_PROXY_TRUST_FIRST_USE": "1"})
    assert asked.stdout == b"root\n", asked.stderr
    assert b"on first use" in asked.stderr
    before = len(lab.calls())
    later = lab.ssh(article.host, "id -un")
    assert (later.stdout, later.stderr) == (b"root\n", b"")
    made = {call["operation"] for call in lab.calls()[before:]}
    assert not made & {"DescribeTrainingJob", "GetLogEvents"}
    waited = lab.warm("wait", article.host)
    assert waited.returncode == 0, waited.stderr
    assert listed(article) == (True, None)
    pin(article).unlink()
    assert code_of(lab.ssh(article.host, "true")) == "host-key-unknown"


def pin(job: Job) -> Path:
    """The only file that pins a key: this job's."""
    (path,) = (job.lab.state / "first-use").iterdir()
    return path


@pytest.fixture
def trusted(lab: Lab, article: Job) -> Iterator[Job]:
    """The article's job, trusted on first use by the user's settings."""
    path = settings(lab)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[hosts."{article.host}"]\ntrust_first_use = true\n')
    yield article
    path.unlink()
    pin(article).unlink()


def test_with_trust_ssh_connects_and_the_key_stays_pinned(lab: Lab, trusted: Job) -> None:
    first = lab.ssh(trusted.host, "id -un")
    assert first.stdout == b"root\n", first.stderr
    assert b"on first use" in first.stderr
    second = lab.ssh(trusted.host, "id -un")
    assert (second.stdout, second.stderr) == (b"root\n", b"")
    path = pin(trusted)
    assert path.stat().st_mode & 0o777 == 0o600
    # If another key is pinned, ssh refuses the container.
    path.write_text(HOST_KEY)
    refused = lab.ssh(trusted.host, "true")
    assert refused.returncode == 255
    assert b"HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    assert code_of(refused) == "host-key-changed"
    assert "pinned on first use" in last_line(refused)
    assert listed(trusted) == (False, "host-key-changed")
    words = ("doctor", trusted.host, "--ssh-config", lab.config, "--json")
    examined = json.loads(lab.warm(*words).stdout)["data"]
    assert examined["cause"] == "host-key-changed"
    (check,) = (check for check in examined["checks"] if check["id"] == "host-key")
    assert "pinned on first use: SHA256:" in check["reason"]
    assert "log" not in check["reason"]
    assert f"delete {path} to trust anew" in check["fix"]
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
