"""docs/man/sm-proxy.1: the manual page, in the macros of man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sm_proxy.help.described import Command, Group

_QUOTED: Final = re.compile(r"`([^`]+)`")
_END: Final = r"""
.SH "EXIT STATUS"
.TP
.B 0
done
.TP
.B 1
an expected error: the last line on stderr is "sm\-proxy: CODE: what happened. What to do"
.TP
.B 2
a usage error
.TP
.B 70
a bug of sm\-proxy: the last line names the report
.TP
.B 130
interrupted
.PP
.BR launch ", " logs ", " tunnel ", " "image build" " and " "lab run"
end with the status of what they run or follow.
.SH ENVIRONMENT
Each setting is also a variable: SM_PROXY_REGION for
.BR \-\-region .
AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and other variables of AWS work as for the AWS CLI.
NO_COLOR switches colours off.
.SH FILES
.TP
.I ~/.ssh/sm\-proxy/
our ssh config, key and known hosts; an Include in
.I ~/.ssh/config
leads there
.TP
.I ~/.config/sm\-proxy/config.toml
settings (on macOS below
.IR "~/Library/Application Support" )
.SH "SEE ALSO"
.BR ssh (1),
.BR scp (1),
.BR ssh_config (5)
"""


def render(root: Command, commands: Sequence[Command], settings: Group, version: str) -> str:
    """The page.

    Args:
        root: of the program: its groups are the sections of commands.
        commands: all commands and actions, in the order of the page.
        settings: the options that set them.
        version: of the program.
    """
    lines = [
        '.\\" Written by script/reference.',
        f'.TH SM\\-PROXY 1 "" "sm\\-proxy {version}" "sm\\-proxy"',
        ".nh",  # no word is broken
        ".ad l",
        ".SH NAME",
        f"sm\\-proxy \\- {_text(root.description.rstrip('.'))}",
        ".SH SYNOPSIS",
        *_usage(root),
        ".SH DESCRIPTION",
        _text(root.epilog),
    ]
    for group in root.groups:
        if group.title != "output":
            lines += [f'.SS "{_text(group.title)}"', *_rows(group)]
    lines.append(".SH COMMANDS")
    lines += [line for command in commands for line in _command(command)]
    lines += [".SH OPTIONS", "Every command takes these, before or after its name."]
    lines += [*_rows(settings), *_rows(root.groups[-1])]
    return "\n".join(lines) + _END


def _command(command: Command) -> Iterator[str]:
    yield f'.SS "{_text(command.prog)}"'
    yield from _usage(command)
    yield ".PP"
    yield _text(command.description)
    for line, purpose in command.examples:
        yield from (".PP", f"{_text(purpose)}:", ".RS 4", ".EX", _literal(line), ".EE", ".RE")
    for group in command.groups:
        if group.title == "settings":
            names = ", ".join(row.names.partition(" ")[0] for row in group.rows)
            yield from (".PP", f"Settings: {_literal(names)}")
        elif group.title == "output":
            yield from _rows(Group("", tuple(row for row in group.rows if row.names == "--json")))
        else:
            yield from (".PP", f"{_text(group.title[:1].upper() + group.title[1:])}:")
            yield from _rows(group)


def _usage(command: Command) -> Iterator[str]:
    for form in command.usage:
        yield from (f".B {_literal(form)}", ".br")


def _rows(group: Group) -> Iterator[str]:
    for row in group.rows:
        yield from (".TP", f".B {_literal(row.names)}", _text(row.text))


def _text(text: str) -> str:
    return _QUOTED.sub(r"\\fB\1\\fR", _literal(text))


def _literal(text: str) -> str:
    """Text of which roff changes nothing: a hyphen would become U+2010 when it is copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    escaped = escaped.replace("'", "\\(aq").replace("~", "\\(ti").replace("^", "\\(ha")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
