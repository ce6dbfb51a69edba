"""sm-proxy: `ssh sm-myjob` into a running Amazon SageMaker training container.

For programs: `sm_proxy.open(HOST)` is a paramiko.SSHClient that is connected, `sm_proxy.copy`
copies files, and what fails raises `sm_proxy.SmProxyError`. See docs/python.md.
"""

TYPE_CHECKING = False  # as in typing, which ssh does not need
if TYPE_CHECKING:
    from sm_proxy.errors import SmProxyError
    from sm_proxy.ssh_client import open  # noqa: A004 - as `gzip.open`
    from sm_proxy.transfer.from_python import CopyError, copy

__all__ = ["CopyError", "SmProxyError", "__version__", "copy", "open"]

__version__ = "0.1.0"

_MODULES = {
    "CopyError": "transfer.from_python",
    "SmProxyError": "errors",
    "copy": "transfer.from_python",
    "open": "ssh_client",
}
"""The modules of the names that are imported at their first use: every ssh imports this package."""


def __getattr__(name: str) -> object:
    """One of the names above, imported now (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - ssh needs none of it

    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The names of this package, those that are not imported yet too."""
    return sorted({*globals(), *__all__})
