"""Fixed states of jobs, machines and stacks, and how commands show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sm_proxy.commands.daemon as daemon_command
from sm_proxy.commands import config, infra_status, keys, resolve, setup
from sm_proxy.config_writer import Problem
from sm_proxy.infra.plan import Plan
from sm_proxy.jobs.container import Container
from sm_proxy.launch import diff
from sm_proxy.launch.changes import Change
from sm_proxy.local import layout
from sm_proxy.local.layout import Row
from sm_proxy.local.screen import Screen
from sm_proxy.remote.machine import text
from sm_proxy.routes.table import Choice
from sm_proxy.routes.verdict import Verdict
from sm_proxy.setup.steps import Step
from tests.remote.machine.p4d import P4D, read

_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGsjvLHXZ0nCrQa4ZEyMJHFe2LXxGLKJPIXyb9fDLHZ7"
_CONTAINER: Final = Container(
    host="sm-pytorch-training-2026-11-29-10-11-12-123",
    job="pytorch-training-2026-11-29-10-11-12-123",
    kind="training",
    node="algo-1",
    address="10.0.1.5",
    port=2222,
    user="root",
    host_keys=(_KEY, f"ecdsa-sha2-nistp256 {'A' * 140}"),
    status="Training",
    source="marker",
    vpc_id="vpc-0a1b2c3d4e5f60718",
)
_CHOICE: Final = Choice(
    "bastion",
    {
        "direct": Verdict(usable=False, reason="no proof that this machine is in the job's VPC"),
        "bastion": Verdict(usable=True, reason="i-0123456789abcdef0 is online in Systems Manager"),
        "remote-debug": Verdict(usable=False, reason="the job's RemoteDebug is off"),
    },
)


def _resolve(screen: Screen) -> str:
    return resolve._text(_CONTAINER, _CHOICE, "auto", screen)


def _infra_status(screen: Screen) -> str:
    plan = Plan(
        region="eu-central-1",
        zones=("eu-central-1a", "eu-central-1b"),
        endpoints={
            "logs": "com.amazonaws.eu-central-1.logs",
            "s3": "com.amazonaws.eu-central-1.s3",
        },
    )
    rows = [
        ("stack", "sm-proxy in eu-central-1: UPDATE_COMPLETE"),
        ("plan", infra_status._of_plan(plan)),
        ("bastion", "i-0123456789abcdef0 runs, and is online; replaced by 2026-12-24"),
        ("cost", "$0.11 an hour: bastion 0.0048, NAT gateway 0.052, 2 addresses 0.01"),
        ("job", "pytorch-training-2026-11-29-10-11-12-123 (training job, Training)"),
        ("drift", "JobGroup (AWS::EC2::SecurityGroup) is MODIFIED"),
        ("", "/GroupName is other, not sm-proxy-jobs"),
        ("output", "Subnets = subnet-0a1b2c3d4e5f60718,subnet-1a1b2c3d4e5f60718"),
    ]
    return infra_status._text(rows, screen)


def _daemon(screen: Screen) -> str:
    since = "2026-11-30T09:08:07Z"
    rows = daemon_command._rows(
        {
            "pid": 4711,
            "version": "0.1.0",
            "since": since,
            "ends_in": None,
            "socket": "/home/researcher/.local/state/sm-proxy/daemon/0123456789abcdef.socket",
            "connections": [
                {"host": "sm-pytorch-training-2026-11-29-10-11-12-123", "since": since, "pid": 4712}
            ],
            "sessions": [
                {
                    "session": "researcher-0123456789abcdef0",
                    "target": "i-0123456789abcdef0 to 10.0.1.5:2222",
                    "since": since,
                    "streams": 0,
                    "ends_in": 110.0,
                }
            ],
        }
    )
    return daemon_command._text(rows, screen)


def _inspect(screen: Screen) -> str:
    found: dict[str, Any] = read(P4D)
    torchrun = "torchrun --nproc_per_node=8 train.py --data /opt/ml/input/data/训练 --lr 0.0003"
    for process in found["processes"]["by_cpu"][:1]:
        process["command"] = f"{torchrun} --output /opt/ml/checkpoints --epochs 20"
    found["environment"] = sorted(f"SM_CHANNEL_{number}" for number in range(12))
    return text.render(found, screen)


def _setup(screen: Screen) -> str:
    config_file = "/home/researcher/.ssh/sm-proxy/config"
    taken = [
        Step("key", "passed", "/home/researcher/.ssh/sm-proxy/id_ed25519"),
        Step("config", "passed", f"wrote {config_file}, /home/researcher/.ssh/config"),
        Step("ssh", "passed", "`ssh sm-<job>` goes through sm-proxy"),
        Step(
            "credentials", "passed", "arn:aws:sts::123456789012:assumed-role/me, region eu-west-1"
        ),
        Step(
            "bastion",
            "warning",
            "no running instance in eu-central-1 has the tag sm-proxy:role=bastion",
            "Studio spaces and HyperPod nodes need none. For jobs, make one: sm-proxy infra deploy"
            " (if it is paused: sm-proxy infra resume). Or name one with --bastion.",
        ),
    ]
    data = {"environment": {"SM_PROXY_AUTHORIZED_KEY": _KEY}, "next": "ssh sm-<job>"}
    return setup._text(taken, data, screen)


def _keys(screen: Screen) -> str:
    folder = "/home/researcher/.ssh/sm-proxy"
    rows = [
        Row(("current", f"SHA256:{'a' * 43}"), f"{folder}/id_ed25519"),
        Row(("old", f"SHA256:{'b' * 43}"), f"{folder}/id_ed25519.1"),
    ]
    return keys._table(rows, screen)


def _keys_revoke(screen: Screen) -> str:
    lines = [f"removed from this machine: SHA256:{'b' * 43} (/home/researcher/.ssh/id_ed25519.1)"]
    return layout.text([*lines, *keys._left_to_do([])], screen)


def _config_check(screen: Screen) -> str:
    problem = Problem(
        "the Include of /home/researcher/.ssh/sm-proxy/config is not at the top of the ssh config,"
        " so a `Host *` above it wins",
        "Run: sm-proxy config write --ssh-config /home/researcher/.ssh/config",
    )
    return layout.text(config._lines([problem]), screen)


def _relaunch(screen: Screen) -> str:
    changes = [
        Change("TrainingJobName", "bert", "bert-ssh-1a2b", "a job's name cannot be used again"),
        Change("Environment.SM_PROXY_AUTHORIZED_KEY", None, _KEY, "your key"),
        Change("EnableNetworkIsolation", True, None, "ssh needs the network"),
        Change(
            "VpcConfig",
            None,
            {"Subnets": ["subnet-0a1b2c3d4e5f60718"], "SecurityGroupIds": ["sg-0a1b2c3d4e5f60718"]},
            "the network of [launch] in config.toml, because the job named none",
        ),
    ]
    return diff.render(changes, screen)


SCREENS: Final[dict[str, Callable[[Screen], str]]] = {
    "resolve": _resolve,
    "infra-status": _infra_status,
    "daemon-status": _daemon,
    "inspect": _inspect,
    "setup": _setup,
    "keys-list": _keys,
    "keys-revoke": _keys_revoke,
    "config-check": _config_check,
    "relaunch-dry-run": _relaunch,
}
