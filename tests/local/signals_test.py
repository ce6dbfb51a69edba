from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from sm_proxy.local import signals
from sm_proxy.local.signals import Hangup

BLOCKED = {
    "sleep": "time.sleep(90)",
    "socket": "(lambda ends: ends[0].recv(1))(socket.socketpair())",
    "thread": "threads.run(lambda: time.sleep(90))",
}
PREAMBLE = (
    "import os, signal, socket, sys, threading, time\n"
    "from sm_proxy.local import threads, signals\n"
    "signals.raise_on_hangup()\n"
)


def python(program: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", PREAMBLE + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("blocked", sorted(BLOCKED))
def test_the_watch_interrupts_any_blocking_call(blocked: str) -> None:
    program = (
        "gone = threading.Event()\n"
        "threading.Timer(0.1, gone.set).start()\n"
        "try:\n"
        "    with signals.Watch(gone.wait):\n"
        f"        {BLOCKED[blocked]}\n"
        "except signals.Hangup:\n"
        "    print('hung up')\n"
    )
    began = time.monotonic()
    assert ended(python(program)) == (0, "hung up\n", "")
    assert time.monotonic() - began < 60


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_that_comes_just_before_a_blocking_call_is_sent_again() -> None:
    """As if Python had looked for signals just before: the first one ends no call."""
    program = (
        "kill, sent = signal.pthread_kill, []\n"
        "def at_first_in_vain(thread, number):\n"
        "    if sent:\n        kill(thread, number)\n"
        "    sent.append(number)\n"
        "signal.pthread_kill = at_first_in_vain\n"
        "try:\n"
        "    with signals.Watch(lambda _: True):\n        time.sleep(10)\n"
        "except signals.Hangup:\n    print('hung up')\n"
    )
    assert ended(python(program)) == (0, "hung up\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_that_ends_no_call_is_sent_again(name: str) -> None:
    """Another thread takes it: the main thread's call goes on, as if it had just begun."""
    program = (
        "def send():\n"
        "    time.sleep(0.05)\n"
        f"    signal.pthread_kill(threading.get_ident(), signal.{name})\n"
        "began = time.monotonic()\n"
        "try:\n    threading.Thread(target=send).start()\n    time.sleep(20)\n"
        "except signals.Hangup as hangup:\n"
        f"    print(hangup.args[0] == signal.{name}, time.monotonic() - began < 15)\n"
    )
    assert ended(python(program)) == (0, "True True\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_is_not_sent_again_to_what_comes_after_its_hangup() -> None:
    program = (
        "try:\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(30)\n"
        "except signals.Hangup:\n    pass\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "signals.raise_on_hangup()\n"
        "time.sleep(0.1)\nprint('calm')\n"
    )
    assert ended(python(program)) == (0, "calm\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_of_a_fork_is_not_sent_again_to_its_parent() -> None:
    program = (
        "ready, started = os.pipe()\n"
        "child = os.fork()\n"
        "try:\n"
        "    if not child:\n"
        "        os.write(started, b'x')\n"
        "        time.sleep(30)\n"
        "    os.read(ready, 1)\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    status = os.waitpid(child, 0)[1]\n"
        "    time.sleep(0.1)\n"
        "    print('calm', os.waitstatus_to_exitcode(status))\n"
        "except signals.Hangup:\n"
        "    os._exit(7 if not child else 8)\n"
    )
    assert ended(python(program)) == (0, "calm 7\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_signals_interrupt_a_blocking_call_too(name: str) -> None:
    program = (
        "try:\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "except signals.Hangup:\n    print('hung up')\n"
    )
    process = python(program)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.Signals[name])
    assert ended(process) == (0, "hung up\n", "")


def test_an_ended_watch_does_nothing() -> None:
    program = (
        "gone = threading.Event()\n"
        "with signals.Watch(gone.wait):\n    pass\n"
        "gone.set()\n"
        "time.sleep(0.4)\n"
        "print('calm')\n"
    )
    assert ended(python(program)) == (0, "calm\n", "")


def test_the_clean_up_is_not_interrupted_again() -> None:
    """A terminal sends SIGINT to ssh and to us. ssh then exits and sends us SIGHUP."""
    program = (
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(30)\n"
        "except signals.Hangup:\n"
        "    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):\n"
        "        os.kill(os.getpid(), number)\n"
        "    print('cleaned up')\n"
    )
    assert ended(python(program)) == (0, "cleaned up\n", "")


def test_two_signals_at_once_raise_once_and_print_nothing() -> None:
    program = (
        "both = {signal.SIGHUP, signal.SIGINT}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, both)\n"
        "for number in both:\n    os.kill(os.getpid(), number)\n"
        "try:\n    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)\n    time.sleep(30)\n"
        "except signals.Hangup:\n    print('hung up')\n"
    )
    assert ended(python(program)) == (0, "hung up\n", "")


def test_a_helper_under_nohup_outlives_its_terminal_but_not_its_ssh() -> None:
    program = (
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "with signals.Wakeup() as wakeup:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print(wakeup.hung_up, flush=True)\n"
    )
    ignored = python(program, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert ended(ignored) == (0, "False\n", "")
    watched = (
        "try:\n"
        "    with signals.Watch(lambda _: True):\n        time.sleep(30)\n"
        "except signals.Hangup:\n    print('hung up')\n"
    )
    ignored = python(watched, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert ended(ignored) == (0, "hung up\n", "")


def test_a_wakeup_is_readable_after_a_signal_and_interrupts_nothing() -> None:
    with signals.Wakeup() as wakeup:
        assert select.select([wakeup], [], [], 0)[0] == []
        os.kill(os.getpid(), signal.SIGHUP)
        assert select.select([wakeup], [], [], 10)[0] == [wakeup]
        noted: bool = wakeup.hung_up  # the type checker does not see that the handler changes it
        assert noted
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_handler_raises_in_the_main_thread() -> None:
    signals.raise_on_hangup()
    main = threading.main_thread().ident
    assert main is not None

    def sleep() -> None:
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGHUP)).start()
        time.sleep(60)

    with pytest.raises(Hangup):
        sleep()


def test_stderr_is_detached() -> None:
    program = (
        "signals.detach_stderr()\nprint('nobody hears this', file=sys.stderr)\nsys.stdin.read()\n"
    )
    process = python(program, stdin=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.poll() is None
    assert ended(process)[0] == 0


def test_a_hangup_that_python_drops_is_raised_again() -> None:
    program = """
import weakref
class Thing: pass
thing = Thing()
reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGHUP))
try:
    del thing
    time.sleep(30)
except signals.Hangup as hangup:
    print(hangup.args[0] == signal.SIGHUP)
"""
    status, out, err = ended(python(program))
    assert (status, out, err) == (0, "True\n", "")


DEADLINE = (
    "import contextlib\n"
    "signals.HURRY_S = 1\n"
    "with contextlib.suppress(signals.Hangup):\n    os.kill(os.getpid(), signal.SIGHUP)\n"
    "with signals.Deadline(600) as deadline:\n"
    "    assert deadline.left() > 500\n"
    "    os.kill(os.getpid(), {})\n"
    "    print(deadline.left() < 2)\n"
    "os.kill(os.getpid(), {})\n"
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_shortens_the_clean_up(name: str) -> None:
    program = DEADLINE.format(*[int(signal.Signals[name])] * 2)
    assert ended(python(program)) == (0, "True\n", "")


def test_a_clean_up_under_nohup_is_not_hurried_by_the_terminal() -> None:
    program = DEADLINE.format(int(signal.SIGHUP), int(signal.SIGHUP))
    ignored = python(program, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert ended(ignored) == (0, "False\n", "")


def test_a_deadline_that_has_passed_leaves_no_time() -> None:
    with signals.Deadline(0.01) as deadline:
        time.sleep(0.02)
        assert deadline.left() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_lack_of_descriptors_prevents_no_clean_up() -> None:
    program = (
        "import resource; from sm_proxy.local import signals;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3));"
        "signals.detach_stderr(); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"goes on\n", b"")
