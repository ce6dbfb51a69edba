"""The entrypoint and its job: exit codes, signals, windows, and the marker."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import pytest

from sm_proxy_lab.machines import image

from .conftest import ISOLATED, Box, marker_of, wait_for

SECRET = "/v2/credentials/do-not-print-me"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKS+jA/vc2OBXwOon2mo2vJxYnJ0CkvNHuu0SaqNuTlZ"


def until_ready(box: Box) -> str:
    return f"while [ ! -e {box.inside('opt/ml/run/ready')} ]; do sleep 0.02; done"


def test_marker(box: Box) -> None:
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


def test_a_large_variable_takes_no_others_place(box: Box) -> None:
    """Sessions that are no login shells go without it, and have all others, in whatever order."""
    large = {"SM_TRAINING_ENV": "x" * 130_000, "SM_HPS": "x" * 130_000}
    small = {f"SM_{number}": "here" for number in range(50)}
    code, _ = box.run("sh", "-c", until_ready(box), **large, **small)
    assert code == 0
    config = (box.run_dir / "sshd_config").read_text(encoding="utf-8")
    assert "SM_TRAINING_ENV" not in config
    assert [name for name in small if f'"{name}=here"' not in config] == []


def test_marker_means_that_sshd_listens(box: Box) -> None:
    process = box.start("sleep", "30", SM_PROXY_AUTHORIZED_KEY=KEY)
    assert process.stdout is not None
    marker = json.loads(process.stdout.readline())
    with box.connect(marker["port"]) as connection:
        assert connection.recv(8).startswith(b"SSH-2.0-")


@pytest.mark.parametrize("newer", [True, False])
def test_one_wrong_key_does_not_lock_the_bastion_out(box: Box, *, newer: bool) -> None:
    """Where sshd has penalties for an address they are off; where it has none it still starts."""
    dump = " && echo 'PerSourcePenalties crash:90.000000 authfail:5.000000'" if newer else ""
    script = (  # this machine's sshd, which says that it knows the option, and does not
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


PARAMETERS = "input/config/hyperparameters.json"
DRIVERS = "input/data/sm_drivers/sm_train.sh"
REMOTE = "input/data/sagemaker_remote_function_bootstrap/job_driver.sh"
_DRIVER = "$SM_PYTHON_CMD /opt/ml/input/data/sm_drivers/distributed_drivers"


@pytest.mark.skipif(not ISOLATED, reason="needs port 22 to be free")
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize(
    ("files", "environment", "port"),
    [
        ({PARAMETERS: '{"sagemaker_mpi_enabled": "true", "epochs": "3"}'}, {}, 2222),
        ({PARAMETERS: '{"sagemaker_distributed_dataparallel_enabled" : "True"}'}, {}, 2222),
        ({}, {"SM_FRAMEWORK_PARAMS": '{"sagemaker_mpi_enabled":true}'}, 2222),
        ({}, {"SM_TRAINING_ENV": '{"a":{"sagemaker_mpi_enabled":true}}'}, 2222),
        ({DRIVERS: f"#!/bin/bash\n{_DRIVER}/mpi_driver.py\n"}, {}, 2222),
        ({REMOTE: "python /opt/ml/x/mpi_utils_remote.py\n"}, {}, 2222),
        ({PARAMETERS: '{"sagemaker_mpi_enabled": "true"}'}, {"SM_PROXY_PORT": "22"}, 22),
        ({PARAMETERS: '{"sagemaker_mpi_enabled": "false", "x": "true"}'}, {}, 22),
        ({DRIVERS: f"{_DRIVER}/torchrun_driver.py\n"}, {}, 22),
    ],
)
def test_an_mpi_job_keeps_port_22(
    box: Box, files: dict[str, str], environment: dict[str, str], port: int
) -> None:
    """For the sshd that its framework starts: without it no node gets through to another."""
    for name, content in files.items():
        file = box.root / "opt/ml" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    code, lines = box.run("sh", "-c", until_ready(box), SM_PROXY_AUTHORIZED_KEY=KEY, **environment)
    assert code == 0, lines
    marker = marker_of(lines)
    assert marker["port"] == port
    told = "this is an MPI job, whose nodes need port 22 for an sshd of their own"
    assert [line[: len(told)] for line in marker["problems"]] == ([told] if port != 22 else [])


HIDE_IP = "for t in /sbin/ip /bin/ip /usr/bin/ip /usr/sbin/ip; do [ -e $t ] && "
HIDE_IP += "mount --bind /dev/null $t; done; "


@pytest.mark.skipif(not ISOLATED, reason="needs a container of its own")
@pytest.mark.parametrize("proc", [True, False])
def test_addresses_without_any_tool(box: Box, *, proc: bool) -> None:
    if box.shell == "busybox" and not proc:
        pytest.skip("this busybox has its own ip built in, found without a file")
    hide = HIDE_IP + ("" if proc else "mount -t tmpfs none /proc; ")
    entry = ["sh", "-c", f'{hide} exec "$@"', "sh", box.inside("opt/sm-proxy/entrypoint.sh")]
    code, lines = _plain(box, [*entry, "sh", "-c", until_ready(box)])
    assert code == 0, lines
    cable = box.cable
    found = {"name": "eth0", "address": cable.address, "prefix": cable.prefix}
    if not proc:  # all that is left is /etc/hosts
        found |= {"name": "unknown", "prefix": 32}
    assert marker_of(lines)["addresses"] == [found]


@pytest.mark.skipif(not ISOLATED, reason="needs a container of its own")
@pytest.mark.parametrize("tools", ["env -0", "awk", "env"])
def test_the_jobs_environment_where_there_is_no_proc(box: Box, tools: str) -> None:
    """Keys and all, whichever program of the image tells it."""
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
    code, lines = _plain(box, [*entry, "sh", "-c", until_ready(box)], **job, TEXT="a='b'\nc=d")
    assert code == 0, lines
    told = "SM_PROXY_KEEP_CONNECTED: there is no /proc/net/tcp to tell who is connected"
    assert marker_of(lines)["problems"] == [told]
    assert (box.run_dir / "authorized_keys").read_text(encoding="utf-8") == f"{KEY}\n"
    words = ["sh", "-c", '. "$0"; echo "$run"; echo "$TEXT"', str(box.run_dir / "environment.sh")]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    # The last of them takes the lines of a value for variables.
    assert shown == "of the job\na='b'\n" + ("" if tools == "env" else "c=d\n")


def test_processing_job(box: Box) -> None:
    """Its resourceconfig.json lies in another folder, and names no interface."""
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


def _plain(box: Box, argv: list[str], **environment: str) -> tuple[int, list[str]]:
    """Run something else than the entrypoint in the box."""
    home = box.root / "opt" / "sm-proxy"
    wrapper = home / "plain.sh"
    wrapper.write_text('#!/bin/sh\nexec "$@"\n')
    wrapper.chmod(0o755)
    (home / "entrypoint.sh").rename(home / "real.sh")
    wrapper.rename(home / "entrypoint.sh")
    argv = [word.replace("sm-proxy/entrypoint.sh", "sm-proxy/real.sh") for word in argv]
    return box.run(*argv, **environment)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code(box: Box, code: int) -> None:
    assert box.run("sh", "-c", f"exit {code}")[0] == code


def test_exit_code_of_a_signal(box: Box) -> None:
    kept = {"SM_PROXY_KEEP_SUCCESS": "1h"}
    assert box.run("sh", "-c", "kill -USR1 $$", **kept)[0] == 128 + signal.SIGUSR1


def test_missing_program(box: Box) -> None:
    assert box.run("/no/such/program")[0] == 127


@pytest.mark.skipif(not ISOLATED, reason="needs a process namespace")
def test_program_is_exec_ed(box: Box) -> None:
    _, lines = box.run("sh", "-c", "echo pid=$$ args=$#", "sh", "a b", "")
    assert "pid=1 args=2" in lines


def test_arguments_and_output_are_untouched(box: Box) -> None:
    _, lines = box.run("printf", "%s|\n", "a  b", "*", "$HOME", "c\\d")
    assert [line for line in lines if line.endswith("|")] == ["a  b|", "*|", "$HOME|", "c\\d|"]


def test_program_runs_without_sshd(box: Box) -> None:
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


def test_problems_are_told(box: Box) -> None:
    _, lines = box.run(
        "sh",
        "-c",
        until_ready(box),
        SM_PROXY_WAIT="soon",
        SM_PROXY_AUTHORIZED_KEY='no key; "x\\',
    )
    assert marker_of(lines)["problems"] == [
        "a window of SM_PROXY_WAIT or SM_PROXY_KEEP_* is not a duration such as 10m",
        "SM_PROXY_AUTHORIZED_KEY holds no public key",
        "nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set",
    ]


def test_keep_after_failure(box: Box) -> None:
    began = time.monotonic()
    code, lines = box.run("sh", "-c", "exit 3", SM_PROXY_KEEP_FAILURE="3s")
    assert code == 3
    assert time.monotonic() - began > 1.9  # its clock has no parts of seconds
    expected = "sm-proxy: the program ended with exit code 3; the container stays for 3 s"
    assert expected in lines


def test_keep_under_a_shell_that_ends_at_errors(box: Box) -> None:
    entry = ["bash", "--posix", box.inside("opt/sm-proxy/entrypoint.sh")]
    kept = {"SM_PROXY_KEEP_FAILURE": "1s", "SHELLOPTS": "errexit:nounset"}
    code, lines = _plain(box, [*entry, "sh", "-c", "exit 3"], **kept)
    assert code == 3
    assert "sm-proxy: the program ended with exit code 3; the container stays for 1 s" in lines


def test_keep_is_for_its_own_outcome(box: Box) -> None:
    assert box.run("sh", "-c", "exit 0", SM_PROXY_KEEP_FAILURE="1h")[0] == 0
    assert box.run("sh", "-c", "exit 3", SM_PROXY_KEEP_SUCCESS="1h")[0] == 3


@pytest.mark.parametrize("windows", [{}, {"SM_PROXY_KEEP_FAILURE": "1h"}])
def test_a_program_that_runs_is_held_back_by_nothing(box: Box, windows: dict[str, str]) -> None:
    """And `sm-proxy go` can say so, whether or not there is a window behind it."""
    code, lines = box.run("cat", box.inside("opt/ml/run/window"), **windows)
    assert (code, lines[-1]) == (0, "none")


def test_keep_ends_when_done_is_said(box: Box) -> None:
    process = box.start("sh", "-c", "exit 3", SM_PROXY_KEEP_FAILURE="1h")
    wait_for(box.run_dir / "ready")
    (box.run_dir / "done").touch()
    assert process.wait(timeout=60) == 3


def test_signal_reaches_the_program_in_a_window(box: Box) -> None:
    script = "trap 'echo got; exit 5' TERM; echo on; while :; do sleep 0.1; done"
    process = box.start("sh", "-c", script, SM_PROXY_KEEP_FAILURE="1h")
    assert process.stdout is not None
    while process.stdout.readline() != "on\n":
        pass
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "got" in output.splitlines()
    assert process.returncode == 5


def test_stop_ends_a_keep_window(box: Box) -> None:
    process = box.start("sh", "-c", "exit 3", SM_PROXY_KEEP_FAILURE="1h")
    assert process.stdout is not None
    while "stays" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 3


def test_wait_ends_when_time_is_up(box: Box) -> None:
    began = time.monotonic()
    assert box.run("echo", "trained", SM_PROXY_WAIT="1s")[0] == 0
    assert time.monotonic() - began > 0.9


def test_wait_ends_when_go_is_said(box: Box) -> None:
    process = box.start("sh", "-c", "exit 6", SM_PROXY_WAIT="1h")
    wait_for(box.run_dir / "ready")
    (box.run_dir / "go").touch()
    assert process.wait(timeout=60) == 6


def test_stop_while_waiting(box: Box) -> None:
    process = box.start("echo", "trained", SM_PROXY_WAIT="1h")
    wait_for(box.run_dir / "sshd_config")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "trained" not in output


def until_gone(box: Box) -> str:
    """Succeed while ssh is there, after some time for it to go."""
    alive = f"kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')}) 2>/dev/null"
    return f"n=0; while {alive} && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done; {alive}"


def test_called_from_a_script(box: Box) -> None:
    """ssh lives as long as its caller, and keeps no pipe open behind it."""
    home = box.inside("opt/sm-proxy")
    caller = f"{home}/real.sh; {until_ready(box)}; echo trained"
    alive = f"kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')}) 2>/dev/null"
    script = f"sh -c '{caller}; {alive} && echo alive' | cat; {until_gone(box)}"
    code, lines = _plain(box, ["sh", "-c", script])
    assert {"trained", "alive"} <= set(lines)
    assert marker_of(lines)["problems"] == ["nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set"]
    assert code != 0


def test_called_by_all_processes_of_a_node_at_once(box: Box) -> None:
    """As torchrun and mpirun do: the first starts ssh, which lives as long as one of them."""
    entry = f"{box.inside('opt/sm-proxy')}/real.sh"
    alive = f"kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')})"
    last = f"{entry}; {until_ready(box)}; sleep 2.5; {alive} && echo alive"
    others = f"for rank in 1 2 3 4 5 6 7; do sh -c '{entry}; true' & done; wait"
    _, lines = _plain(box, ["sh", "-c", f"{{ sh -c '{last}' & {others}; }} | cat"])
    assert "alive" in lines
    assert "sshd" in marker_of(lines)["features"]


def test_called_by_one_script_after_the_other(box: Box) -> None:
    """The end of the first does not end what the second counts on."""
    entry = f"{box.inside('opt/sm-proxy')}/real.sh"
    first = f"{entry}; {until_ready(box)}; sleep 1.2; true"
    second = f"{entry}; sleep 2.5; kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')}) && echo alive"
    _, lines = _plain(box, ["sh", "-c", f"{{ sh -c '{first}'; sh -c '{second}'; }} | cat"])
    assert "alive" in lines


@pytest.mark.skipif(not ISOLATED, reason="needs a container of its own")
def test_called_from_a_script_without_proc(box: Box) -> None:
    home, pid = box.inside("opt/sm-proxy"), box.inside("opt/ml/run/sshd.pid")
    caller = f"{home}/real.sh; {until_ready(box)}; sleep 2.5; kill -0 $(cat {pid}) && echo alive"
    script = f"mount -t tmpfs none /proc; sh -c '{caller}' | cat; {until_gone(box)}"
    code, lines = _plain(box, ["sh", "-c", script])
    assert "alive" in lines
    assert code != 0


@pytest.mark.parametrize("port", ["022", "0", "08", "65536", "22\nPermitRootLogin yes", "-1"])
def test_a_port_that_is_none(box: Box, port: str) -> None:
    """Told, and not taken: neither by sshd nor by the marker in a way of its own."""
    if not ISOLATED:
        pytest.skip("needs the usual ports")
    marker = marker_of(box.run("sh", "-c", until_ready(box), SM_PROXY_PORT=port)[1])
    assert "SM_PROXY_PORT is not a port number" in marker["problems"]
    assert marker["port"] == 22


def function(name: str) -> str:
    """The source of a shell function of ours."""
    for file in sorted(name for name in image.shipped_files() if name.endswith(".sh")):
        lines = image.shipped_files()[file].decode().splitlines()
        if f"{name}() {{" in lines:
            start = lines.index(f"{name}() {{")
            return "\n".join(lines[start : lines.index("}", start) + 1])
    raise LookupError(name)


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
def test_keys_are_bared(value: str, keys: list[str]) -> None:
    script = f'set -f\n{function("bare_keys")}\nbare_keys "$1"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", value], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == keys
