"""`sm-proxy settings`: each setting, where it comes from, and changes of `config.toml`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

from sm_proxy.commands import options, settings_text, unknown_names
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import output, suggestion
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.settings import Settings, change, contexts, flags_of, origins, sources, variables
from sm_proxy.settings.origins import Report
from sm_proxy.settings.schema import FLAGS, RECORDED, option, validate
from sm_proxy.ssh_config import carried

DESCRIPTION: Final = (
    "Shows the value of each setting and where it comes from, and changes config.toml. When a "
    "command or ssh does not do what you have configured, see here which value counts."
)
EXAMPLES: Final = (
    ("sm-proxy settings", "every setting"),
    ("sm-proxy settings region sm-eu-myjob", "one setting, for one host"),
    ("sm-proxy settings --set wait=30m", "write it into config.toml"),
    ("sm-proxy settings sm-myjob --set trust_first_use=true", "for one host only"),
)
USES: Final = tuple(FLAGS)

_NAMES: Final = tuple(Settings.__dataclass_fields__)


@dataclass(frozen=True)
class _Asked:
    """What the words of the command line mean.

    Attributes:
        names: of settings; all if none is named.
        host: a host name, or None.
    """

    names: Sequence[str]
    host: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`settings [NAME|HOST ...] [--set NAME=VALUE] [--unset NAME] [--ssh-config PATH] [--json]`."""
    parser.add_argument(
        "words",
        metavar="NAME|HOST",
        nargs="*",
        help="settings to show, with all that is known about them; a host name, for its settings",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="write a setting into config.toml",
    )
    parser.add_argument(
        "--unset",
        metavar="NAME",
        action="append",
        default=[],
        help="remove a setting from config.toml",
    )
    options.add_ssh_config(parser)
    options.add_json(parser)


load_settings = sources.load_nothing
"""A wrong value must not stop the command that shows it."""


def run(args: argparse.Namespace, _settings: Settings) -> Result:
    """Change the file if asked to, then show; data: `{"settings": [...], "problems": [...]}`."""
    flags = flags_of(args)
    asked = _asked(args.words, origins.trace(flags))
    wanted = _wanted(args, change.keys() if args.unset else ())
    written = change.write(wanted, asked.host) if wanted else None
    unknown_names.report(wanted.get("profile"), wanted.get("region"))
    report = _with_aws_region(_with_host(origins.trace(flags, asked.host), asked.host))
    block = _block(report)
    _tell_unknown_variables()
    names = asked.names or tuple(name for name in wanted if name in _NAMES) or _NAMES
    data = {
        "host": asked.host,
        "prefix": report.prefix,
        "config_file": str(sources.config_file()),
        "ssh_file": str(report.recorded_in),
        "changed": bool(written and written[1]),
        "settings": [_data(report, name, block) for name in names],
        "problems": [_problem(problem) for problem in report.problems],
    }
    done = _done(written, wanted, report) if written else ""

    def text(view: Screen) -> str:
        return done + settings_text.render(report, names, block, view, detailed=bool(asked.names))

    failure = report.problems[0] if report.problems else None
    return Result(data, text, exit_status=1 if failure else 0, failure=failure)


def _asked(words: Sequence[str], report: Report) -> _Asked:
    """Setting names and at most one host name, in any order.

    Raises:
        SmProxyError: `bad-setting`, a word is neither.
    """
    names = [name for word in words if (name := word.replace("-", "_")) in _NAMES]
    hosts = [word for word in words if word.replace("-", "_") not in _NAMES]
    for word in hosts:
        if word in {"set", "unset"} or "=" in word:
            raise SmProxyError(
                "bad-setting",
                f"there is no setting {printable(word)}",
                "To change one: `sm-proxy settings --set wait=30m` or `--unset wait`.",
            )
        if contexts.prefix_of(word, report.prefixes) is None or hosts[1:]:
            raise settings_text.no_such_setting(word, _NAMES)
    return _Asked(names, hosts[0] if hosts else None)


def _wanted(args: argparse.Namespace, in_file: Container[str]) -> dict[str, str | None]:
    """What to write, by name; None to remove, which an unknown key of the file can be, too.

    Raises:
        SmProxyError: `bad-setting`, no value is given, or there is no such setting.
    """
    found: dict[str, str | None] = {}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            what = f"--set {text} has no value"
            raise SmProxyError("bad-setting", what, "Write it as --set NAME=VALUE.")
        found[name.replace("-", "_")] = value
    unset = [name if name in in_file else name.replace("-", "_") for name in args.unset]
    found |= dict.fromkeys(unset)
    for name, text in found.items():
        if name not in _NAMES and (text is not None or name not in in_file):
            raise settings_text.no_such_setting(name, _NAMES, or_host=False)
    return found


def _done(written: tuple[Path, bool], wanted: Mapping[str, str | None], report: Report) -> str:
    """What has been written, and whether ssh needs more than that to take it."""
    path, changed = written
    if not changed:
        return f"nothing to do in {path}\n"
    in_block = any(name in RECORDED for name in wanted) and report.recorded_in.exists()
    words = " ".join(["sm-proxy config write", *_recorded_again(wanted, report)])
    more = f"ssh takes it from its config block; then run: {words}\n"
    return f"wrote {path}\n{more if in_block else ''}"


def _recorded_again(wanted: Mapping[str, str | None], report: Report) -> list[str]:
    """The options of `config write` for what the prefix records, which would win otherwise."""
    found = []
    for name, text in wanted.items():
        origin = report.of(name) if name in RECORDED else None
        if origin is None or text is None:
            continue
        if "recorded" in {item.kind for item in (origin.used, *origin.overridden)}:
            value = validate(name, text, "--set")
            if isinstance(value, bool):
                found.append(option(name) if value else option(f"no_{name}"))
            else:
                found.append(f"{option(name)} {shlex.quote(text)}")
    of_prefix = ["--prefix", report.prefix] if report.prefix != Settings.prefix else []
    return [*of_prefix, *found] if found else []


def _with_aws_region(report: Report) -> Report:
    """With the region of the AWS profile, if nothing else names one."""
    region = report.of("region")
    if region.used.value is not None:
        return report
    from sm_proxy.aws import profiles  # noqa: PLC0415 - botocore takes a while

    profile = report.of("profile").used.value
    found = profiles.region_of(profile)
    if found is None:
        return report
    place = f"AWS profile {profile or 'default'}"
    used = replace(region.used, value=found, kind="aws-profile", place=place)
    return report.with_origin(replace(region, used=used))


def _with_host(report: Report, host: str | None) -> Report:
    """With what the table of this host has, as `Settings.trusts_first_use` reads it."""
    hosts, trust = report.of("hosts").used, report.of("trust_first_use")
    table = hosts.value.get(host, {})
    if trust.used.value or not table.get("trust_first_use"):
        return report
    return report.with_origin(replace(trust, used=replace(hosts, value=True)))


def _block(report: Report) -> dict[str, Any]:
    """What ssh takes from its config block though commands use another value, by name."""
    found: dict[str, Any] = {}
    for name, text in carried.options(_content(report.recorded_in), report.prefix).items():
        try:
            value = validate(name, text, str(report.recorded_in))
        except SmProxyError:  # the file was edited: `config check` says so
            continue
        if value != report.of(name).used.value:
            found[name] = value
    return found


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""


def _tell_unknown_variables() -> None:
    start = "SM_PROXY_"
    known = [name.removeprefix(start) for name in (*variables.OTHERS, *variables.OF_SETTINGS)]
    for name in variables.unknown():
        close = suggestion.sentence(name.removeprefix(start), known, start)
        output.status(f"{name} is set, but not known. {close}".rstrip())


def _data(report: Report, name: str, block: Mapping[str, Any]) -> dict[str, Any]:
    origin = report.of(name)
    return {
        "name": name,
        "value": _plain(origin.used.value),
        "source": origin.used.kind,
        "place": origin.used.place if origin.used.kind != "default" else None,
        "overridden": [
            {"value": _plain(found.value), "source": found.kind, "place": found.place}
            for found in origin.overridden
        ],
        "in_ssh_block": block.get(name),
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _problem(problem: SmProxyError) -> dict[str, str]:
    return {"code": problem.code, "message": problem.message, "hint": problem.hint}
