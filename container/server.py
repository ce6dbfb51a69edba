"""sm-proxy: an SSH server for images with neither sshd nor dropbear, on asyncssh.

Offers shell and exec with and without a terminal, sftp, scp, and forwarding of ports and of Unix
sockets in both directions: VS Code needs them. Accepts keys only, and reads the files of authorised
keys at each login, so a removed key stops working at once. Started by python.sh. Its messages are
those of sshd, because serve.sh reads them.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import pathlib
import pwd
import re
import signal
import struct
import sys
import termios

import asyncssh

_HIDDEN = re.compile(
    "SM_PROXY_AUTHORIZED_KEY.*|SM_PROXY_SSHD|SSH_.*|HOSTNAME|PWD|OLDPWD|SHLVL|_|TERM|MAIL"
)
_CHUNK = 65536


def say(message):
    """Write one line for serve.sh, without the control characters that a client may have sent."""
    text = "".join(c if c.isprintable() else "?" for c in message)
    sys.stdout.write(text[:500] + "\n")
    sys.stdout.flush()


def home_and_shell():
    """Return home and shell of our user, who need not have an entry in /etc/passwd."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return os.environ.get("HOME") or "/", "/bin/sh"
    shell = entry.pw_shell if os.access(entry.pw_shell, os.X_OK) else "/bin/sh"
    return entry.pw_dir, shell


def authorized_keys(options):
    """Return the lines of the authorised keys, without keys whose private half is in the image."""
    run = pathlib.Path(options.run)
    exposed = {line.split()[1] for line in read_lines(run / "exposed_keys")}
    files = [run / "authorized_keys"]
    if options.image_keys:
        files.append(pathlib.Path(options.image_keys))
    lines = [line for file in files for line in read_lines(file)]
    return "\n".join(line for line in lines if exposed.isdisjoint(line.split()))


def read_lines(file):
    """Return the lines of a file; an empty list if the file does not exist."""
    return file.read_text(errors="replace").splitlines() if file.is_file() else []


class Server(asyncssh.SSHServer):
    """One connection: decides who may log in, and allows all kinds of forwarding."""

    def __init__(self, options):
        self._options = options
        self._connection = None

    def connection_made(self, conn):
        self._connection = conn

    def begin_auth(self, username):
        try:
            text = authorized_keys(self._options) if username == self._options.user else ""
            keys = asyncssh.import_authorized_keys(text) if text else b""
            self._connection.set_authorized_keys(keys)
        except (OSError, ValueError) as error:
            say(f"error: authorised keys: {error}")
            self._connection.set_authorized_keys(b"")
        return True

    def password_auth_supported(self):
        return False

    def kbdint_auth_supported(self):
        return False

    def auth_completed(self):
        host, port = self._connection.get_extra_info("peername")[:2]
        user = self._connection.get_extra_info("username")
        say(f"Accepted publickey for {user} from {host} port {port} ssh2")

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return True

    def unix_connection_requested(self, dest_path):
        return True

    def server_requested(self, listen_host, listen_port):
        return True

    def unix_server_requested(self, listen_path):
        return True


class SftpServer(asyncssh.SFTPServer):
    """sftp and scp, with the exit status that asyncssh does not send and OpenSSH's scp needs."""

    def exit(self):
        self.channel.exit(0)  # no effect after another status, or if the client is gone


def read_environment(stream):
    """Read the job's environment, as environment.sh prints it."""
    pairs = (line.partition(b"=") for line in stream.read().split(b"\n") if b"=" in line)
    return {os.fsdecode(n): os.fsdecode(v.replace(b"\1", b"\n")) for n, _, v in pairs}


def session_environment(process, options):
    """Return the job's environment, with the variables of this session."""
    home, shell = home_and_shell()
    job = options.environment
    variables = {name: value for name, value in job.items() if not _HIDDEN.fullmatch(name)}
    sent = {str(name): str(value) for name, value in process.env.items()}
    variables.update((k, v) for k, v in sent.items() if k == "LANG" or k.startswith("LC_"))
    peer, own = (process.get_extra_info(name)[:2] for name in ("peername", "sockname"))
    variables.update(
        HOME=home,
        USER=options.user,
        LOGNAME=options.user,
        SHELL=shell,
        SM_PROXY_RUN_DIR=options.run,
        SSH_CONNECTION=f"{peer[0]} {peer[1]} {own[0]} {own[1]}",
        SSH_CLIENT=f"{peer[0]} {peer[1]} {own[1]}",
    )
    agent = process.channel.get_agent_path()
    if agent:
        variables["SSH_AUTH_SOCK"] = agent
    return variables


async def serve_session(process, options):
    """Run the client's command, and send its exit status or signal."""
    home, shell = home_and_shell()
    command = process.command
    arguments = [shell, "-c", command] if command else ["-" + os.path.basename(shell)]
    settings = {
        "executable": shell,
        "env": session_environment(process, options),
        "cwd": home if os.path.isdir(home) else "/",
        "start_new_session": True,
    }
    run = run_on_pipes if process.term_type is None else run_on_terminal
    try:
        status = await run(process, arguments, settings)
    except OSError as error:
        say(f"error: session: {error}")
        status = 127
    if status < 0:
        process.exit_with_signal(signal.Signals(-status).name[3:])
    else:
        process.exit(status)


async def run_on_pipes(process, arguments, settings):
    """Run a command without a terminal; return its exit status."""
    # We do not use the library's redirection: with a slow client it loses data and the connection.
    with contextlib.ExitStack() as ours:
        with contextlib.ExitStack() as theirs:
            stdin, stdin_writer = open_pipe(theirs, ours)
            stdout_reader, stdout = open_pipe(ours, theirs)
            stderr_reader, stderr = open_pipe(ours, theirs)
            child = await asyncio.create_subprocess_exec(
                *arguments, stdin=stdin, stdout=stdout, stderr=stderr, **settings
            )
        outputs = (stdout_reader, process.stdout), (stderr_reader, process.stderr)
        await copy_both_ways(process, child, stdin_writer, outputs)
    return await child.wait()


def open_pipe(reader, writer):
    """Make a pipe as two unbuffered files; each is closed by the stack that was given for it."""
    source, target = os.pipe()
    return (
        reader.enter_context(open(source, "rb", 0)),
        writer.enter_context(open(target, "wb", 0)),
    )


def open_terminal(size, ours, theirs):
    """Open a terminal as two unbuffered files. When ours is closed, the kernel hangs up theirs."""
    pty, tty = os.openpty()
    set_size(pty, size)
    return (
        ours.enter_context(open(pty, "r+b", 0)),
        theirs.enter_context(open(tty, "r+b", 0)),
    )


async def run_on_terminal(process, arguments, settings):
    """Run a command on a terminal; return its exit status."""
    with contextlib.ExitStack() as ours:
        with contextlib.ExitStack() as theirs:
            pty, tty = open_terminal(process.get_terminal_size(), ours, theirs)
            settings["env"]["TERM"] = process.term_type
            settings["env"]["SSH_TTY"] = os.ttyname(tty.fileno())
            child = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=tty,
                stdout=tty,
                stderr=tty,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                **settings,
            )
        await copy_both_ways(process, child, pty, [(pty, process.stdout)])
    return await child.wait()


async def copy_both_ways(process, child, stdin_writer, outputs):
    """Copy both ways until the output ends, or the client is gone.

    As in sshd, a session ends with the output, not with the program.
    """
    for file in [stdin_writer] + [source for source, _ in outputs]:
        os.set_blocking(file.fileno(), False)
    input_task = asyncio.ensure_future(copy_input(process, child, stdin_writer))
    output_tasks = [
        asyncio.ensure_future(copy_output(source, target)) for source, target in outputs
    ]
    output_ended = asyncio.gather(*output_tasks, return_exceptions=True)
    client_gone = asyncio.ensure_future(process.channel.wait_closed())
    await asyncio.wait([output_ended, client_gone], return_when=asyncio.FIRST_COMPLETED)
    # End all of them before the files are closed: the event loop watches their descriptors.
    tasks = [input_task, client_gone, *output_tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def set_size(terminal, size):
    columns, rows, width, height = size
    packed = struct.pack("HHHH", rows, columns, width, height)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)


async def wait_until_ready(add, remove, file):
    """Wait until a file can be read, or written."""
    loop = asyncio.get_running_loop()
    able = asyncio.Event()
    getattr(loop, add)(file, able.set)
    try:
        await able.wait()
    finally:
        getattr(loop, remove)(file)


async def copy_output(source, target):
    """Copy the output of a program, no faster than the client reads it."""
    while True:
        try:
            data = source.read(_CHUNK)
        except OSError:  # EIO: the other side of the terminal is closed
            return
        if data is None:
            await wait_until_ready("add_reader", "remove_reader", source)
        elif data:
            target.write(data)
            await target.drain()
        else:
            return


async def copy_input(process, child, target):
    """Copy the client's input until it ends."""
    while True:
        try:
            data = await process.stdin.read(_CHUNK)
        except asyncssh.TerminalSizeChanged as change:
            size = (change.width, change.height, change.pixwidth, change.pixheight)
            set_size(target, size)
            continue
        except asyncssh.BreakReceived:
            data = b"\x03"
        except asyncssh.SignalReceived as sent:
            forward_signal(child, sent.signal)
            continue
        if not data:
            break
        with contextlib.suppress(OSError):  # the program no longer reads: wait for the input's end
            await write_all(target, data)
    if process.term_type is None:
        target.close()


def forward_signal(child, name):
    with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):
        os.killpg(child.pid, getattr(signal, f"SIG{name}"))


async def write_all(target, data):
    while data:
        written = target.write(data)
        if written is None:
            await wait_until_ready("add_writer", "remove_writer", target)
        else:
            data = data[written:]


def ensure_host_key(run):
    """Return the file of the container's host key; write its public half to `host_keys`.

    The first start makes the key.
    """
    file = pathlib.Path(run, "ssh_host_ed25519_key")
    if not file.exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        file.touch(mode=0o600)
        file.write_bytes(key.export_private_key())
    public = asyncssh.read_private_key(str(file)).export_public_key().decode().split()
    pathlib.Path(run, "host_keys").write_text(" ".join(public[:2]) + "; ", encoding="ascii")
    return str(file)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("run", "user", "address", "image-keys"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    options.environment = read_environment(sys.stdin.buffer)
    with contextlib.suppress(OSError):
        os.chdir(home_and_shell()[0])  # relative paths of sftp and scp start here
    pathlib.Path(options.run, "sshd.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    acceptor = await asyncssh.listen(
        options.address,
        options.port,
        server_factory=lambda: Server(options),
        server_host_keys=[ensure_host_key(options.run)],
        process_factory=lambda process: serve_session(process, options),
        sftp_factory=SftpServer,
        allow_scp=True,
        encoding=None,
        line_editor=False,
        agent_forwarding=True,
        x11_forwarding=False,
        login_timeout=60,
        keepalive_interval=30,
        keepalive_count_max=4,
    )
    say(f"Server listening on {options.address} port {options.port}.")
    await acceptor.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (OSError, asyncssh.Error) as error:
        say(f"error: {error}")
        sys.exit(1)
