"""`sm-proxy lab run` and `sm-proxy lab up`: the process that the user's shell starts.

It starts the lab's init, relays signals to the supervisor, and exits with the lab's status. If init
is killed, it ends what init has left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from sm_proxy_lab import init
from sm_proxy_lab.aws.sagemaker.statuses import STATUSES
from sm_proxy_lab.errors import report
from sm_proxy_lab.machines import namespaces, reap, rootfs
from sm_proxy_lab.python import python_module

LAB_FAILED = init.FAILED
_RELAYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_GROUP = re.compile(rf"({_JOB_NAME.pattern})=([1-9]\d?)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_NETWORKS = ("netns", "loopback")
_SOCKET_ROOM = 44  # length of the folder above: the client's daemon takes 103 bytes for its socket


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab run`."""
    _add_options(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- CMD...",
        help="the command to run when the job has reached its status",
    )


def add_up_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab up`."""
    _add_options(parser)
    parser.set_defaults(command=[])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--job", type=_job_name, metavar="NAME", help="the job's name")
    parser.add_argument(
        "--nodes", type=_nodes, default=1, metavar="N", help="how many containers (1)"
    )
    parser.add_argument(
        "--network",
        choices=_NETWORKS,
        help="network namespaces, or loopback only (default: netns where permitted)",
    )
    parser.add_argument(
        "--status",
        choices=tuple(STATUSES),
        default="Training",
        metavar="STATUS",
        help="keep the job in this status",
    )
    parser.add_argument(
        "--log-lines", type=_count, default=0, metavar="N", help="log lines after the marker"
    )
    parser.add_argument(
        "--log-lines-before",
        type=_count,
        default=0,
        metavar="N",
        help="log lines before the marker",
    )
    parser.add_argument(
        "--latency-ms",
        type=_latency,
        default=0.0,
        metavar="N",
        help="latency of API and websocket in each direction",
    )
    parser.add_argument("--train", type=_program, metavar="PROGRAM", help="the job's program")
    parser.add_argument(
        "--bare", action="store_true", help="run the program without our entrypoint"
    )
    parser.add_argument(
        "--image",
        choices=(rootfs.HOST, *rootfs.IMAGES),
        default=rootfs.HOST,
        metavar="NAME",
        help="the containers' file system: this machine's (host), or one made of Debian packages,"
        " which needs root: with sshd (debian), with sshd and a key pair for mpirun (framework),"
        " with busybox and dropbear (dropbear), or with Python and no sshd (python)",
    )
    parser.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="NAME",
        help="add this Debian package to the image (may be repeated)",
    )

    parser.add_argument(
        "--cluster",
        type=_cluster,
        action="append",
        default=[],
        metavar="NAME[:GROUP=N,...]",
        help="add a HyperPod cluster with these instance groups (default: workers=2; may be"
        " repeated)",
    )
    parser.add_argument(
        "--space",
        action="append",
        type=_job_name,
        default=[],
        metavar="NAME",
        help="make a Studio space with remote access and run an app in it (may be repeated)",
    )
    parser.add_argument(
        "--empty",
        action="store_true",
        help="start with an account on its first day: no VPC but the default one, no bastion, no"
        " job and no role; CMD makes them",
    )


def _job_name(text: str) -> str:
    if not _JOB_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("SageMaker does not allow this name")
    return text


def _cluster(text: str) -> tuple[str, dict[str, int]]:
    name, _, groups = text.partition(":")
    found = [_GROUP.fullmatch(group) for group in (groups or "workers=2").split(",")]
    numbers = {match[1]: int(match[3]) for match in found if match}
    if len(numbers) < len(found):
        raise argparse.ArgumentTypeError("write NAME or NAME:GROUP=N,GROUP=N")
    return _job_name(name), numbers


def _nodes(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("must be from 1 to 64")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError("must be a number of lines")
    return int(text)


def _latency(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 60_000:
        raise argparse.ArgumentTypeError("must be milliseconds, from 0 to below 60000")
    return value


def _refuses_packages(args: argparse.Namespace) -> bool:
    """Whether `--package` is used wrongly; then print why."""
    wrong = [name for name in args.package if not _PACKAGE.fullmatch(name)]
    if args.package and args.image == rootfs.HOST:
        sys.stderr.write("sm-proxy: usage: --package needs an image: add --image debian\n")
    elif wrong:
        sys.stderr.write(f"sm-proxy: usage: not a Debian package name: {wrong[0]!r}\n")
    return bool(wrong) or bool(args.package and args.image == rootfs.HOST)


def _refuses_job_options(args: argparse.Namespace) -> bool:
    """Whether `--empty` comes with an option of the job that it leaves out; then print which."""
    defaults = {"job": None, "nodes": 1, "status": "Training"}
    defaults |= {"log_lines": 0, "log_lines_before": 0}
    given = [name for name, default in defaults.items() if getattr(args, name) != default]
    if args.empty and given:
        option = given[0].replace("_", "-")
        sys.stderr.write(f"sm-proxy: usage: --empty makes no job: leave out --{option}\n")
    return bool(args.empty and given)


def _program(text: str) -> str:
    found = shutil.which(text)
    if not found:
        raise argparse.ArgumentTypeError("no such program")
    return str(Path(found).absolute())


def main(args: argparse.Namespace) -> int:
    """Run the lab; return the exit status of `lab run`."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        sys.stderr.write("sm-proxy: usage: no command given: write `-- CMD...` at the end.\n")
        return 2
    return _supervised(args, command)


def up(args: argparse.Namespace) -> int:
    """Keep a lab up until ^C; return the exit status of `lab up`."""
    return _supervised(args, [])


def _supervised(args: argparse.Namespace, command: list[str]) -> int:
    if _refuses_packages(args) or _refuses_job_options(args):
        return 2
    if sys.platform != "linux":
        report("the lab needs Linux")
        return LAB_FAILED
    if not Path("/proc/self").exists():
        report("the lab needs /proc: mount -t proc proc /proc")
        return LAB_FAILED
    folder = _new_folder()
    args.job = args.job or f"lab-{secrets.token_hex(3)}"
    namespaces.become_subreaper()
    options = {
        "folder": folder,
        "command": command,
        **{
            name: getattr(args, name)
            for name in (
                "job",
                "nodes",
                "network",
                "status",
                "log_lines",
                "log_lines_before",
                "latency_ms",
                "train",
                "bare",
                "image",
                "package",
                "empty",
                "cluster",
                "space",
            )
        },
    }
    # Block them and take them one by one with sigwaitinfo: none is lost, and it shows the sender.
    signals = {*_RELAYED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, exit statuses are lost
    try:
        return _watch(options)
    finally:
        reap.clean_up(folder)
        _take_terminal_back()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_terminal_back() -> None:
    """Return to the terminal's foreground if CMD was an interactive shell and has left it empty.

    Such a shell gives the terminal back to the group that had it before. From another PID namespace
    it cannot name our group, so the next program that reads the terminal would be stopped.
    """
    with contextlib.suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDWR)
        try:
            os.killpg(os.tcgetpgrp(terminal), 0)
        except ProcessLookupError:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # else it would stop us
            os.tcsetpgrp(terminal, os.getpgrp())
        finally:
            os.close(terminal)


def _new_folder() -> str:
    """Return a path for the lab's folder, short enough for the sockets in it."""
    root = tempfile.gettempdir()
    if len(root) > _SOCKET_ROOM:
        root = "/tmp"  # noqa: S108 - init makes a private folder in it, or fails
    return str(Path(root, f"sm-proxy-lab-{secrets.token_hex(5)}"))


def _watch(options: dict[str, object]) -> int:
    """Start the lab and relay signals until it ends."""
    theirs, ours = os.pipe()
    own_pids = init.may_have_own_pids()
    supervisor = python_module("sm_proxy_lab.supervisor")
    pid = init.start(supervisor, theirs, ours, str(options["folder"]), own_pids=own_pids)
    # CMD sees the lab's /proc, but the shell that uses `lab up` sees ours.
    options["init"] = 1 if own_pids and options["command"] else pid
    _send(ours, json.dumps(options).encode() + b"\n")
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        arrived = signal.sigwaitinfo({*_RELAYED, signal.SIGCHLD})
        if arrived.si_signo == signal.SIGCHLD:
            continue
        # The kernel sends the signals of the terminal, to CMD as well. But only we may get SIGHUP.
        from_terminal = arrived.si_code > 0 and arrived.si_signo != signal.SIGHUP
        _send(ours, bytes([arrived.si_signo, ord("t" if from_terminal else "k")]))
    os.close(ours)
    status = os.waitstatus_to_exitcode(ended[1])
    if status < 0:
        report("the lab's init was killed")
        return LAB_FAILED
    return status


def _send(pipe: int, message: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, message)
