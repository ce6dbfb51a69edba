"""A job trains even if ssh is broken: without a long delay, and with the same exit code."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.soak import cases

from .conftest import BUSYBOX, ISOLATED, SHELLS, write_busybox

CONTAINER = Path(__file__).parents[2] / "container"
MARKER = re.compile(r'\{"sm_proxy_marker".*')  # other output may stand before it on the line
pytestmark = pytest.mark.skipif(not ISOLATED, reason="needs namespaces")

# Shell code that breaks ssh (run as root in its own namespaces; `$fakes` is a writable folder), and
# the problem in the marker: None if the program may end before the marker.
HIDE = "hide() { for f in /usr/local/bin/$1 /usr/bin/$1 /bin/$1 /usr/sbin/$1; do"
HIDE += ' [ ! -e "$f" ] || mount --bind /dev/null "$f"; done; rm -f $applets/$1; }\n'
FAKE = "fake() { printf '#!/bin/sh\\n%s\\n' \"$2\" >$fakes/$1; chmod 755 $fakes/$1; }\n"
EVERYWHERE = "for d in /run /tmp /dev/shm /var/tmp /root /opt/ml/output; do mkdir -p $d; "
WAYS = {
    "no server": ("export SM_PROXY_SSHD=/no/such/sshd", "no sshd in this image"),
    "sshd dies at once": (
        "fake sshd 'exit 1'; export SM_PROXY_SSHD=$fakes/sshd",
        "sshd: ended without a message",
    ),
    "sshd hangs": ("fake sshd 'exec sleep 600'; export SM_PROXY_SSHD=$fakes/sshd", None),
    "no ssh-keygen": (
        "fake sshd 'exit 1'; hide ssh-keygen; export SM_PROXY_SSHD=$fakes/sshd",
        "ssh-keygen could not make a key of type ed25519",
    ),
    "ssh-keygen fails": (
        (
            "fake sshd 'exit 1'; fake ssh-keygen 'exit 9'; export SM_PROXY_SSHD=$fakes/sshd; "
            "mount --bind $fakes/ssh-keygen /usr/bin/ssh-keygen"
        ),
        "ssh-keygen could not make a key of type ed25519",
    ),
    "ssh-keygen hangs": (
        (
            "fake sshd 'exit 1'; fake ssh-keygen 'sleep 600'; export SM_PROXY_SSHD=$fakes/sshd; "
            "mount --bind $fakes/ssh-keygen /usr/bin/ssh-keygen"
        ),
        None,
    ),
    "port in use": (
        (
            "bind='import socket, time; s = socket.create_server((chr(48), 2022))'; "
            "python3 -c \"$bind; open('/tmp/bound', 'w'); time.sleep(60)\" & "
            "until [ -e /tmp/bound ]; do sleep 0.05; done; "
            "fake sshd \"exec python3 -c '$bind'\"; export SM_PROXY_SSHD=$fakes/sshd"
        ),
        "Address already in use",
    ),
    "read-only run folder": (
        "mount -t tmpfs -o ro none /run; export SM_PROXY_RUN_DIR=/run/job SM_PROXY_SSHD=/none",
        "SM_PROXY_RUN_DIR cannot be written to",
    ),
    "nowhere to write": (
        EVERYWHERE + "mount -t tmpfs -o ro none $d; done; export SM_PROXY_SSHD=/none",
        "no writable folder for run-time files",
    ),
    "full disks": (
        EVERYWHERE + "mount -t tmpfs -o size=4k none $d; done; export SM_PROXY_SSHD=/none",
        "no writable folder for run-time files",
    ),
    "bad keys": (
        "export SM_PROXY_AUTHORIZED_KEY='-----BEGIN' SM_PROXY_AUTHORIZED_KEY_2='$(reboot)'",
        "SM_PROXY_AUTHORIZED_KEY_2 holds no public key",
    ),
    "bad settings": (
        (
            "export SM_PROXY_PORT=ssh SM_PROXY_WAIT=soon SM_PROXY_KEEP_FAILURE=-1"
            " SM_PROXY_REFRESH=x SM_PROXY_KEEP_CONNECTED=ever"
            " SM_PROXY_KEYS_S3=bucket SM_PROXY_SSHD=sshd"
        ),
        "SM_PROXY_PORT is not a port number",
    ),
    "no home": ("unset HOME; export SM_PROXY_SSHD=/none", "no sshd in this image"),
    "a user without a name": (
        (
            "fake sshd 'exit 1'; export SM_PROXY_SSHD=$fakes/sshd; "
            'set -- /usr/bin/setpriv --reuid 12345 --regid 12345 --clear-groups "$@"'
        ),
        "user id 12345 has no entry in /etc/passwd",
    ),
    "no setsid": ("hide setsid; export SM_PROXY_SSHD=/none", "no sshd in this image"),
    "no small tools": ("hide id; hide cut; hide tr; hide sed; hide ls; hide dd; hide date", None),
    "no tools at all": ("export PATH=/nowhere", None),
    "a shell that ends at errors": (
        (
            EVERYWHERE + "mount -t tmpfs -o ro none $d; done; export SM_PROXY_SSHD=/none; "
            "mount --bind /bin/bash /bin/sh; export SHELLOPTS=errexit:nounset"
        ),
        "no writable folder for run-time files",
    ),
    "an address with a line of sshd's": (
        "export SM_PROXY_LISTEN='127.0.0.1\nPasswordAuthentication yes'",
        "SM_PROXY_LISTEN is not an IPv4 address",
    ),
    "a folder with a line of sshd's": (
        "export SM_PROXY_SSHD=/none SM_PROXY_RUN_DIR='/tmp/x\"\nPasswordAuthentication yes'",
        "SM_PROXY_RUN_DIR is not an absolute path of letters, digits and ._/@+=:,-",
    ),
    "a folder that is relative": (
        "export SM_PROXY_SSHD=/none SM_PROXY_RUN_DIR=run",
        "SM_PROXY_RUN_DIR is not an absolute path of letters, digits and ._/@+=:,-",
    ),
    "a refresh without a pause": (
        "fake sshd 'exit 1'; export SM_PROXY_SSHD=$fakes/sshd SM_PROXY_REFRESH=0",
        "SM_PROXY_REFRESH is not a duration such as 90s or 5m, from 1s to 99999s",
    ),
    "half of our files are missing": (
        "mkdir $fakes/half && cp $1 $fakes/half/ && shift && set -- $fakes/half/entrypoint.sh",
        None,
    ),
}

# These depend on the shell, so they run in both shells, also outside the soak.
IN_BOTH = (
    "no small tools",
    "no tools at all",
    "a shell that ends at errors",
    "nowhere to write",
    "full disks",
)


def run(tmp_path: Path, shell: str, prelude: str, *, marker: bool) -> tuple[int, str, float]:
    """Run a job in its own namespaces until it has trained and, if `marker`, printed its marker.

    Returns:
        Its exit code, its log, and the seconds until its program began.
    """
    applets, argv = tmp_path / "busybox", "/bin/sh"
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shell == "busybox":
        if not BUSYBOX:
            pytest.skip("needs busybox")
        write_busybox(applets)
        path = f"/mnt/busybox:{path}"
        argv = "/mnt/busybox/busybox"
    script = f"""
        mount -t tmpfs none /mnt && mkdir /mnt/busybox /mnt/us /mnt/fakes && fakes=/mnt/fakes
        applets=/mnt/busybox
        chmod 755 /mnt
        [ ! -d {applets} ] || cp -a {applets}/. $applets/
        mount --bind {CONTAINER} /mnt/us
        for d in /tmp /run /dev/shm /var/tmp /root /opt; do
            mount -t tmpfs -o mode=1777 none $d
        done
        chmod 755 /run /root
        export PATH={path} HOME=/root
        {HIDE}{FAKE}
        set -- /mnt/us/entrypoint.sh
        {prelude}
        [ {argv} = /bin/sh ] || mount --bind {argv} /bin/sh
        exec "$@" /bin/sh -c 'echo trained; read -r _ || :; exit 42'
    """
    namespaces = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
    began = time.monotonic()
    process = subprocess.Popen(
        ["timeout", "--signal=KILL", "120", *namespaces, "/bin/sh", "-c", script],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        log, took = "", float("inf")
        for line in process.stdout:
            log += line
            if line.endswith("trained\n"):  # other output may stand before it
                took = time.monotonic() - began
            if took < float("inf") and (not marker or "sm_proxy_marker" in log):
                break
        log += process.communicate()[0]  # this closes the program's stdin, which ends it
    return process.returncode, log, took


@pytest.mark.parametrize(
    ("way", "shell"),
    cases(
        itertools.product(WAYS, SHELLS),
        dict.fromkeys([*zip(WAYS, itertools.cycle(SHELLS)), *itertools.product(IN_BOTH, SHELLS)]),
    ),
)
def test_the_program_runs_and_the_marker_says_what_failed(
    tmp_path: Path, shell: str, way: str
) -> None:
    prelude, problem = WAYS[way]
    code, log, took = run(tmp_path, shell, prelude, marker=problem is not None)
    assert "trained\n" in log, log
    assert code == 42, log
    assert took < 40, log  # the programs that hang do so for 600 s
    if problem:
        found = [json.loads(marker) for marker in MARKER.findall(log)]
        assert len(found) == 1, log
        assert problem in "; ".join(found[0]["problems"]), log


@pytest.mark.parametrize("way", ["no server", "nowhere to write", "half of our files are missing"])
def test_no_window_waits_without_ssh(tmp_path: Path, way: str) -> None:
    """No user could connect, so a time window would waste money."""
    time_windows = "export SM_PROXY_WAIT=1h SM_PROXY_KEEP_FAILURE=1h SM_PROXY_KEEP_CONNECTED=1h; "
    code, log, took = run(tmp_path, "sh", time_windows + WAYS[way][0], marker=False)
    assert code == 42, log
    assert took < 40, log


@pytest.mark.parametrize("link", ["ln -s us/entrypoint.sh /mnt/train", "ln -s /mnt/us /mnt/train"])
def test_the_entrypoint_can_be_started_through_a_link(tmp_path: Path, link: str) -> None:
    prelude = f"{link}; ln -s ../mnt/train /tmp/train; export SM_PROXY_SSHD=/none; "
    prelude += "set -- /tmp/train; [ ! -d $1 ] || set -- $1/entrypoint.sh"
    code, log, _ = run(tmp_path, "sh", prelude, marker=True)
    assert code == 42, log
