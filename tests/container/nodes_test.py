"""`ssh algo-2` between nodes works with any ssh settings of the image."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.soak import cases

from .conftest import Box, needs_container, wait_for

pytestmark = [
    needs_container,
    pytest.mark.parametrize("box", ["sh"], indirect=True),
]

# A folder of the container replaces S3.
STORE = """
s3_tools() { echo curl; }
s3_parse_url() { :; }
s3_with_any_tool() {
    mkdir -p "$run/store"
    name=${3##*/}
    case $1 in
        put) cp "$2" "$run/store/obj.$name" && echo "$name nodes/job/$name" >"$run/store/list" ;;
        pull) for name in "$run"/store/*; do cp "$name" "$3/${name##*/}"; done ;;
    esac
}
"""
FORGED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKS+jA/vc2OBXwOon2mo2vJxYnJ0CkvNHuu0SaqNuTlZ"
NODES = {"SM_PROXY_NODES_S3": "s3://team/nodes/", "TRAINING_JOB_NAME": "job"}
ARTICLE = "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
ELSEWHERE = (
    ARTICLE
    + """  Port 2200
  User nobody
  HostName 127.0.0.9
  ProxyCommand false
  AddressFamily inet6
  HostKeyAlgorithms ssh-rsa
  PubkeyAcceptedAlgorithms ssh-rsa
  PubkeyAuthentication no
  PreferredAuthentications password
  ControlMaster auto
  ControlPath /no/such/folder/%h
  CanonicalizeHostname always
  KnownHostsCommand /bin/echo %H ssh-ed25519 AAAA
  RemoteCommand false
  SessionType none
  StdinNull yes
  ForkAfterAuthentication yes
  GlobalKnownHostsFile /opt/program/theirs
  HostKeyAlias other
  IdentityFile /no/such/key
  CheckHostIP yes
  VerifyHostKeyDNS yes
  NoHostAuthenticationForLocalhost yes
  RevokedHostKeys /no/such/file
  PKCS11Provider /no/such/library
  LocalForward 127.0.0.1:1 127.0.0.1:1
  LocalForward /no/such/folder/socket 127.0.0.1:1
  ExitOnForwardFailure yes
"""
)
JUMP = "Host algo-*\n  ProxyJump nobody@127.0.0.9\n  StrictHostKeyChecking accept-new\n"
# Inside the container: connect by name and by address, then with a wrong host key.
PROGRAM = """
until [ -s /opt/ml/run/nodes/known_hosts ]; do sleep 0.1; done
address=$(getent ahostsv4 algo-2 | cut -d ' ' -f 1 | head -n 1)
for to in algo-2 $address; do ssh -o BatchMode=yes $to echo reached; done
echo "algo-2 $FORGED" >/opt/ml/run/nodes/known_hosts
for to in algo-2 $address; do ssh -o BatchMode=yes $to echo reached unverified; done
ssh -o BatchMode=yes algo-1 true
"""


@pytest.mark.parametrize(
    "config",
    cases([ARTICLE, ELSEWHERE, JUMP], [ELSEWHERE, JUMP]),
    ids=cases(["article", "elsewhere", "jump"], ["elsewhere", "jump"]),
)
def test_our_ssh_settings_come_before_the_images(box: Box, config: str) -> None:
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    (box.root / "opt/image").mkdir()
    (box.root / "opt/image/config").write_text(config, encoding="utf-8")
    box.prelude = "mkdir -m 700 /root/.ssh; cp /opt/image/config /root/.ssh/"
    process = box.start("sh", "-c", PROGRAM, FORGED=FORGED, **NODES)
    output, _ = process.communicate(timeout=120)
    lines = output.splitlines()
    marker = json.loads((box.run_dir / "marker").read_text(encoding="utf-8"))
    assert marker["problems"] == ["nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set"]
    assert "nodes" in marker["features"]
    assert lines.count("reached") == 2, output
    assert "reached unverified" not in lines
    assert output.count("Host key verification failed") == 2, output
    assert "sm-proxy: the host key of algo-1 is not known yet." in output


def test_our_include_returns_after_a_script_has_replaced_the_file(box: Box) -> None:
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    box.replace("nodes.sh", "sleep $((2 + $$ % 3))", "sleep 0.2")
    written = "printf 'Host *\\n  StrictHostKeyChecking no\\n' >/root/.ssh/config"
    ours = 'read -r word rest </root/.ssh/config; [ "$word" = Include ]'
    again = f"{written}; until {ours}; do sleep 0.1; done; ssh -G algo-2; cat /root/.ssh/config"
    program = f"until [ -e /opt/ml/run/nodes/known_hosts ]; do sleep 0.1; done; {again}"
    output, _ = box.start("sh", "-c", program, **NODES).communicate(timeout=120)
    assert "stricthostkeychecking true" in output
    assert output.splitlines()[-2:] == ["Host *", "  StrictHostKeyChecking no"]


@pytest.mark.parametrize("fault", ["no home", "a bad line", "a config of others"])
def test_settings_that_ssh_does_not_use_are_a_problem(box: Box, fault: str) -> None:
    """For example, the user has no home folder, or ssh refuses the image's own settings."""
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    box.prelude = {
        "no home": (
            "chmod 777 /opt/ml; chown 65534 /opt/ml/*; export HOME=/"
            '; set -- setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
        ),
        "a bad line": "mkdir -m 700 /root/.ssh; echo 'NoSuchOption yes' >/root/.ssh/config",
        "a config of others": (
            "mkdir -m 700 /root/.ssh; echo >/root/.ssh/config; chmod 666 /root/.ssh/config"
        ),
    }[fault]
    problem = {
        "no home": "/nonexistent/.ssh/config cannot be written",
        "a bad line": "terminating, 1 bad configuration options",
        "a config of others": "Bad owner or permissions on /root/.ssh/config",
    }[fault]
    wait = "until [ -e /opt/ml/run/ready ] || [ -e /opt/ml/run/failed ]; do sleep 0.1; done"
    program = f"{wait}; SM_PROXY_RUN_DIR= TMPDIR=/opt/ml /opt/sm-proxy/wait-nodes.sh 0"
    if fault != "no home":
        program = f"{wait}; /opt/sm-proxy/wait-nodes.sh 0"
    output, _ = box.start("sh", "-c", program, **NODES).communicate(timeout=120)
    marker = next(line for line in output.splitlines() if "sm_proxy_marker" in line)
    problems = json.loads(marker)["problems"]
    about = [line for line in problems if line.startswith("SM_PROXY_NODES_S3: ssh does not use")]
    assert len(about) == 1, problems
    assert problem in about[0]
    assert "nodes" not in json.loads(marker)["features"]


def test_an_old_ssh_gets_only_options_that_it_knows(box: Box) -> None:
    """This ssh knows neither KnownHostsCommand nor SessionType. The other options still apply."""
    ssh = box.add_program(
        "ssh",
        'for word in "$@"; do\n'
        '[ "$file" != next ] || file=$word; [ "$word" != -F ] || file=next; done\n'
        'n=$(grep -niE "KnownHostsCommand|SessionType" "${file:-/opt/ml/run/nodes/ssh_config}")\n'
        '[ -z "$n" ] || { echo "x: line ${n%%:*}: Bad configuration option: it" >&2; exit 255; }\n'
        'exec /usr/bin/ssh "$@"',
    )
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    path = f"{box.inside('opt/program')}:/usr/sbin:/usr/bin:/sbin:/bin"
    assert ssh.startswith("/opt/program")
    box.start("sleep", "60", PATH=path, **NODES)
    wait_for(box.run_dir / "ready")
    marker = json.loads((box.run_dir / "marker").read_text(encoding="utf-8"))
    assert "nodes" in marker["features"], marker
    options = (box.run_dir / "nodes/ssh_options").read_text(encoding="utf-8")
    assert "StrictHostKeyChecking yes" in options
    assert "ForkAfterAuthentication no" in options
    assert "SessionType" not in options


def test_an_ssh_without_include_keeps_its_settings(box: Box) -> None:
    """With our Include in ~/.ssh/config, it would refuse every connection."""
    box.add_program(
        "ssh",
        'case "$*" in *-F*) echo "Bad configuration option: include" >&2; exit 255 ;; esac\n'
        'exec /usr/bin/ssh "$@"',
    )
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    box.prelude = "mkdir -m 700 /root/.ssh; echo 'Compression no' >/root/.ssh/config"
    path = f"{box.inside('opt/program')}:/usr/sbin:/usr/bin:/sbin:/bin"
    again = "until [ -e /opt/ml/run/nodes/known_hosts ]; do sleep 0.1; done; sleep 1"
    process = box.start("sh", "-c", f"{again}; cat /root/.ssh/config", PATH=path, **NODES)
    output, _ = process.communicate(timeout=120)
    assert output.splitlines()[-1] == "Compression no"
    marker = next(line for line in output.splitlines() if "sm_proxy_marker" in line)
    about = "SM_PROXY_NODES_S3: ssh does not use our settings: this ssh does not know Include ("
    assert any(line.startswith(about) for line in json.loads(marker)["problems"])
    assert "by sm-proxy" not in output


def test_wait_nodes_reports_the_reason(box: Box) -> None:
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    wait = "until [ -s /opt/ml/run/nodes/known_hosts ]; do sleep 0.1; done"
    process = box.start("sh", "-c", f"{wait}; /opt/sm-proxy/wait-nodes.sh 1", **NODES)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert (
        "sm-proxy: ssh does not reach algo-1. algo-1: its host key is not in S3 yet, or its name"
        " does not resolve"
    ) in output.splitlines()
    alone = subprocess.run(
        ["sh", str(box.root / "opt/sm-proxy/wait-nodes.sh"), "0"],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(box.root), "SM_PROXY_RUN_DIR": "/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 1
    assert "no hostfile" in alone.stderr
