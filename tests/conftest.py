"""For every test: folders of its own, no AWS settings of this machine, and the schedule of a run.

`tests/soak.py` says how many examples the property tests try.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import re
import signal
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from botocore import hooks
from botocore.loaders import JSONFileLoader, Loader
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers

from sm_proxy.local import paths, python_environment, secret_values, signals
from sm_proxy.local.threads import Background
from sm_proxy.tunnel import host_key_probe
from tests.home_watch import HomeWatch
from tests.soak import SOAK

_HOME: Final = HomeWatch()
"""Made before any test module is imported."""
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

# Test modules take the profile that is loaded when they are imported.
settings.register_profile(
    "quick",
    deadline=None,
    derandomize=True,
    database=None,
    phases=_PHASES,
    suppress_health_check=_QUIET,
)
settings.register_profile(
    "soak", deadline=None, phases=_PHASES, suppress_health_check=_QUIET, print_blob=True
)

settings.load_profile("soak" if SOAK else "quick")
if not SOAK and hasattr(providers, "_local_constants"):
    # Hypothesis also tries the constants of all modules that are imported by then: a test would try
    # other values in another worker. To read them takes each worker up to 2 s.
    providers._get_local_constants = lambda: providers._local_constants

os.environ.pop("PYTHONUNBUFFERED", None)  # tests run programs as users do

collect_ignore = [] if "SM_PROXY_SDK2" in os.environ else ["sdk"]
"""The tests of the SDKs need them: see `script/test sdk`."""

_OWN = {"lab", "e2e", "container", "ssm", "sdk"}
"""Suites with fixtures of their own. The lab keeps unpacked programs in the user's cache."""
_SUITES: Final = ("e2e", "lab", "container", "client")
"""In the order in which they start."""
_FOLDERS: Final = itertools.count()
_THREADS_S: Final = 120.0
"""How long a thread that a test started may outlive the test, in seconds.

`script/test` runs the other Pythons with the lowest priority: on a busy machine, what takes 3 ms of
CPU has taken a second there.
"""
_SCREEN: Final = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
_LOCALE: Final = ("LC_ALL", "LC_CTYPE", "LANG")
"""The first that is set counts: locale(7)."""
_UTF_8: Final = re.compile(r"utf-?8", re.IGNORECASE)
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGHUP", "SIGTERM", "SIGINT", "SIGQUIT")
    if hasattr(signal, name)
]


def pytest_configure(config: pytest.Config) -> None:
    """Reset what children inherit: ignored signals, as of nohup and a shell's `&`, and the umask.

    With umask 002, which some systems have, ssh would refuse what the tests write.
    """
    os.umask(0o022)
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    _let_botocore_repeat_no_work(patch)
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Forget how wide and how colourful this user wants screens: pytest's own has begun."""
    for name in (*_SCREEN, *python_environment.MISLEADING):
        os.environ.pop(name, None)
    if not _UTF_8.search(next(filter(None, map(os.environ.get, _LOCALE)), "UTF-8")):
        os.environ.pop("LC_ALL", None)
        os.environ["LC_CTYPE"] = "C.UTF-8"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is imported and collected out of the search for garbage: a million objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Schedule the tests: long ones first, and those that share a fixture on one worker.

    A worker takes groups before single tests, the largest group first.
    """
    items.sort(key=lambda item: _SUITES.index(_suite(item)))
    for item in items:
        if _shares_fixture(item) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Take our own scheduler for `--dist=loadgroup`, and xdist's for others."""
    if config.getoption("dist") != "loadgroup":
        return None
    from tests import scheduling

    schedule: object = scheduling.make(config, log)
    return schedule


def _suite(item: pytest.Item) -> str:
    return _suite_of(item.path)


@functools.cache
def _suite_of(path: Path) -> str:
    folder = path.relative_to(Path(__file__).parent).parts[0]
    return folder if folder in _SUITES else _SUITES[-1]


def _shares_fixture(item: pytest.Item) -> bool:
    """Whether a test uses a fixture, a lab for example, that is made once for its module."""
    known = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(found[-1].scope == "module" for found in known.values())


@pytest.fixture(autouse=True, scope="session")
def _home_is_left_alone() -> Iterator[None]:
    """No test and no lab writes to the home folder of the user who runs them."""
    yield
    assert not _HOME.offences(), "tests have written to the home folder"


def _let_botocore_repeat_no_work(patch: pytest.MonkeyPatch) -> None:
    """Keep what botocore reads: test modules already use it when they are imported.

    Each new client would parse up to 2 MB of JSON again, a quarter of a second.
    It would list the folders of 400 services again, 20 ms.
    Each new session would look again at the names and the signatures of 130 event handlers.
    """
    read = JSONFileLoader.load_file
    shipped = functools.cache(functools.partial(read, JSONFileLoader()))

    def load(loader: JSONFileLoader, path: str) -> Any:
        return shipped(path) if path.startswith(Loader.BUILTIN_DATA_PATH) else read(loader, path)

    search = Loader.list_available_services
    known = functools.cache(functools.partial(search, Loader()))

    def services(loader: Any, type_name: str) -> list[str]:
        if [*loader._potential_locations()] == [Loader.BUILTIN_DATA_PATH]:
            return list(known(type_name))
        return list(search(loader, type_name))

    aliaser: Any = hooks.EventAliaser
    rename = aliaser._alias_event_name
    renamed: dict[str, str] = {}

    def alias(emitter: Any, name: str) -> str:
        if name not in renamed:
            renamed[name] = rename(emitter, name)
        return renamed[name]

    look = functools.cache(hooks.accepts_kwargs)

    def accepts(handler: Any) -> Any:
        # Keeping a bound method would keep its client.
        return look(getattr(handler, "__func__", handler))

    patch.setattr(aliaser, "_alias_event_name", alias)
    patch.setattr(hooks, "accepts_kwargs", accepts)
    patch.setattr(JSONFileLoader, "load_file", load)
    patch.setattr(Loader, "list_available_services", services)


@pytest.fixture(autouse=True)
def _isolated(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    secret_values._kept.clear()
    if _OWN & set(request.path.relative_to(Path(__file__).parent).parts):
        yield
        return
    begun: list[Background[Any]] = []
    begin = Background.begin

    def noted(background: Background[Any]) -> None:
        begun.append(background)
        begin(background)

    monkeypatch.setattr(Background, "begin", noted)
    for name in os.environ:
        if name.startswith(("AWS_", "SM_PROXY_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for kind in ("config", "cache", "state"):
        monkeypatch.setenv(f"SM_PROXY_{kind.upper()}_DIR", str(tmp_path / kind))
    for name in ("config", "credentials"):
        variable = "AWS_CONFIG_FILE" if name == "config" else "AWS_SHARED_CREDENTIALS_FILE"
        monkeypatch.setenv(variable, str(tmp_path / "aws" / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Where no route can serve, a container's address is probed: it must not be one in our network.
    monkeypatch.setattr(host_key_probe, "read_host_key", lambda *_: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Our ssh files are in the home folder of the passwd database, whatever HOME is.
    monkeypatch.setattr(paths, "ssh_home", lambda: tmp_path / "passwd-home")
    yield
    # After this test a thread would use the user's real folders.
    until = time.monotonic() + _THREADS_S
    for background in begun:
        background.settled(max(0.0, until - time.monotonic()))
    outlive = [background._work for background in begun if not background.done]
    assert not outlive, "threads outlive their test"


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder. pytest's own fixture lists those of all earlier tests to find a free name."""
    name = re.sub(r"\W", "_", request.node.name)[:20]
    return tmp_path_factory.mktemp(f"{name}_{next(_FOLDERS)}", numbered=False)


@pytest.fixture
def dot_ssh(tmp_path: Path) -> Path:
    """A folder like ~/.ssh, with a `config` of the user's own."""
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    (folder / "config").write_bytes(b"Host a\n")
    return folder


@pytest.fixture(autouse=True)
def _signals_are_kept() -> Iterator[None]:
    """Restore the signal handlers: a connection ends with signals ignored, and children inherit.

    A test that has switched `Hangup` on leaves its thread: the next one would begin without one.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    signals._end_repeaters()
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)
