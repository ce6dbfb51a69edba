"""A container's host key is another one: accepted where its log says so, else refused in words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import public_key
from tests.e2e.cache_test import KILL_SSHD, lookups, warm
from tests.e2e.labs import Lab, await_true, code_of, last_line, running
from tests.e2e.refusal_test import claim, marker, where
from tests.fakes import blob_of

pytestmark = pytest.mark.e2e

RESTART = f"""
given=${{SM_PROXY_RUN_DIR:-/run/sm-proxy}}/given
for process in /proc/[0-9]*; do  # what the first one was started with: the image may have none
    tr '\\0' ' ' <$process/cmdline 2>/dev/null | grep -q "serve[.]sh $(dirname $given) " &&
        tr '\\0' '\\n' <$process/environ | sed -n 's/^SM_PROXY_SSHD=//p' >$given
done
sshd=$(cat $given)
sshd=${{sshd:-/usr/sbin/sshd}}
{KILL_SSHD}
rm -f $run/ssh_host_*_key*
ssh-keygen -q -t ed25519 -N '' -C '' -f $run/ssh_host_ed25519_key
sed -i /ssh_host_ecdsa_key/d $run/sshd_config
rm -f $run/sshd.pid
for _ in 1 2 3 4 5 6 7 8 9 10; do  # the port is free when the old listener is gone
    $sshd -f $run/sshd_config -p %d </dev/null >/dev/null 2>&1
    for _ in 1 2 3 4 5 6 7 8 9 10; do  # it is written once somebody listens
        sleep 0.1
        [ -s $run/sshd.pid ] && break 2
    done
done
cut -d ' ' -f 1,2 $run/ssh_host_ed25519_key.pub
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own: its container's keys change."""
    with running(tmp_path_factory.mktemp("host-key")) as lab:
        yield lab


def restarted(lab: Lab) -> str:
    """Start the container's sshd anew, with another key, at the same place; gives the key."""
    return lab.ok(lab.host, RESTART % where(lab)[1]).decode().strip()


def known(lab: Lab) -> list[str]:
    """The fingerprints that the log's newest marker names."""
    data = json.loads(lab.sm_proxy("resolve", lab.host, "--json").stdout)["data"]
    return [public_key.describe_blob(blob_of(key)) for key in data["host_keys"]]


def test_a_container_that_restarted_is_accepted_because_its_log_says_so(own: Lab) -> None:
    own.ok(own.host, "true")
    key = restarted(own)
    address, port = where(own)
    claim(own, marker(address, port, own.environment["SM_PROXY_LAB_USER"], key))
    before = len(own.calls())
    done = own.ssh(own.host, "echo here")  # what is remembered has the old key
    assert (done.stdout, done.stderr) == (b"here\n", b""), done.stderr.decode()
    assert "GetLogEvents" in lookups(own, before)
    asked = [call["operation"] for call in own.calls()[before:]]
    assert asked.count("StartSession") == 1
    assert warm(own) == ["StartSession"]


def test_a_log_that_lags_is_waited_for_longer_than_the_connect_timeout(own: Lab) -> None:
    """ssh has been greeted by then, and its ConnectTimeout is over with the greeting."""
    own.ok(own.host, "true")
    key = restarted(own)
    address, port = where(own)
    line = marker(address, port, own.environment["SM_PROXY_LAB_USER"], key)
    with own.faults(log_delay_ms=6000):
        claim(own, line, 1)
        done = own.ssh("-oConnectTimeout=5", own.host, "echo here")
    assert done.stdout == b"here\n", done.stderr.decode()
    assert [line.split()[0] for line in done.stderr.decode().splitlines()] == ["sm-proxy:"]


def test_the_wait_ends_when_ssh_goes(own: Lab) -> None:
    own.ok(own.host, "true")
    key = restarted(own)
    words = ("ssh", "-F", own.config, own.host, "true")
    process = own.popen(*words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"another host key" in process.stderr.readline()
    process.kill()
    process.communicate()
    await_true(lambda: not own.helpers() and not own.sessions(), 60, own.helpers)
    address, port = where(own)
    claim(own, marker(address, port, own.environment["SM_PROXY_LAB_USER"], key), 2)


def test_a_key_that_the_log_does_not_know_is_refused(own: Lab, tmp_path: Path) -> None:
    own.ok(own.host, "true")
    expected = known(own)
    seen = public_key.describe_blob(blob_of(restarted(own)))
    unknown = {"SM_PROXY_CACHE_DIR": str(tmp_path)}
    with ThreadPoolExecutor() as pool:  # it takes a while, until the log must have shown it
        careless = pool.submit(refuses_whatever_ssh_was_told, own)
        remembered = pool.submit(refused, own)
        first, second = refused(own, env=unknown), remembered.result()
        careless.result()
    address, port = where(own)
    for line in (first, second):
        assert all(text in line for text in (*expected, seen))
        assert f"{address} port {port} (through {own.environment['SM_PROXY_LAB_BASTION']})" in line
        assert f"job {own.job}, node algo-1, stream {own.job}/algo-1-" in line
        assert f"sm-proxy doctor {own.host}" in line
    await_true(lambda: not own.sessions(), 60, own.sessions)


def refused(lab: Lab, **options: Any) -> str:
    """What ssh's user is told, which is kept as well; ssh itself has refused the key."""
    done = lab.ssh(lab.host, "echo in", **options)
    assert (done.returncode, done.stdout) == (255, b"")
    assert code_of(done) == "host-key-changed"
    assert done.stderr.count(b"host-key-changed") == 1
    assert done.stderr.index(b"host-key-changed") < done.stderr.index(b"HAS CHANGED")
    line = last_line(done)
    await_true(lambda: kept(lab) == line, 60, lambda: (kept(lab), line))
    return line


def kept(lab: Lab) -> str:
    """The last line that was kept."""
    path = lab.state / "last-error.json"
    return str(json.loads(path.read_text())["line"]) if path.exists() else ""


def refuses_whatever_ssh_was_told(own: Lab) -> None:
    careless = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    done = own.ssh(*careless, own.host, "echo in")
    assert (done.returncode, done.stdout) == (255, b"")
    assert code_of(done) == "host-key-changed"
