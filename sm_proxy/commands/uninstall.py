"""`sm-proxy uninstall`: removes what sm-proxy has put on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import footprint, installation, layout, output, paths, prompt, screen
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, sources
from sm_proxy.uninstall import elsewhere, folders, ssh_files
from sm_proxy.uninstall.part import Part
from sm_proxy.uninstall.ssh_files import Place

DESCRIPTION: Final = (
    "Removes what sm-proxy has put on this machine: lines in your ssh config, keys, settings, "
    "cache and logs. It lists them first, and says how to remove the program itself."
)
EXAMPLES: Final = (
    ("sm-proxy uninstall --dry-run", "show what would go"),
    ("sm-proxy uninstall", "show it, ask, then remove it"),
    ("sm-proxy uninstall --keep-keys --yes", "all but the ssh keys, without a question"),
)
USES: Final = ("ssh_dir",)
LEAVES_NOTHING: Final = True
"""No housekeeping follows: it would write to the folders that are gone."""
_STAYS: Final = (
    "what `infra deploy` made in AWS: it costs money until sm-proxy infra delete",
    "logins that the AWS CLI shares: ~/.aws",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`uninstall [--dry-run] [--yes] [--keep-keys] [--ssh-config PATH] [--json]`."""
    parser.add_argument("--dry-run", action="store_true", help="show what would go, and stop")
    parser.add_argument("--yes", action="store_true", help="ask nothing, remove the keys, too")
    parser.add_argument(
        "--keep-keys", action="store_true", help="keep our ssh keys: running jobs accept no others"
    )
    options.add_ssh_config(parser)
    options.add_json(parser)


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings; where they cannot be read, the folder of our ssh files alone."""
    try:
        return sources.load_without_contexts(args)
    except SmProxyError:
        return sources.load_folder(args)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """List what is there, ask, and remove it.

    Data: `{"removed": [{"what", "path"}], "stays": [...], "package": command, "dry_run"}`.

    Raises:
        SmProxyError: `usage`, there is no terminal to ask on; `config-malformed`, our lines in an
            ssh config are damaged; `busy`, a daemon does not answer.
    """
    ssh_config = Path(args.ssh_config) if args.ssh_config else paths.user_ssh_config()
    places = ssh_files.places(ssh_config, replace(settings, identity_file=None))
    keys = tuple(part for place in ssh_files.by_folder(places) for part in ssh_files.keys(place))
    keep = args.keep_keys
    parts = _parts(places, keep_keys=keep)
    if args.dry_run or not parts:
        return _result(parts, keys if keep else (), dry_run=args.dry_run)
    if not args.yes:
        _refuse_without_terminal()
        for line in layout.prose(
            ("This will be removed:", *_listing(parts)), screen.of(sys.stderr)
        ):
            output.write_to_stderr(line)
        if not prompt.confirm("Remove all this?"):
            return Result({"removed": []}, "nothing was removed", exit_status=1)
        if keys and not keep:
            keep = not prompt.confirm("Remove the ssh keys, too?")
            parts = _parts(places, keep_keys=True) if keep else parts
    return _removed(parts, keys if keep else ())


def _parts(places: Sequence[Place], *, keep_keys: bool) -> list[Part]:
    """Everything that is there, in the order in which it goes.

    The state folder is last: it knows what the other parts have to remove.
    """
    configs, own = ssh_files.by_config(places), ssh_files.by_folder(places)
    return [
        *_daemons(),
        *(part for place in own for part in ssh_files.shared_connections(place)),
        *(part for place in configs for part in ssh_files.lines(place)),
        *(part for place in own for part in ssh_files.own_files(place)),
        *elsewhere.editors(),
        *elsewhere.completion(),
        *(part for place in own if not keep_keys for part in ssh_files.keys(place)),
        *elsewhere.keyring(with_passphrases=not keep_keys),
        *folders.settings(),
        *folders.cache(),
        *folders.state(),
    ]


def _daemons() -> list[Part]:
    """The daemons, and the folders in which they listen.

    Raises:
        SmProxyError: `busy`, one does not answer.
    """
    if sys.platform == "win32":
        return []
    from sm_proxy.daemon import control  # noqa: PLC0415 - not on Windows

    found = list(control.running(resume=True))
    there = control.folders()
    if not (found or there):
        return []

    def remove() -> None:
        for daemon in control.running(resume=True):
            control.stop(daemon)
        control.forget()

    hosts = dict.fromkeys(each.host for daemon in found for each in daemon.status.connections)
    what = "the daemon" if found else "the daemon's files"
    where = f" in {', '.join(map(str, there))}" if there else ""
    ends = f", with the connections that it serves: ssh to {', '.join(hosts)}" if hosts else ""
    return [Part(what + where + ends, there[0] if there else None, remove)]


def _refuse_without_terminal() -> None:
    if not prompt.at_terminal():
        raise SmProxyError(
            "usage",
            "uninstall asks before it begins, and there is no terminal to ask on",
            "Look at `sm-proxy uninstall --dry-run`; if you mean it, add --yes.",
        )


def _removed(parts: Sequence[Part], kept: Sequence[Part]) -> Result:
    """Remove each part. If one fails, the others go, but not the state: the next run needs it.

    Args:
        parts: what goes.
        kept: what the user keeps.
    """
    gone: list[Part] = []
    left: list[Part] = []
    failures: list[SmProxyError] = []
    for part in parts:
        if failures and part.path == paths.state_dir():
            left.append(part)
            continue
        try:
            _remove(part)
            gone.append(part)
        except KeyboardInterrupt:
            output.status("stopped: run `sm-proxy uninstall` again to remove the rest")
            raise
        except SmProxyError as error:
            if failures:  # the first is shown as the command's own error
                output.status(error.text)
            failures.append(error)
            left.append(part)
    if failures:
        result = _result(gone, kept, left, dry_run=False)
        return replace(result, failure=failures[0], exit_status=1)
    for part in folders.state():  # it was missing, and the work has made it again
        _remove(part)
    return _result(gone, kept, dry_run=False)


def _remove(part: Part) -> None:
    part.remove()
    if part.path:
        footprint.remove_empty_parents(part.path)


def _result(
    parts: Sequence[Part], kept: Sequence[Part], left: Sequence[Part] = (), *, dry_run: bool
) -> Result:
    """What was or would be removed, what the user keeps, and what a failure has left."""
    package = installation.remove()
    stays = [*(part.what for part in (*left, *kept)), *_STAYS, *folders.shared()]
    data: dict[str, Any] = {
        "removed": [{"what": part.what, "path": part.path and str(part.path)} for part in parts],
        "stays": stays,
        "package": package,
        "dry_run": dry_run,
    }
    if not parts:
        first = ["nothing was removed" if left else "there is nothing to remove"]
    else:
        first = ["would remove:" if dry_run else "removed:", *_listing(parts)]
    shown = ["what stays:", *(f"  {printable(line)}" for line in stays)]
    # After a failure this command has to run again, so the program is still needed.
    last = () if left else (f"Then remove the program: {package}",)
    return Result(data, (*first, *shown, *last))


def _listing(parts: Sequence[Part]) -> list[str]:
    return [f"  {printable(part.what)}" for part in parts]
