"""A changed host key is accepted if the container's log names it; otherwise it is refused."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import public_key
from tests.e2e.cache_test import KILL_SSHD, lookups, warm
from tests.e2e.labs import Job, Lab, code_of, last_line
from tests.fakes import blob_of
from tests.waits import await_true

pytestmark = pytest.mark.e2e

RESTART = f"""
given=${{SM_PROXY_RUN_DIR:-/run/sm-proxy}}/given
for process in /proc/[0-9]*; do  # the setting that the first server was started with
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


@pytest.fixture
def job(lab: Lab) -> Job:
    """A job that ssh has connected to once, and whose host keys may change."""
    launched = lab.launch("host-key")
    lab.ok(launched.host, "true")
    return launched


def restarted(job: Job) -> str:
    """Restart the container's sshd at the same port with a new host key; return the key."""
    return job.lab.ok(job.host, RESTART % job.where()[1]).decode().strip()


def known(job: Job) -> list[str]:
    """The fingerprints in the log's newest marker."""
    data = json.loads(job.lab.sm_proxy("resolve", job.host, "--json").stdout)["data"]
    return [public_key.describe_blob(blob_of(key)) for key in data["host_keys"]]


def test_a_new_host_key_is_accepted_when_the_log_names_it(lab: Lab, job: Job) -> None:
    job.claim(host_keys=[restarted(job)])
    before = len(lab.calls())
    done = lab.ssh(job.host, "echo here")  # the cache has the old key
    assert (done.stdout, done.stderr) == (b"here\n", b""), done.stderr.decode()
    assert "GetLogEvents" in lookups(lab, before)
    asked = [call["operation"] for call in lab.calls()[before:]]
    assert asked.count("StartSession") == 1
    assert warm(lab, job.host) == ["StartSession"]


def test_the_wait_for_a_lagging_log_outlasts_the_connect_timeout(lab: Lab, job: Job) -> None:
    """ssh has received a greeting by then, and ConnectTimeout only limits the time until it."""
    for _ in range(3):
        key = restarted(job)
        with lab.faults(log_delay_ms=5000):
            job.claim(host_keys=[key])
            began = time.monotonic()
            done = lab.ssh("-oConnectTimeout=4", job.host, "echo here")
        if b"timed out during banner exchange" not in done.stderr:
            break  # else this machine is so busy that the greeting itself came too late
    assert done.stdout == b"here\n", done.stderr.decode()
    assert time.monotonic() - began > 4
    assert [line.split()[0] for line in done.stderr.decode().splitlines()] == ["sm-proxy:"]


def test_the_wait_ends_when_ssh_is_killed(lab: Lab, job: Job) -> None:
    restarted(job)
    words = ("ssh", "-F", lab.config, job.host, "true")
    process = lab.popen(*words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"another host key" in process.stderr.readline()
    process.kill()
    process.communicate()
    await_true(lambda: not lab.helpers() and not lab.sessions(), 60, lab.helpers)


def test_a_host_key_that_the_log_does_not_name_is_refused(
    lab: Lab, job: Job, tmp_path: Path
) -> None:
    expected = known(job)
    seen = public_key.describe_blob(blob_of(restarted(job)))
    unknown = {"SM_PROXY_CACHE_DIR": str(tmp_path)}
    with ThreadPoolExecutor() as pool:  # each one waits, because the log may lag
        careless = pool.submit(refuses_whatever_ssh_was_told, job)
        remembered = pool.submit(refused, job)
        first, second = refused(job, env=unknown), remembered.result()
        careless.result()
    address, port = job.where()
    for line in (first, second):
        assert all(text in line for text in (*expected, seen))
        assert (
            f"{address} port {port} (through bastion {lab.environment['SM_PROXY_LAB_BASTION']})"
            in line
        )
        assert f"job {job.name}, node algo-1, stream {job.name}/algo-1-" in line
        assert f"sm-proxy doctor {job.host}" in line
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def refused(job: Job, **options: Any) -> str:
    """Let ssh refuse the key; return our last line, which is also in the state folder."""
    done = job.lab.ssh(job.host, "echo in", **options)
    assert (done.returncode, done.stdout) == (255, b"")
    assert code_of(done) == "host-key-changed"
    assert done.stderr.count(b"host-key-changed") == 1
    assert done.stderr.index(b"host-key-changed") < done.stderr.index(b"HAS CHANGED")
    line = last_line(done)
    await_true(lambda: kept(job.lab) == line, 60, lambda: (kept(job.lab), line))
    return line


def kept(lab: Lab) -> str:
    """The last line that is kept in the state folder."""
    path = lab.state / "last-error.json"
    return str(json.loads(path.read_text())["line"]) if path.exists() else ""


def refuses_whatever_ssh_was_told(job: Job) -> None:
    careless = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    done = job.lab.ssh(*careless, job.host, "echo in")
    assert (done.returncode, done.stdout) == (255, b"")
    assert code_of(done) == "host-key-changed"
