"""The script that inspects a machine: POSIX sh, runs with busybox, changes nothing.

It prints files of /proc and /sys, each after a line with a random mark, so that a program's name or
arguments cannot start a section. Only the names of environment variables leave the machine. Every
section is bounded.
"""

from __future__ import annotations

import secrets
from typing import Final

INTERVAL_S: Final = 1
"""Seconds between the two samples that show which processes are busy."""
_LINES: Final = {"stat1": 4000, "stat2": 4000, "commands": 4000, "sockets": 20_000}
_FEWER_LINES: Final = 2000
"""For the other sections; the script's own limits are not larger."""
_COLUMNS: Final = 1200
_MARKER_COLUMNS: Final = 8192

_SCRIPT: Final = r"""
PATH="$PATH:/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/nvidia/bin"
LC_ALL=C; export LC_ALL PATH
s() { printf '\n@MARK@ %s\n' "$1"; }
lines() { head -n "$1" | cut -c 1-1000; }
slow() { if command -v timeout >/dev/null 2>&1; then timeout 15 "$@"; else "$@"; fi; }
s stat1; cat /proc/[0-9]*/stat 2>/dev/null | lines 4000
s time1; cat /proc/uptime
s system; hostname 2>/dev/null || cat /etc/hostname; uname -srm; grep ^PRETTY_NAME= /etc/os-release
s cpus; grep -c ^processor /proc/cpuinfo; grep -m 1 '^model name' /proc/cpuinfo
s load; cat /proc/loadavg
s limits; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
s memory; lines 100 </proc/meminfo
s gpus
if command -v nvidia-smi >/dev/null 2>&1; then
    q=index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw
    slow nvidia-smi --query-gpu=$q --format=csv,noheader,nounits 2>&1 | lines 64
    s gpu-processes
    slow nvidia-smi --query-compute-apps=gpu_uuid,pid,used_gpu_memory,process_name \
        --format=csv,noheader,nounits 2>/dev/null | lines 256
fi
s partitions; lines 500 </proc/partitions
s disks
for f in /sys/block/*/device/model; do
    [ ! -r "$f" ] || echo "$f $(head -n 1 "$f")"
done | lines 200
s mounts; lines 500 </proc/mounts
s space; slow df -kP 2>/dev/null | lines 500
s addresses
if command -v ip >/dev/null 2>&1; then ip -o addr show 2>/dev/null | lines 200; fi
s fib; lines 2000 </proc/net/fib_trie
s inet6; lines 200 </proc/net/if_inet6
s routes; lines 500 </proc/net/route
s devices; lines 200 </proc/net/dev
for f in tcp tcp6 udp udp6; do
    s $f
    if [ "${f%6}" = tcp ]; then grep ' 0A ' /proc/net/$f; else cat /proc/net/$f; fi | lines 1000
done
s sockets; ls -l /proc/[0-9]*/fd 2>/dev/null | grep -e ^/proc -e 'socket:' | lines 20000
s environment
tr '\000\n' '\n\001' </proc/$$/environ | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' | lines 1000
s marker; [ -z "${SM_PROXY_RUN_DIR-}" ] || head -c 8192 "$SM_PROXY_RUN_DIR/marker"
s window; [ -z "${SM_PROXY_RUN_DIR-}" ] || head -n 1 "$SM_PROXY_RUN_DIR/window"
s commands
(grep -a '' /proc/[0-9]*/cmdline || grep '' /proc/[0-9]*/cmdline) | tr '\000' ' ' | lines 4000
s page; getconf PAGESIZE 2>/dev/null
s tick; getconf CLK_TCK 2>/dev/null
sleep @INTERVAL@
s stat2; cat /proc/[0-9]*/stat 2>/dev/null | lines 4000
s time2; cat /proc/uptime
s end
"""


def script() -> tuple[str, str]:
    """The script, and the mark that starts its sections; a new one each time."""
    mark = f"@@{secrets.token_hex(8)}"
    text = _SCRIPT.replace("@MARK@", mark).replace("@INTERVAL@", str(INTERVAL_S))
    # Errors of the commands do not matter, and stdin is the script itself.
    return "{\n" + text + "\n} </dev/null 2>/dev/null\n", mark


def sections(output: str, mark: str) -> dict[str, list[str]]:
    """The lines of each section by its name; lines before the first section are dropped.

    The container may answer with anything. Lines that are longer, or more, than our script prints
    are left out, so that parsing stays fast.
    """
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    most, columns = 0, 0
    for line in output.split("\n"):
        if line.startswith(f"{mark} "):
            name = line[len(mark) + 1 :].strip()
            current = found.setdefault(name, [])
            most = _LINES.get(name, _FEWER_LINES)
            columns = _MARKER_COLUMNS if name == "marker" else _COLUMNS
        elif current is not None and line and len(current) < most:
            current.append(line[:columns])
    return found
