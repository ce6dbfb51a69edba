"""The entrypoint: its marker, the problems in it, and the job's program."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess

import pytest

from tests.soak import cases, product

from .conftest import (
    ISOLATED,
    KEY,
    OTHER_SHELL,
    SHELLS,
    Box,
    marker_of,
    needs_container,
    shell_function,
    until_ready,
)

SECRET = "/v2/credentials/do-not-print-me"

in_sh = pytest.mark.parametrize("box", cases(SHELLS, ["sh"]), indirect=True)
in_other_shell = pytest.mark.parametrize("box", cases(SHELLS, [OTHER_SHELL]), indirect=True)


def test_the_marker_describes_the_container(box: Box) -> None:
    code, lines = box.run(
        "sh", "-c", until_ready(box), SM_PROXY_AUTHORIZED_KEY=KEY, CREDENTIALS=SECRET
    )
    marker = marker_of(lines)
    assert code == 0
    assert marker["sm_proxy_marker"] == 1
    assert marker["node"] == "algo-2"
    cable = box.cable
    assert marker["addresses"] == [
        {"name": cable.device, "address": cable.address, "prefix": cable.prefix}
    ]
    assert marker["user"] == box.user
    assert [key.split()[0] for key in marker["host_keys"]] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    assert {"sshd", "sftp", "scp", "environment"} <= set(marker["features"])
    assert marker["problems"] == []
    line = next(line for line in lines if "sm_proxy_marker" in line)
    assert line == json.dumps(marker)
    assert len(line) < 8192
    assert SECRET not in "\n".join(lines)


@in_other_shell
def test_a_large_variable_does_not_displace_others(box: Box) -> None:
    """Sessions other than login shells lack only the large variables, in any order."""
    large = {"SM_TRAINING_ENV": "x" * 130_000, "SM_HPS": "x" * 130_000}
    small = {f"SM_{number}": "here" for number in range(50)}
    code, _ = box.run("sh", "-c", until_ready(box), **large, **small)
    assert code == 0
    config = (box.run_dir / "sshd_config").read_text(encoding="utf-8")
    assert "SM_TRAINING_ENV" not in config
    assert [name for name in small if f'"{name}=here"' not in config] == []


def test_sshd_listens_when_the_marker_is_printed(box: Box) -> None:
    process = box.start("sleep", "30", SM_PROXY_AUTHORIZED_KEY=KEY)
    assert process.stdout is not None
    marker = json.loads(process.stdout.readline())
    with box.connect(marker["port"]) as connection:
        assert connection.recv(8).startswith(b"SSH-2.0-")


@pytest.mark.parametrize(("box", "newer"), product(SHELLS, [True, False]), indirect=["box"])
def test_one_wrong_key_does_not_lock_the_bastion_out(box: Box, *, newer: bool) -> None:
    """We turn off sshd's penalties for addresses, and an older sshd without them still starts."""
    dump = " && echo 'PerSourcePenalties crash:90.000000 authfail:5.000000'" if newer else ""
    script = (  # a fake sshd that knows the option: this machine's may not
        f'case " $* " in *" -T "*) {box.server} "$@"{dump}; exit ;; esac; config=$4\n'
        f'sed "s/^PerSourcePenalties no$//" $config >$config.older\n'
        f'shift 4; exec {box.server} -D -e -f $config.older "$@"'
    )
    sshd = box.add_program("sshd", script)
    code, lines = box.run("sh", "-c", until_ready(box), SM_PROXY_SSHD=sshd)
    assert code == 0, lines
    assert "sshd" in marker_of(lines)["features"]
    config = (box.run_dir / "sshd_config").read_text(encoding="utf-8").splitlines()
    assert ("PerSourcePenalties no" in config) == newer


HIDE_IP = "for t in /sbin/ip /bin/ip /usr/bin/ip /usr/sbin/ip; do [ -e $t ] && "
HIDE_IP += "mount --bind /dev/null $t; done; "


@needs_container
@pytest.mark.parametrize("proc", [True, False])
def test_the_marker_has_the_address_without_ip_and_proc(box: Box, *, proc: bool) -> None:
    if box.shell == "busybox" and not proc:
        pytest.skip("this busybox has its own ip built in, found without a file")
    hide = HIDE_IP + ("" if proc else "mount -t tmpfs none /proc; ")
    entry = ["sh", "-c", f'{hide} exec "$@"', "sh", box.inside("opt/sm-proxy/entrypoint.sh")]
    code, lines = box.run_directly([*entry, "sh", "-c", until_ready(box)])
    assert code == 0, lines
    cable = box.cable
    found = {"name": "eth0", "address": cable.address, "prefix": cable.prefix}
    if not proc:  # only /etc/hosts is left
        found |= {"name": "unknown", "prefix": 32}
    assert marker_of(lines)["addresses"] == [found]


@needs_container
@pytest.mark.parametrize("tools", ["env -0", "awk", "env"])
def test_the_jobs_environment_is_found_without_proc(box: Box, tools: str) -> None:
    """It includes the keys, with each program that may print it."""
    if box.shell == "busybox" and tools != "env -0":
        pytest.skip("this busybox has its own env and awk built in")
    hide = "mount -t tmpfs none /proc; "
    if tools != "env -0":
        weak = box.add_program("weak", '[ "$1" != -0 ] || exit 1\nexec /opt/program/env "$@"')
        shutil.copy("/usr/bin/env", box.root / "opt/program/env")
        hide += f"mount --bind {weak} /usr/bin/env; "
    if tools == "env":
        hide += "mount --bind /dev/null $(readlink -f /usr/bin/awk); "
    entry = ["sh", "-c", f'{hide} exec "$@"', "sh", box.inside("opt/sm-proxy/entrypoint.sh")]
    job = {"SM_PROXY_AUTHORIZED_KEY_2": KEY, "SM_PROXY_KEEP_CONNECTED": "1s", "run": "of the job"}
    code, lines = box.run_directly([*entry, "sh", "-c", until_ready(box)], **job, TEXT="a='b'\nc=d")
    assert code == 0, lines
    problem = "SM_PROXY_KEEP_CONNECTED has no effect: this container has no /proc/net/tcp"
    assert marker_of(lines)["problems"] == [problem]
    assert (box.run_dir / "authorized_keys").read_text(encoding="utf-8") == f"{KEY}\n"
    words = ["sh", "-c", '. "$0"; echo "$run"; echo "$TEXT"', str(box.run_dir / "environment.sh")]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    # `env` cannot show where a value of several lines ends.
    assert shown == "of the job\na='b'\n" + ("" if tools == "env" else "c=d\n")


def test_the_marker_of_a_processing_job_has_its_node(box: Box) -> None:
    """Its resourceconfig.json is in another folder, and has no interface name."""
    ml = box.root / "opt" / "ml"
    (ml / "config").mkdir()
    config = ml / "input" / "config" / "resourceconfig.json"
    config.unlink()
    moved = {"current_host": "algo-3", "hosts": ["algo-1", "algo-2", "algo-3"]}
    (ml / "config" / config.name).write_text(json.dumps(moved, indent=4), encoding="utf-8")
    marker = marker_of(box.run("sh", "-c", until_ready(box))[1])
    assert marker["node"] == "algo-3"
    assert [each["address"] for each in marker["addresses"]] == [box.cable.address]
    hostfile = (box.run_dir / "hostfile").read_text(encoding="utf-8").split()
    assert hostfile[::2] == moved["hosts"]


@pytest.mark.parametrize(("box", "code"), product(SHELLS, [7, 255]), indirect=["box"])
def test_the_exit_code_is_the_programs(box: Box, code: int) -> None:
    assert box.run("sh", "-c", f"exit {code}")[0] == code


def test_a_program_that_a_signal_ends_gives_128_plus_n(box: Box) -> None:
    kept = {"SM_PROXY_KEEP_SUCCESS": "1h"}
    assert box.run("sh", "-c", "kill -USR1 $$", **kept)[0] == 128 + signal.SIGUSR1


def test_a_missing_program_gives_127(box: Box) -> None:
    assert box.run("/no/such/program")[0] == 127


@in_other_shell
@pytest.mark.skipif(not ISOLATED, reason="needs a process namespace")
def test_the_program_replaces_the_entrypoint(box: Box) -> None:
    _, lines = box.run("sh", "-c", "echo pid=$$ args=$#", "sh", "a b", "")
    assert "pid=1 args=2" in lines


@in_sh
def test_arguments_and_output_are_unchanged(box: Box) -> None:
    _, lines = box.run("printf", "%s|\n", "a  b", "*", "$HOME", "c\\d")
    assert [line for line in lines if line.endswith("|")] == ["a  b|", "*|", "$HOME|", "c\\d|"]


def test_the_program_runs_without_sshd(box: Box) -> None:
    box.hurry()
    failed = box.inside("opt/ml/run/failed")
    code, lines = box.run(
        "sh",
        "-c",
        f"while [ ! -e {failed} ]; do sleep 0.02; done; echo trained; exit 4",
        SM_PROXY_SSHD="/no/such/sshd",
        SM_PROXY_WAIT="20s",
    )
    assert code == 4
    assert "trained" in lines
    marker = marker_of(lines)
    assert marker["host_keys"] == []
    assert marker["features"] == []
    assert marker["problems"] == ["no sshd in this image: install openssh-server"]


def test_problems_are_in_the_marker(box: Box) -> None:
    _, lines = box.run(
        "sh",
        "-c",
        until_ready(box),
        SM_PROXY_WAIT="soon",
        SM_PROXY_AUTHORIZED_KEY='no key; "x\\',
    )
    assert marker_of(lines)["problems"] == [
        "SM_PROXY_WAIT or SM_PROXY_KEEP_* is not a duration such as 10m",
        "SM_PROXY_AUTHORIZED_KEY holds no public key",
        "nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set",
    ]


RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDFoo=="


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (KEY, [KEY]),
        (f"{KEY} me@laptop", [KEY]),
        (f'command="reboot",no-pty {KEY} x', [KEY]),
        (f'command="echo \\"{RSA}\\"" {KEY}', [KEY]),
        (f"{KEY}\n{RSA} b\r\n# comment\n", [KEY, RSA]),
        (f"{KEY} {RSA}", [KEY]),
        (f"\x1b[31m{KEY}\x07", []),
        (f"\x01{KEY}\x07", [KEY]),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB", []),
        ("ssh-ed25519 not*base64", []),
        ("ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5", []),
        ("cert-authority ssh-ed25519", []),
        ("$(reboot) `reboot` *", []),
        ("", []),
    ],
)
def test_keys_lose_their_options_and_comments(value: str, keys: list[str]) -> None:
    script = f'set -f\n{shell_function("bare_keys")}\nbare_keys "$1"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", value], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == keys
