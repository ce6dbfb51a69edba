"""Our config survives the npm package `ssh-config`, with which VS Code rewrites ssh configs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import config_writer
from sm_proxy.config_writer import Stub
from sm_proxy.settings import Settings

SSH, NODE, NPM = map(shutil.which, ("ssh", "node", "npm"))
pytestmark = pytest.mark.skipif(not (SSH and NODE and NPM), reason="needs ssh, node and npm")
PROGRAM = """
const [folder, own, user] = process.argv.slice(1);
const fs = require("fs"), loaded = require(folder);
const SSHConfig = loaded.default || loaded;
const mine = SSHConfig.parse(fs.readFileSync(own, "utf8"));
const theirs = SSHConfig.parse(fs.readFileSync(user, "utf8"));
const listed = mine.filter((line) => line.param === "Host" && line.config.length)
  .map((line) => [line.value, line.config.filter((l) => l.param).map((l) => [l.param, l.value])]);
theirs.append({ Host: "added", HostName: "192.0.2.7", User: "new" });
fs.writeFileSync(user, SSHConfig.stringify(theirs));
console.log(JSON.stringify(listed));
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npm")
    names = [f"v{major}@npm:ssh-config@{major}" for major in (4, 5)]
    command = [str(NPM), "install", "--no-audit", "--no-fund", "--fetch-retries=0", *names]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=90)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer")
    if done.returncode:
        pytest.skip("npm could not install ssh-config: offline?")
    return folder / "node_modules"


def asked(config: Path, host: str) -> dict[str, str]:
    command = [str(SSH), "-G", "-F", str(config), host]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)


@pytest.mark.parametrize("major", ["v4", "v5"])
def test_vs_code_can_read_and_rewrite_our_config(
    major: str, packages: Path, tmp_path: Path
) -> None:
    base = tmp_path / "my ssh"
    base.mkdir(mode=0o700)
    config = base / "config"
    config.write_bytes(b"# mine\nHost other\n    User me\n")
    config.chmod(0o600)
    settings = Settings(ssh_dir=str(base / "sm-proxy"), profile="my team")
    config_writer.apply(config_writer.plan(config, settings, ["/opt/my tools/sm-proxy"]))
    stubs = [Stub("sm-one", "root", "Training"), Stub("sm-Two.algo-2", "ubuntu", "")]
    config_writer.apply(config_writer.plan_stubs(settings, stubs))
    before = asked(config, "sm-one"), asked(config, "other")

    own = settings.ssh_folder / "config"
    command = [str(NODE), "-e", PROGRAM, str(packages / major), str(own), str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    listed: dict[str, Any] = dict(json.loads(done.stdout))
    assert listed["sm-one"][0] == ["User", "root"]
    assert listed["sm-Two.algo-2"][0] == ["User", "ubuntu"]

    assert (asked(config, "sm-one"), asked(config, "other")) == before
    assert asked(config, "added")["hostname"] == "192.0.2.7"
    assert "my tools" in before[0]["proxycommand"]
    config_writer.apply(config_writer.plan(config, settings, ["/opt/my tools/sm-proxy"]))
    assert (asked(config, "sm-one"), asked(config, "other")) == before
