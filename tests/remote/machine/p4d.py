"""The script's output on an invented p4d instance, and how a test parses it."""

from __future__ import annotations

from typing import Any

from sm_proxy.remote.machine import probe, report

P4D = """
Welcome to the image!
M stat1
7 (python (train)) S 1 7 7 0 -1 4194304 10 0 0 0 1000 100 0 0 20 0 1 0 100 9 50000 1 1 1
8 (idle) S 1 8 8 0 -1 4194304 10 0 0 0 5 5 0 0 20 0 1 0 100 9 10 1 1 1
M time1
90061.00 1.00
M system
ip-10-0-1-5
Linux 5.10 x86_64
PRETTY_NAME="Ubuntu 20.04"
M cpus
96
model name	: Intel Xeon
M load
1.50 2 3.25 1/900 99
M limits
9223372036854771712
M memory
MemTotal:       1000 kB
MemFree:         100 kB
MemAvailable:    400 kB
SwapTotal:         0 kB
M gpus
0, GPU-a, NVIDIA A100-SXM4-40GB, 98, 30000, 40960, 61, 390.12
1, GPU-b, NVIDIA A100-SXM4-40GB, 0, 3, 40960, [N/A], [Not Supported]
M gpu-processes
GPU-a, 7, 29000, python
M partitions
major minor  #blocks  name

 259        0  976762584 nvme1n1
 259        1  104857600 nvme0n1p1
   7        0        100 loop0
M disks
/sys/block/nvme1n1/device/model Amazon EC2 NVMe Instance Storage
M mounts
/dev/nvme1n1 /opt/ml/in\\040put ext4 rw 0 0
proc /proc proc rw 0 0
M space
Filesystem     1024-blocks  Used Available Capacity Mounted on
/dev/nvme1n1     1000 250 750      25% /opt/ml/in put
M fib
  |-- 10.0.1.5
     /32 host LOCAL
  |-- 127.0.0.1
     /32 host LOCAL
M routes
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask
eth0	00000000	0100000A	0003	0	0	0	00000000	0	0	0
eth0	0000000A	00000000	0001	0	0	0	0000FFFF	0	0	0
M devices
Inter-|   Receive
 face |bytes    packets
  eth0: 1000 1 0 0 0 0 0 0 2000 2 0 0 0 0 0 0
M tcp
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
M tcp6
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4712 1
M sockets
/proc/7/fd:
lrwx------ 1 root root 64 Jan 1 00:00 3 -> socket:[4712]
M environment
SM_HOSTS
not a name
M marker
{"sm_proxy_marker": 1, "features": ["dropbear"], "problems": ["no sftp-server"]}
M window
wait
M commands
/proc/7/cmdline:python train.py --api-token=abcdef0123456789abcdef
M stat2
7 (python (train)) S 1 7 7 0 -1 4194304 10 0 0 0 1090 110 0 0 20 0 1 0 100 9 50000 1 1 1
8 (idle) S 1 8 8 0 -1 4194304 10 0 0 0 5 5 0 0 20 0 1 0 100 9 10 1 1 1
9 (cat) R 1 9 9 0 -1 4194304 10 0 0 0 5 5 0 0 20 0 1 0 100 9 10 1 1 1
M time2
90062.00 1.00
M end
"""  # noqa: E501 - as the kernel prints it


def read(output: str) -> dict[str, Any]:
    return report.of(probe.sections(output, "M"))
