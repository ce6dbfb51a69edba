"""`python -m bench.data_channel [--quick]`: our data channel and a model of the reference client.

Everything runs on loopback with the lab's session gateway, which pauses as the real agent does
unless a line says otherwise. Compare ratios; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from bench import gateway, player, targets
from bench.gateway import Gateway
from bench.reference import ReferenceClient
from bench.targets import GREETING, Target
from sm_proxy.local import poll
from sm_proxy.ssm import session as ssm

MIB = 1 << 20
PACED = "800"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, less data")
    quick = parser.parse_args().quick
    runs = 2 if quick else 5
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, medians of {runs}, loopback")
    with gateway.running() as agent:
        uploads(agent, runs, 8 if quick else 64)
        downloads(agent, runs, 1 if quick else 4)
        first_byte(agent, 3 * runs)
        echoes(agent, 50 * runs)
    paced(runs, 1 if quick else 4)
    ceilings(runs, 32 if quick else 200)


def helper(grant: ssm.Grant, rate: str = PACED, ca: str = "") -> subprocess.Popen[bytes]:
    """The helper process, as ssh would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.helper", grant.session_id, grant.stream_url, rate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "BENCH_TOKEN": grant.token, "BENCH_CA": ca},
    )


def uploads(agent: Gateway, runs: int, mib: int) -> None:
    """Upload random bytes with our client, and 1/32 of them with the reference client's model."""
    data = os.urandom(mib * MIB)
    small = data[: len(data) // 32]
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(upload(agent, data))
        theirs.append(reference_upload(agent, small))
    report("upload, MB/s", ours, theirs, "model of the reference client", more_is_better=True)


def upload(agent: Gateway, data: bytes) -> float:
    """MB/s from the helper's stdin to the target, counted from the greeting."""
    target = Target(targets.sink)
    process = greeted(agent.to(target.port).start())
    started = time.perf_counter()
    if process.stdin is not None:
        process.stdin.write(data)
        process.stdin.flush()
    target.await_received(len(data))
    rate = len(data) / (time.perf_counter() - started) / 1e6
    player.close(process)
    return rate


def greeted(grant: ssm.Grant) -> subprocess.Popen[bytes]:
    """A helper that has printed the greeting."""
    process = helper(grant)
    if process.stdout is None or process.stdout.readline() != GREETING:
        raise RuntimeError("no greeting")
    return process


def reference_upload(agent: Gateway, data: bytes) -> float:
    """MB/s of an upload through the model."""
    target = Target(targets.sink)
    client = ReferenceClient(agent.to(target.port).start())
    client.await_received(len(GREETING))
    started = time.perf_counter()
    client.upload(data)
    target.await_received(len(data))
    rate = len(data) / (time.perf_counter() - started) / 1e6
    client.close()
    return rate


def downloads(agent: Gateway, runs: int, mib: int) -> None:
    """Download with our client, and with a client that only acknowledges and discards."""
    data = os.urandom(mib * MIB)
    ours, drained, cpu = [], [], []
    for _ in range(runs):
        rate, cost = download(agent, data)
        ours.append(rate)
        cpu.append(cost)
        drained.append(drain(agent, data))
    report("download, MB/s", ours, drained, "ack-only drain", more_is_better=True)
    print(f"{'CPU seconds of the helper for 200 MiB down':45} {statistics.median(cpu):8.2f}")


def download(agent: Gateway, data: bytes) -> tuple[float, float]:
    """MB/s out of the helper's stdout, counted from the greeting; CPU seconds for 200 MiB."""
    process = greeted(agent.to(Target(targets.source(data)).port).start())
    before = player.cpu_of(process)
    started = time.perf_counter()
    if process.stdout is None or process.stdout.read(len(data)) != data:
        raise RuntimeError("the download ended early, or is not what was sent")
    rate = len(data) / (time.perf_counter() - started) / 1e6
    cost = (player.cpu_of(process) - before) * 200 * MIB / len(data)
    player.close(process)
    return rate, cost


def drain(agent: Gateway, data: bytes) -> float:
    """MB/s of a download by the client that only acknowledges."""
    client = ReferenceClient(agent.to(Target(targets.source(data)).port).start())
    client.await_received(len(GREETING))
    started = time.perf_counter()
    client.await_received(len(GREETING) + len(data))
    rate = len(data) / (time.perf_counter() - started) / 1e6
    client.close()
    return rate


def first_byte(agent: Gateway, runs: int) -> None:
    """Time from StartSession's answer to the SSH server's greeting, in this process."""
    target = Target(targets.sink)
    ours, theirs = [], []
    for _ in range(runs):
        grant = agent.to(target.port).start()
        started = time.perf_counter()
        stream = ssm.start(agent, ssm.Options(), grant)
        read_until(stream, len(GREETING))
        ours.append((time.perf_counter() - started) * 1e3)
        end(stream)
        grant = agent.to(target.port).start()
        started = time.perf_counter()
        client = ReferenceClient(grant)
        client.await_received(len(GREETING))
        theirs.append((time.perf_counter() - started) * 1e3)
        client.close()
    report("StartSession's answer to the greeting, ms", ours, theirs, "model of the reference")


def echoes(agent: Gateway, runs: int) -> None:
    """Round trip of one byte: over plain TCP, over an idle session, and during an upload."""
    target = Target(targets.echo)
    with socket.create_connection(("127.0.0.1", target.port)) as plain:
        plain.recv(100)
        baseline = [timed(lambda: plain_echo(plain)) * 1e3 for _ in range(runs)]
    stream = ssm.start(agent, ssm.Options(), agent.to(target.port).start())
    read_until(stream, len(GREETING))
    idle = [timed(lambda: echo(stream)) * 1e3 for _ in range(runs)]
    report("one-byte echo, idle, ms", idle, baseline, "plain TCP")
    bulk = greeted(agent.to(Target(targets.sink).port).start())
    block = os.urandom(MIB)
    if bulk.stdin is not None:
        os.set_blocking(bulk.stdin.fileno(), False)
    busy = []
    for _ in range(runs):
        refill(bulk, block)
        busy.append(timed(lambda: echo(stream)) * 1e3)
    player.close(bulk)
    report("one-byte echo beside a bulk upload, ms", busy, baseline, "plain TCP")
    bulk = greeted(agent.to(Target(targets.endless).port).start())
    threading.Thread(target=drained, args=(bulk,), daemon=True).start()
    time.sleep(1)  # a transfer gathers its messages by then
    busy = [timed(lambda: echo(stream)) * 1e3 for _ in range(runs)]
    bulk.kill()
    bulk.wait()
    end(stream)
    report("one-byte echo beside a bulk download, ms", busy, baseline, "plain TCP")


def drained(process: subprocess.Popen[bytes]) -> None:
    """Read a download until its end."""
    while process.stdout is not None and process.stdout.read(MIB):
        pass


def refill(process: subprocess.Popen[bytes], block: bytes) -> None:
    """Keep the pipe of an upload full without blocking."""
    try:
        os.write(process.stdin.fileno() if process.stdin else -1, block)
    except BlockingIOError:
        return


def plain_echo(connection: socket.socket) -> None:
    """Round trip of one byte over TCP."""
    connection.sendall(b"x")
    connection.recv(1)


def paced(runs: int, mib: int) -> None:
    """Download from a player that pauses as the agent does, in clear text and through TLS."""
    for tls in (False, True):
        measured = [player.paced(helper, mib * MIB, tls=tls) for _ in range(runs)]
        rate, cpu = map(statistics.median, zip(*measured, strict=True))
        title = f"download from a paced player, {'TLS' if tls else 'clear text'}, MB/s"
        print(f"{title:45} {rate:8.2f}   CPU seconds of the helper for 200 MiB {cpu:.2f}")


def ceilings(runs: int, mib: int) -> None:
    """The helper's own limit, with a player that sends prepared frames or only acknowledges."""
    down = [player.download_rate(helper, mib * MIB // 4) for _ in range(runs)]
    print(f"{'ceiling down, 1,024-byte messages, MB/s':45} {statistics.median(down):8.1f}")
    up, cpu = [], []
    for _ in range(runs):
        before = children_cpu()
        up.append(player.upload_rate(helper, mib * MIB))
        cpu.append((children_cpu() - before) * 200e6 / (mib * MIB))
    print(f"{'ceiling up, 32 KiB messages, MB/s':45} {statistics.median(up):8.1f}")
    print(f"{'CPU seconds of the helper for 200 MB up':45} {statistics.median(cpu):8.2f}")


def children_cpu() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_until(stream: ssm.Session, count: int) -> bytes:
    """Drive a session until `count` bytes have arrived."""
    data = b""
    ready: frozenset[int] = frozenset()
    while len(data) < count:
        now = time.monotonic()
        stream.advance(now, readable=stream.fileno() in ready)
        data += stream.read()
        if stream.failure is not None:
            raise stream.failure
        if len(data) < count:
            writers = [stream.fileno()] if stream.wants_write else []
            wait_s = stream.deadline(now) - now
            ready = poll.wait([stream.fileno()], writers, [], wait_s).readable
    return data


def echo(stream: ssm.Session) -> None:
    """Send one byte and wait for its return."""
    stream.write(b"x")
    read_until(stream, 1)


def end(stream: ssm.Session) -> None:
    """End a session as the pump does."""
    stream.finish()
    stream.advance(time.monotonic(), readable=False)
    stream.close()


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def report(
    title: str,
    ours: list[float],
    baseline: list[float],
    against: str,
    *,
    more_is_better: bool = False,
) -> None:
    """Print our median, the baseline's, and their ratio or difference."""
    mine, other = statistics.median(ours), statistics.median(baseline)
    ratio = mine / other if more_is_better else other / mine
    print(
        f"{title:45} {mine:8.2f}   {against} {other:.2f}   "
        f"{'ratio' if more_is_better else 'added'} "
        f"{f'{ratio:.2f}' if more_is_better else f'{mine - other:+.2f}'}"
    )


if __name__ == "__main__":
    main()
