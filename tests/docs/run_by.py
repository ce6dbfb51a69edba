"""Which test runs a command of the documentation.

A row is a pattern for whole command lines, and the test module that runs such a command. The first
row that fits counts. `HERE` and the others of `AS_WRITTEN` take the lines from the pages; the words
of any other line stand in the module.
"""

from __future__ import annotations

import re
from typing import Final

HERE: Final = "tests/e2e/docs_test.py"
_ARTICLE: Final = "tests/e2e/article_test.py"
_BY_HAND: Final = "tests/e2e/empty_lab_test.py"
_ENGINES: Final = "tests/e2e/engines_test.py"
AS_WRITTEN: Final = frozenset({HERE, _ARTICLE, _BY_HAND, _ENGINES})

_JOB = r"'?sm-(?:myjob|bert|latest)(?:\.algo-\d|\.\*)?"
_WHAT: Final = (
    # What a test of its own runs: it needs another job, another account, or a terminal.
    (r"script/demo", "tests/e2e/demo_test.py"),
    (r"script/test.*|script/soak|script/pythons|script/docs", "tests/script_test.py"),
    (r"\.venv/bin/sm-proxy --help|sm-proxy --help", "tests/cli_test.py"),
    (r"sm-proxy infra template .*", "tests/commands/infra_template_test.py"),
    (r"sm-proxy infra policy .*", "tests/commands/infra_policy_test.py"),
    (r"sm-proxy infra status --drift", "tests/commands/infra_status_test.py"),
    (r"sm-proxy infra deploy .*--bastion-days .*", "tests/commands/infra_deploy_test.py"),
    (r"sm-proxy infra .*", "tests/e2e/infra_test.py"),
    (r".* sm-hello(?::.*)?|sm-proxy launch job.json", "tests/e2e/infra_test.py"),
    (r"sm-proxy launch .*request.json.*", "tests/commands/launch_test.py"),
    (r"sm-proxy launch .*", "tests/e2e/launch_test.py"),
    (r"sm-proxy relaunch JOB --.*", "tests/commands/relaunch_test.py"),
    (r"sm-proxy relaunch .*|ssh sm-bert-7.*", "tests/e2e/relaunch_test.py"),
    (r"sm-proxy go .*|sm-proxy done .*", "tests/e2e/hold_test.py"),
    (r"sm-proxy setup --identity-file ~/.ssh/id_rsa", _ARTICLE),
    (r"sm-proxy settings sm-myjob --set trust_first_use=true", _ARTICLE),
    (
        r"sm-proxy config (?:show|remove|write .*--(?:dry-run|identity-agent)).*",
        "tests/commands/config_test.py",
    ),
    (r"sm-proxy setup .*--yes", "tests/setup/answers_test.py"),
    (r"sm-proxy (?:setup|config) ?.*|ssh sm-eu-myjob", "tests/e2e/setup_test.py"),
    (r"sm-proxy keys .*", "tests/e2e/keys_test.py"),
    (r"sm-proxy login --no-browser", "tests/aws/sso_test.py"),
    (r"sm-proxy login .*", "tests/commands/login_test.py"),
    (r"sm-proxy daemon stop", "tests/commands/daemon_test.py"),
    (r"sm-proxy daemon .*", "tests/e2e/daemon_test.py"),
    (r"sm-proxy container init .*", "tests/commands/container_test.py"),
    (r"sm-proxy image build .*", "tests/commands/image_test.py"),
    (r"sm-proxy enable-remote-debug .*", "tests/e2e/remote_debug_test.py"),
    (r"sm-proxy bootstrap .*", "tests/e2e/bootstrap_test.py"),
    (r"(?:sm-proxy (?:start|stop) )sm-myspace.space.*", "tests/e2e/space_start_test.py"),
    (r"sm-proxy (?:tunnel|vscode) sm-myspace.*", "tests/e2e/session_kinds_test.py"),
    (r"(?:ssh|sm-proxy \w+) '?(?:\w+@)?sm-myspace.*", "tests/e2e/spaces_test.py"),
    (r"(?:ssh|sm-proxy \w+) '?(?:[\w-]+@)?sm-mycluster.*", "tests/e2e/hyperpod_test.py"),
    (r"ssh sm-myjob\.processing|ssh sm-bert", "tests/e2e/names_test.py"),
    (r"(?:PDSH_RCMD_TYPE=ssh )?(?:pdsh|clush|parallel-ssh|ansible) .*", _ENGINES),
    (r"sm-proxy completion .*", "tests/commands/completion_test.py"),
    (r"sm-proxy sync.*", "tests/e2e/sync_test.py"),
    (r"sm-proxy settings.*", "tests/commands/settings_test.py"),
    (r"ssh -J .*", "tests/e2e/fdpass_test.py"),
    (r"sm-proxy connect .*", "tests/e2e/nodes_test.py"),
    (r"aws (?:iam|ec2) .*|BASTION_GROUP=.*|for PORT .*", _BY_HAND),
    (r"aws s3 .*", "tests/e2e/keys_test.py"),
    (r"script/release.*", "tests/release_test.py"),
    (r"(?:pipx|shiv|pex) .*", "tests/e2e/installs_test.py"),
    (r"pip .*", "tests/e2e/wheel_test.py"),
    (r"sm-proxy uninstall ?.*", "tests/commands/uninstall_test.py"),
    (r"sh /opt/ml/input/data/sm_proxy/entrypoint.sh .*", "tests/e2e/relaunch_test.py"),
    # The rest, on one job.
    (rf"(?:ssh|scp|sm-proxy \w+(?: -r)?) {_JOB}(?:[ :].*)?", HERE),
    (rf"rsync -a {_JOB}:.*", HERE),
    (rf"sm-proxy logs [\w -]*{_JOB}", HERE),
    (rf"sm-proxy cp -r data {_JOB}:.*", HERE),
    (r"sm-proxy list(?: --.*)?", HERE),
)
ROWS: Final = tuple((re.compile(pattern), test) for pattern, test in _WHAT)


def test_of(command: str) -> str:
    """The test module that runs a command line; empty if there is none."""
    return next((test for pattern, test in ROWS if pattern.fullmatch(command)), "")
