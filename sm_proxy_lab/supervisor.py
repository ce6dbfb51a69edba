"""The lab's supervisor: `python -m sm_proxy_lab.supervisor FD`, started by the lab's init.

It starts everything, moves jobs through their statuses and runs CMD. When it exits, init ends the
rest. FD is a pipe from the caller's process (`sm-proxy lab run`): it carries a JSON line with the
options, then two bytes for each signal (its number; `t` if the terminal sent it, else `k`). End of
file means that the caller has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sm_proxy_lab import environment, image_config, init, ssh_programs, start_up
from sm_proxy_lab.account import IMAGE, Account, Vpc
from sm_proxy_lab.aws.control_client import ControlClient, ControlError
from sm_proxy_lab.cluster_nodes import ClusterNodes
from sm_proxy_lab.containers import ContainerRunner
from sm_proxy_lab.errors import LabError, report
from sm_proxy_lab.image_config import ImageConfig
from sm_proxy_lab.job_kinds import KINDS
from sm_proxy_lab.job_lifecycle import JobLifecycle
from sm_proxy_lab.job_log import ControlQueue
from sm_proxy_lab.machines import image, network, packet_filter, reap
from sm_proxy_lab.machines.processes import Child, lines
from sm_proxy_lab.machines.software import find_software
from sm_proxy_lab.options import Options
from sm_proxy_lab.python import python_module
from sm_proxy_lab.space_machines import SpaceMachines
from sm_proxy_lab.terminals.place import Site
from sm_proxy_lab.terminals.server import TerminalServer

LAB_FAILED = init.FAILED
_START_TIMEOUT_S = 60.0
_HISTORY = ["RUN apt-get install -y openssh-server python3"]  # what the lab's own image has
_COMMAND_GRACE_S = 10.0  # for CMD to end after a signal, before the lab ends


@dataclass
class Ending:
    """The exit status with which the lab ends, once it is known."""

    status: asyncio.Future[int] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def set(self, status: int) -> None:
        """End with this exit status; the first call counts."""
        if not self.status.done():
            self.status.set_result(status)


class Lab:
    """One running lab."""

    def __init__(self, options: Options, caller: int) -> None:
        """Prepare; nothing is started yet.

        Args:
            options: the options of the lab.
            caller: the pipe from the caller's process.
        """
        self._options = options
        self._folder = Path(options.folder)
        self._agents = self._folder / "agents.sock"
        self._caller = caller
        self._ending = Ending()
        self._command: Child | None = None
        self._lifecycles: dict[tuple[str, str], JobLifecycle] = {}  # by kind and name
        self._tasks: set[asyncio.Task[None]] = set()
        self._own_job = asyncio.Event()
        self._own_ready = asyncio.Event()
        self._aws_ready = asyncio.Event()

    async def run(self) -> int:
        """Run until CMD or the caller has ended, a signal came or something broke.

        Returns:
            The exit status of the lab.
        """
        asyncio.get_running_loop().add_reader(self._caller, self._on_caller)
        self._spawn(self._start())
        return await self._ending.status

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(self._guarded(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, coroutine: Any) -> None:
        """Run a coroutine; if it fails, report that and end the lab."""
        try:
            await coroutine
        except LabError as error:
            report(str(error))
            self._ending.set(LAB_FAILED)
        except Exception:
            logging.getLogger(__name__).exception("the lab broke")
            self._ending.set(LAB_FAILED)

    # ---- the caller ----

    def _on_caller(self) -> None:
        message = os.read(self._caller, 2)
        if len(message) < 2:
            asyncio.get_running_loop().remove_reader(self._caller)
            self._ending.set(128 + signal.SIGKILL)
            return
        number, from_terminal = message[0], message[1] == ord("t")
        command = self._command
        if command is None:
            self._ending.set(128 + number)
        elif not from_terminal:
            # A terminal sends its signals to CMD itself.
            command.send(number)
            self._spawn(self._end_soon(command, 128 + number))

    async def _end_soon(self, command: Child, status: int) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(command.wait(), _COMMAND_GRACE_S)
        self._ending.set(status)

    # ---- start-up ----

    async def _start(self) -> None:
        await self._prepare()
        if self._options.command:
            await self._run_command()
        else:
            self._show_exports()

    @start_up.shown()
    async def _prepare(self) -> None:
        options = self._options
        # In a thread that ends here: pyroute2 runs an event loop of its own, and `enter_laptop`
        # below moves only the main thread.
        with ThreadPoolExecutor(max_workers=1) as pool:
            in_thread = functools.partial(asyncio.get_running_loop().run_in_executor, pool)
            software = await in_thread(find_software, options.image, options.package, report)
            self._mode, self._net = await in_thread(_network, options)
        aws, gateway = network.listen(self._net), network.listen(self._net)
        self._ports = [each.getsockname()[1] for each in (aws, gateway)]
        port = self._ports[0]
        endpoint = f"http://127.0.0.1:{port}"
        self._environment = environment.base(self._folder, endpoint, mode=self._mode)
        # The lab's own processes must not use the caller's AWS profiles either.
        self._callers = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._environment)
        self._start_servers(aws, gateway)
        self._net.enter_laptop()
        self._environment["SM_PROXY_LAB_ON_BASTION"] = " ".join(
            self._net.on_bastion(self._options.init)
        )
        control = ControlQueue(ControlClient(endpoint))
        self._machines = ContainerRunner(
            self._folder / "containers",
            self._net,
            control,
            endpoint,
            software,
            agents=self._agents,
        )
        self._machines.check()
        if isinstance(self._net, network.NetnsNetwork):
            await self._machines.role.serve(*self._net.role_sockets(), port)
        self._environment["SM_PROXY_LAB_USER"] = self._machines.user
        self._account = Account(endpoint)
        keys, _ = await asyncio.gather(
            asyncio.to_thread(environment.write_ssh_config, self._environment, self._machines.user),
            asyncio.wait_for(self._aws_ready.wait(), _START_TIMEOUT_S),
        )
        key = keys["SM_PROXY_AUTHORIZED_KEY"]
        self._clusters = ClusterNodes(self._folder, self._machines, self._account, key)
        self._spaces = SpaceMachines(self._folder / "spaces", self._machines, self._account)
        if not options.empty:
            config = {"Entrypoint": self._own_entrypoint()}
            await control.call("put_image", IMAGE, config, history=_HISTORY)
            await self._create_job(keys)
        self._environment |= await self._clusters.create_all(options.cluster)
        self._environment |= await self._spaces.create_all(options.space)
        # The file must have only CMD's calls.
        os.truncate(self._environment["SM_PROXY_LAB_CALLS"], 0)

    def _start_servers(self, aws: Any, gateway: Any) -> None:
        control = str(self._folder / "gateway.sock")
        calls = self._environment["SM_PROXY_LAB_CALLS"]
        latency = ["--latency-ms", str(self._options.latency_ms)]
        sessions = ["--sessions", self._environment["SM_PROXY_LAB_SESSIONS"]]
        Path(sessions[1]).touch(mode=0o600)
        instances = ["--instances", str(self._folder / "instances")]
        if self._net.bastion.netns is not None:
            instances += ["--ssh-port", "22"]
        told = ["--control", control, *sessions, *instances, *latency]
        self._serve(
            ["gateway", "--fd", str(gateway.fileno()), "--agents", str(self._agents), *told],
            gateway,
            netns=self._net.bastion.netns,
        )
        argv = ["--gateway", control, "--calls", calls, *latency]
        argv += ["--empty"] * self._options.empty
        cables = self._cables()
        if cables:
            argv += ["--cables", *map(str, cables), self._net.bastion.address]
        child = self._serve(["aws", "--fd", str(aws.fileno()), *argv], aws, cables)
        self._spawn(self._handle_aws_events(child))

    def _cables(self) -> list[int]:
        """The network namespaces of router and bastion; an empty list without nft."""
        net = self._net
        if not isinstance(net, network.NetnsNetwork) or net.bastion.netns is None:
            return []
        if not packet_filter.works(net.router):
            if self._options.empty:  # the bastion's cable has to follow the records
                raise LabError("install nft (nftables), or use --network loopback with --empty")
            report("no packet filter (nft): only the gateway applies security groups and routes")
            return []
        return [net.router, net.bastion.netns]

    def _serve(
        self, argv: list[str], server: Any, fds: Sequence[int] = (), *, netns: int | None = None
    ) -> Child:
        child = Child(
            [*python_module(f"sm_proxy_lab.{argv[0]}"), *argv[1:]],
            netns=netns,
            env=self._environment,
            pass_fds=[server.fileno(), *fds],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        server.close()
        self._spawn(self._fail_when_it_ends(argv[0], child))
        return child

    async def _fail_when_it_ends(self, name: str, child: Child) -> None:
        status = await child.wait()
        raise LabError(f"the lab's {name} ended by itself with status {status}")

    async def _handle_aws_events(self, child: Child) -> None:
        async for line in lines(child.process.stdout):
            event = json.loads(line)
            if event["event"] == "ready":
                self._aws_ready.set()
            elif event["kind"] == "cluster":
                self._spawn(self._clusters.handle(event))
            elif event["kind"] == "space":
                self._spawn(self._spaces.handle(event))
            elif event["event"] == "job-created" and event["kind"] in KINDS:
                self._spawn(self._run_job(event))
            else:
                lifecycle = self._lifecycles.get((event["kind"], event["job"]))
                if lifecycle is not None and event["event"] == "job-stop":
                    self._spawn(lifecycle.stop())
                elif lifecycle is not None and event["event"] == "job-remote-debug":
                    lifecycle.set_remote_debug(on=event["on"])

    # ---- jobs ----

    async def _create_job(self, keys: dict[str, str]) -> None:
        options, bastion = self._options, self._net.bastion
        address = bastion.address if self._mode == network.NETNS else None
        vpc = await asyncio.to_thread(self._account.build_vpc, address)
        self._environment |= {
            "SM_PROXY_LAB_BASTION": vpc.bastion,
            "SM_PROXY_LAB_JOB": options.job,
            "SM_PROXY_LAB_HOST": f"sm-{options.job}",
            **self._open_terminals(vpc),
        }
        await asyncio.to_thread(
            self._account.create_job, options.job, vpc, nodes=options.nodes, environment=keys
        )
        await self._own_ready.wait()
        nodes = self._lifecycles["training", options.job].nodes
        self._environment["SM_PROXY_LAB_ADDRESSES"] = " ".join(
            f"{node.host}={node.cable.address}:{node.port}" for node in nodes
        )
        ml = self._machines.ml_dir(nodes[0]) if nodes else "/opt/ml"
        self._environment["SM_PROXY_LAB_ML_DIR"] = ml

    def _open_terminals(self, vpc: Vpc) -> dict[str, str]:
        """Return the variables of CMD that name the terminals' command prefixes."""
        machines = self._machines
        folder = self._folder / "terminals"
        site = Site(folder, self._net, self._account, ControlClient(machines.endpoint), vpc)
        server = TerminalServer(site, self._ports, machines.plugging)
        variables = server.variables()
        self._spawn(server.serve())
        return variables

    async def _run_job(self, event: dict[str, Any]) -> None:
        options, kind, name = self._options, event["kind"], event["job"]
        own = (kind, name) == ("training", options.job) and not self._own_job.is_set()
        region = event.get("region", "us-east-1")
        more: dict[str, Any] = {}
        if own:
            self._own_job.set()
            more = {
                "filler": options.log_lines,
                "filler_before": options.log_lines_before,
            }
        job = KINDS[kind](name, region, event["request"], program=options.train, **more)
        config = await self._image_of(job.image)
        subnets = job.vpc().get("Subnets", [])
        cidrs = await asyncio.to_thread(self._account.cidrs_of, subnets, region)
        lifecycle = self._lifecycles[kind, name] = JobLifecycle(self._machines, job, config, cidrs)
        if not own:
            await lifecycle.run()
            return
        await lifecycle.move_to(options.status)
        self._own_ready.set()
        await lifecycle.finish()

    async def _image_of(self, uri: str) -> ImageConfig:
        """The configuration of an image; the lab's own if ECR does not have it."""
        if uri != IMAGE:
            with contextlib.suppress(ControlError):
                return image_config.parse(await self._machines.control.call("image", uri))
        return ImageConfig(self._own_entrypoint(), is_own=True)

    def _own_entrypoint(self) -> tuple[str, ...]:
        return image.own_entrypoint(self._options.train, bare=self._options.bare)

    # ---- CMD ----

    async def _run_command(self) -> None:
        options = self._options
        if self._machines.isolated:  # mount namespaces are permitted
            config = self._environment["SM_PROXY_LAB_SSH_CONFIG"]
            ssh_programs.prepare_covers(self._folder, config)
        for number in init.FROM_TERMINAL:
            if number in signal.sigpending():  # it came before CMD exists: CMD would miss it
                self._ending.set(128 + number)
                return
        name, cover = options.command[0], functools.partial(ssh_programs.cover, self._folder)
        try:
            self._command = Child(options.command, env=self._environment, prepare=cover)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            report(f"{name}: {'command not found' if missing else error.strerror}")
            self._ending.set(127 if missing else 126)
            return
        self._ending.set(await self._command.wait())

    def _show_exports(self) -> None:
        sys.stdout.write(environment.exports(self._callers, self._environment) + "\n")
        sys.stdout.flush()
        host = self._environment.get("SM_PROXY_LAB_HOST")
        what = f"ssh {host}" if host else "sm-proxy infra deploy"
        report(f"up; in a shell with these exports: {what}; ^C here ends the lab")


def _network(options: Options) -> tuple[str, network.Network]:
    """Choose the network mode and build the VPC; return both."""
    mode = network.choose_mode(options.network)
    if mode == network.NETNS:
        is_host = not options.command
        return mode, network.NetnsNetwork(laptop_is_host=is_host, empty=options.empty)
    return mode, network.LoopbackNetwork()


def main() -> None:
    """Supervise one lab."""
    caller, parent = int(sys.argv[1]), os.getppid()
    os.set_inheritable(caller, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, init.HELD_BACK)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would hide it from a new CMD
    logging.basicConfig(format="sm-proxy lab: %(message)s", level=logging.WARNING)
    options = Options.read(caller)
    tempfile.tempdir = options.folder  # removed with it, even if the kernel kills this process

    def leave(status: int) -> NoReturn:
        if os.getppid() != parent:  # init was killed, so it cannot clean up
            reap.clean_up(options.folder)
        start_up.erase()
        sys.stderr.flush()
        os._exit(status)

    async def supervise() -> None:
        # asyncio.run would wait for threads and tasks until they time out.
        leave(await Lab(options, caller).run())

    try:
        asyncio.run(supervise())
    finally:
        leave(LAB_FAILED)


if __name__ == "__main__":
    main()
