"""The examples in CONTRIBUTING.md work: they are applied to a copy of both packages, and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
USE = """
from sm_proxy import cli
from sm_proxy.doctor import checks, routes
from sm_proxy.editors import catalog
from sm_proxy.infra import partition, policies, template
from sm_proxy.infra.plan import Plan
from sm_proxy.jobs import hostname, log_formats
from sm_proxy.routes import table
from sm_proxy.settings import Settings, route_names, sources
from sm_proxy.ssh_config import blocks
from sm_proxy.ssm import channel, message
from sm_proxy_lab.aws.cloudformation import types

assert table.route("nothing").verdict(None, None, None).usable is False
assert "nothing" in route_names.ROUTE_NAMES
assert routes.checks_of("nothing") == routes.RouteChecks()
assert hostname.parse("sm-x.hub", "sm-").kind == "hub"
assert hostname.parse("sm-x.rack-1.box", "sm-").node == "rack-1"
assert route_names.routes_of("box") == ("box",)
assert "Host sm-*.box\\n    User root" in blocks.render(Settings(), {"sm-": {}}, ["true"])
args = cli._parser("list").parse_args(["list", "--oldest-first", "--greeting", "hello"])
assert args.oldest_first
assert sources.load(sources.flags_of(args)).greeting == "hello"
found = list(log_formats.read([["my-tool listens on 10.0.1.5"]], None))
assert [(item.source, item.addresses) for item in found] == [("my-tool", ("10.0.1.5",))]
assert "user-shell" in [name for name, _ in checks._LAPTOP[0]]
assert catalog.by_name("my-editor").title == "My Editor"
assert message.PayloadType.NOTICE in channel._SHOWN
assert cli.main(["routes"]) == 0
assert "print the names of the routes" in cli.full_parser().format_help()
args = cli._parser("infra").parse_args(["infra", "outputs", "--stack", "research"])
assert args.stack == "research"
plan = Plan("eu-west-1", ("eu-west-1a", "eu-west-1b"))
assert template.render(plan)["Resources"]["Alerts"] == {"Type": "AWS::SNS::Topic"}
assert policies.WHO["auditor"] == "who reviews the stack"
assert partition.service_names("eu-west-1", ["secretsmanager"])
assert types.TYPES["AWS::EC2::NetworkAcl"].fixed == {"VpcId"}
print("all examples work")
"""


def apply(diff: str, folder: Path) -> None:
    """Apply an example: context and `-` lines are replaced by context and `+` lines."""
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        file = folder / name.strip()
        text = file.read_text(encoding="utf-8")
        for hunk in re.findall(r"(?:^[ -].*\n)+(?:^\+.*\n)+", body, re.MULTILINE):
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(old) == 1, f"{name}: {old}"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")


def test_the_examples_work_as_written(tmp_path: Path) -> None:
    for package in ("sm_proxy", "sm_proxy_lab"):
        shutil.copytree(ROOT / package, tmp_path / package)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(python|diff)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 21
    for language, body in blocks:
        if language == "diff":
            apply(body, tmp_path)
        else:
            name, _, content = body.removeprefix("# ").partition("\n")
            (tmp_path / name).write_text(content, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1:] == ["all examples work"], done.stderr
    assert done.stdout.startswith("direct\n"), done.stdout  # what the command prints
