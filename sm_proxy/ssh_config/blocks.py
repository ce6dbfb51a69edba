"""The content of our own ssh file: concrete hosts (stubs), then the wildcard blocks of each prefix.

A context has one block for all its hosts. Before it come those of the kinds that have a user of
their own, because ssh takes the first value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.identity import identities
from sm_proxy.jobs import hostname
from sm_proxy.settings import Settings, contexts
from sm_proxy.settings.contexts import Contexts
from sm_proxy.settings.schema import IN_PROXY_COMMAND, option, validate
from sm_proxy.ssh_config import host_patterns, pinned, quoting
from sm_proxy.ssh_config.quoting import Platform

HEADER = "# Written by sm-proxy: do not edit, `sm-proxy config write` replaces it."
STUBS_BEGIN = "# >>> sm-proxy stubs >>>"
STUBS_END = "# <<< sm-proxy stubs <<<"
_CONNECT_SLACK_S = 60
"""Seconds added to the wait: ConnectTimeout covers the whole time until the server's banner."""
_SUN_PATH = 103
"""Bytes of a socket's path that every system accepts (macOS has 104 with the NUL)."""
_MUX_SUFFIX = 17
"""ssh first binds a temporary name that is this many bytes longer."""
_NAME_ROOM = 43
"""A socket's path must have room for this many bytes of host name: `sm-` and a usual job name."""
_PERSIST = "10m"
_DEFAULTS = Settings()

_NAMED_BY_TOKEN = ("    ProxyCommand ", "    UserKnownHostsFile ")
_TOKEN = re.compile(r"(?<!%)((?:%%)*)%n")


@dataclass(frozen=True)
class Stub:
    """One concrete host, for editors and tab completion, which do not list wildcards.

    Attributes:
        host: its name.
        user: to log in as.
        comment: for people.
        host_keys: `"type base64"` each, if known; they are not written to this file.
    """

    host: str
    user: str
    comment: str
    host_keys: tuple[str, ...] = field(default=(), compare=False)


def render(
    base: Settings,
    known: Contexts,
    program: list[str],
    *,
    stubs: Sequence[Stub] = (),
    taken: Sequence[str] = (),
) -> str:
    """The text of the whole file.

    Args:
        base: settings for what no context sets.
        known: every context, by prefix.
        program: how to start sm-proxy.
        stubs: the concrete hosts.
        taken: the user's own host names and patterns, which our blocks exclude.
    """
    parts: list[str] = []
    order = contexts.longest_first(known)
    for prefix in order:
        longer = [f"{other}*" for other in order if other != prefix and other.startswith(prefix)]
        own = host_patterns.excluded_patterns(taken, prefix, known)
        excluded = "".join(f" !{pattern}" for pattern in (*longer, *own))
        context = replace(base, **{**known[prefix], "prefix": prefix})
        parts += ["", contexts.record_line(prefix, known[prefix])]
        for kind in SESSION_KINDS:
            parts += _kind_lines(context, kind, excluded)
        if _has_room(context):
            parts += [f"Host {_too_long(context)}{excluded}", "    ControlPath none"]
        parts.append(f"Host {prefix}*{excluded}")
        parts += option_lines(context, program, otherwise=base)
        parts += [f"    {line}" for line in pinned.lines(context)]
        parts += _control_path(context)
    return "\n".join([HEADER, stub_section(stubs, known, parts), *parts]) + "\n"


def _kind_lines(context: Settings, kind: str, excluded: str) -> list[str]:
    """The block of a kind with its own user; `ssh USER@HOST` still wins.

    No agent is forwarded where nobody vouches for the host key (docs/security.md).
    """
    settings = replace(context, user=SESSION_KINDS[kind].user)
    lines = [f"Host {context.prefix}*.{kind}{excluded}", f"    User {settings.user}"]
    if SESSION_KINDS[kind].accepts_first_key:
        lines.append("    ForwardAgent no")
    if not _has_room(settings):
        return [*lines, "    ControlPath none"]
    long = [f"Host {_too_long(settings, f'.{kind}')}{excluded}", "    ControlPath none"]
    return [*lines, *long]


def option_lines(
    settings: Settings,
    program: list[str],
    platform: Platform | None = None,
    *,
    otherwise: Settings = _DEFAULTS,
) -> list[str]:
    """The indented options that a connection needs if ssh reads no other config.

    Args:
        settings: of the connection.
        program: how to start sm-proxy.
        platform: whose ssh it is; None for this one.
        otherwise: as for `proxy_command`.
    """
    folder = settings.known_hosts_folder
    command = proxy_command(settings, program, platform, otherwise=otherwise)
    return [
        f"    ProxyCommand {command}",
        f"    User {settings.user}",
        *_identity_lines(identities.offered_paths(settings), platform),
        *_agent_lines(settings.identity_agent, platform),
        "    IdentitiesOnly yes",
        "    StrictHostKeyChecking yes",
        f"    UserKnownHostsFile {quoting.path_value(folder, platform, '/%n')}",
        "    GlobalKnownHostsFile none",
        "    UpdateHostKeys no",
        "    CheckHostIP no",
        f"    ConnectTimeout {settings.wait + _CONNECT_SLACK_S}",
        "    ServerAliveInterval 30",
        "    ServerAliveCountMax 4",
        f"    Compression {'yes' if settings.compression else 'no'}",
    ]


def _identity_lines(keys: Sequence[Path], platform: Platform | None = None) -> list[str]:
    values = [quoting.path_value(key, platform) for key in keys]
    return [f"    IdentityFile {value}" for value in values]


def _agent_lines(agent: str | None, platform: Platform | None) -> list[str]:
    if not agent:
        return []
    if agent not in contexts.AGENT_WORDS:
        path = Path(agent).expanduser()
        agent = quoting.path_value(path, platform)
    return [f"    IdentityAgent {agent}"]


def with_keys(content: bytes, keys: Sequence[Path]) -> bytes:
    """Our file's content, with all of `keys` in the blocks that offer the first of them."""
    lines = [line.encode() for line in _identity_lines(keys)]
    pattern = rb"^%b$(?:\n    IdentityFile .*$)*" % re.escape(lines[0])
    return re.sub(pattern, lambda _: b"\n".join(lines), content, flags=re.MULTILINE)


def proxy_command(
    settings: Settings,
    program: list[str],
    platform: Platform | None = None,
    *,
    otherwise: Settings = _DEFAULTS,
) -> str:
    """The ProxyCommand's value: absolute path, quoted for a shell, `%` escaped for ssh.

    Args:
        settings: of the connection.
        program: how to start sm-proxy.
        platform: whose ssh it is; None for this one.
        otherwise: what `connect` would take without options. A default is an option only if
            another value would win, such as one of config.toml.
    """

    def differs(name: str) -> bool:
        value = getattr(settings, name)
        return any(value != getattr(other, name) for other in (_DEFAULTS, otherwise))

    words = [quoting.quote_word(word, platform) for word in program]
    if settings.ssh_dir:
        words += ["--ssh-dir", quoting.quote_word(str(settings.ssh_folder), platform)]
    for name in (*IN_PROXY_COMMAND, "prefix"):
        if (value := getattr(settings, name)) and differs(name):
            words += [option(name), quoting.quote_word(str(value), platform)]
    words.append("connect --user %r %n %p")
    if differs("wait"):  # ConnectTimeout depends on it
        words.append(f"--wait {settings.wait}")
    return " ".join(words)


def control_folder(settings: Settings) -> Path:
    """The private folder of the ControlMaster's sockets.

    Without `control_master` it is a folder that always exists: the user's own `Host *` may
    switch sharing on, and an ssh that cannot create its socket ends.
    """
    return settings.ssh_folder / "cm" if settings.control_master else settings.ssh_folder


def _control_path(settings: Settings, platform: Platform | None = None) -> list[str]:
    """The ControlPath lines, also without `control_master`: the user's `Host *` may switch it on.

    The path has `%n`, because `%h` and `%C` are the same for names that differ only in case: ssh to
    a second job would end up in the first job's container. ssh ends if the path is too long.
    """
    folder = control_folder(settings)
    if settings.control_master:
        _require_control_master(settings, platform)
    if not _has_room(settings, platform):
        return ["    ControlPath none"]
    path = quoting.path_value(folder, platform, "/%r@%n:%p")
    sharing = ["    ControlMaster auto", f"    ControlPersist {_PERSIST}"]
    return [f"    ControlPath {path}", *(sharing if settings.control_master else [])]


def _require_control_master(settings: Settings, platform: Platform | None) -> None:
    if (platform or quoting.current_platform()) != "posix":
        raise SmProxyError(
            "unsupported", "ssh on Windows has no ControlMaster", "Use --no-control-master."
        )
    if not _has_room(settings, platform):
        folder, room = control_folder(settings), max(_name_room(settings), 0)
        raise SmProxyError(
            "unsupported",
            f"the path of a socket in {folder} has room for a host name of {room} characters only",
            "Choose a shorter folder with --ssh-dir, or --no-control-master.",
        )


def _has_room(settings: Settings, platform: Platform | None = None) -> bool:
    """Whether a socket's path in our folder has room for usual host names."""
    kind = platform or quoting.current_platform()
    return kind == "posix" and _name_room(settings) >= _NAME_ROOM


def _too_long(settings: Settings, end: str = "") -> str:
    """The pattern of host names with this end that are too long for a socket's path.

    ssh ends if a ControlPath is too long, so such a host gets `ControlPath none`.
    """
    return settings.prefix.ljust(_name_room(settings) + 1 - len(end), "?") + "*" + end


def _name_room(settings: Settings) -> int:
    """How many bytes of a host name fit into a socket's path, with the longest port."""
    known = f"{control_folder(settings)}/{settings.user}@:65535"
    return _SUN_PATH - _MUX_SUFFIX - len(known.encode())


def stub_section(stubs: Sequence[Stub], known: Contexts, lines_of_blocks: Sequence[str]) -> str:
    """The marked section with one Host block per stub; of two stubs with one name, the first.

    Args:
        stubs: the concrete hosts.
        known: every context, by prefix.
        lines_of_blocks: the wildcard blocks that follow the section.

    Raises:
        SmProxyError: `bad-name` or `bad-setting`, a stub has an invalid name or user.
    """
    lines = [STUBS_BEGIN]
    seen: set[str] = set()
    for stub in stubs:
        _refuse_bad(stub, known)
        if stub.host in seen:
            continue
        seen.add(stub.host)
        lines += [f"Host {stub.host}", f"    User {stub.user}"]
        lines += _literal_lines(stub.host, known, lines_of_blocks)
        if comment := printable(stub.comment, 200):
            # Indented, so that no comment can look like one of our marks.
            lines.append(f"    # {comment}")
    return "\n".join([*lines, STUBS_END])


def _literal_lines(host: str, known: Contexts, lines_of_blocks: Sequence[str]) -> list[str]:
    """The options of the host's wildcard block that contain `%n`, with the name in its place.

    Clients with an ssh library of their own (asyncssh, paramiko, ssh2) do not know `%n`.
    """
    block = f"Host {contexts.prefix_of(host, known)}*"
    found: list[str] = []
    inside = False
    for line in lines_of_blocks:
        if line.startswith("Host "):
            inside = f"{line} ".startswith(f"{block} ")
        elif inside and line.startswith(_NAMED_BY_TOKEN) and _TOKEN.search(line):
            found.append(_TOKEN.sub(rf"\g<1>{host}", line))
            if line.startswith(_NAMED_BY_TOKEN[1]):  # they read `none` as the name of a file
                found.append(found[-1].replace("    User", "    Global", 1))
    return found


def _refuse_bad(stub: Stub, known: Contexts) -> None:
    prefix = contexts.prefix_of(stub.host, known)
    hostname.parse(stub.host, prefix if prefix is not None else next(iter(known), Settings.prefix))
    validate("user", stub.user, f"the stub of {stub.host}")


def stub_span(content: bytes, path: Path) -> tuple[int, int] | None:
    """Start and end offset of the section in our file, with its marks; None if there is none.

    Raises:
        SmProxyError: `config-malformed`, one of the two marks is missing or repeated.
    """
    begins = [m.start() for m in re.finditer(rf"^{STUBS_BEGIN}$".encode(), content, re.MULTILINE)]
    ends = [m.end() for m in re.finditer(rf"^{STUBS_END}$".encode(), content, re.MULTILINE)]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        number = content.count(b"\n", 0, (begins or ends)[-1]) + 1
        raise SmProxyError(
            "config-malformed",
            f"{path}:{number}: a marker line of the running hosts is missing or repeated",
            f"Delete {path}, then run `sm-proxy config write`.",
        )
    return begins[0], ends[0]


def is_excluded(host: str, content: bytes, known: Contexts) -> bool:
    """Whether the wildcard block of its prefix excludes the host, because it is the user's own."""
    block = f"Host {contexts.prefix_of(host, known)}* "
    lines = content.decode("utf-8", "replace").split("\n")
    words = [word for line in lines if line.startswith(block) for word in line.split()]
    return host_patterns.matches(host, (word[1:] for word in words if word.startswith("!")))


def parse_stubs(content: bytes, path: Path) -> list[Stub]:
    """The stubs in our own file."""
    span = stub_span(content, path)
    if span is None:
        return []
    found: list[Stub] = []
    for line in content[slice(*span)].decode("utf-8", "replace").splitlines()[1:-1]:
        keyword, _, value = line.strip().partition(" ")
        if keyword == "Host":
            found.append(Stub(value, Settings.user, ""))
        elif found and keyword == "User":
            found[-1] = replace(found[-1], user=value)
        elif found and keyword == "#":
            found[-1] = replace(found[-1], comment=value)
    return found


def programs(content: bytes) -> list[str]:
    """The programs of the ProxyCommands in our own file, each once."""
    return list(dict.fromkeys(words[0] if words else "" for words in _proxy_commands(content)))


def scripts(content: bytes) -> list[str]:
    """The files that the ProxyCommands give to Python, each once: an archive, or our package."""
    given = (words[2] for words in _proxy_commands(content) if words[1:2] == ["-I"] and words[2:])
    return list(dict.fromkeys(word for word in given if Path(word).is_absolute()))


def _proxy_commands(content: bytes) -> Iterator[list[str]]:
    """The words of each; none if its quotes are not closed."""
    for match in re.finditer(rb"^[ \t]+ProxyCommand (.*)$", content, re.MULTILINE):
        yield quoting.command_words(match[1].decode("utf-8", "replace"))
