"""How AWS is reached: certificates, proxy and endpoints, by botocore's own rules.

API calls, the data channel and `doctor` all use this module, so they cannot disagree.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from sm_proxy.errors import SmProxyError
from sm_proxy.ssm.dial import Proxy

if TYPE_CHECKING:
    from botocore.session import Session

STREAMS: Final = "ssmmessages"
"""The data channel's service, as variables and settings for endpoints name it."""
TUNNELS: Final = "ec2_instance_connect_endpoint"
"""The same for tunnels: not `ec2_instance_connect`, whose API has another host."""
_SCHEMES: Final = {"http": "ws", "https": "wss"}
_PROXY_PORT: Final = 80


def ca_bundle(session: Session) -> str:
    """The file of trusted certificates.

    The first of these: AWS_CA_BUNDLE, `ca_bundle` in the profile, REQUESTS_CA_BUNDLE, botocore's
    own.

    Raises:
        SmProxyError: `bad-setting`, the name is empty; `network`, the file cannot be read.
    """
    from botocore.httpsession import get_cert_path  # noqa: PLC0415 - see `clients.py`

    configured = session.get_config_variable("ca_bundle")
    if configured is None:
        configured = os.environ.get("REQUESTS_CA_BUNDLE")
    if configured is None:
        return str(get_cert_path(True))
    # Some releases of botocore would trust every certificate if the name is empty.
    if not str(configured).strip():
        raise SmProxyError(
            "bad-setting",
            "the file of trusted certificates has an empty name",
            "Unset AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE and `ca_bundle` of the AWS profile, or set one"
            " of them to a file.",
        )
    path = Path(os.path.expanduser(str(configured)))  # noqa: PTH111 - `~nobody` stays as it is
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise SmProxyError(
            "network",
            f"the file of trusted certificates {path} cannot be read: {error.strerror}",
            "Correct AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or `ca_bundle` of the AWS profile.",
        ) from None


def proxy_for(url: str) -> Proxy | None:
    """The proxy for a URL, by HTTPS_PROXY, HTTP_PROXY and NO_PROXY or the system's settings.

    Args:
        url: `https://...` or `http://...`; `wss` counts as `https`, `ws` as `http`.

    Raises:
        SmProxyError: `network`, the proxy is not an `http://` one.
    """
    from botocore.httpsession import ProxyConfiguration  # noqa: PLC0415 - see `clients.py`
    from botocore.utils import get_environ_proxies  # noqa: PLC0415 - as above

    parts = urlsplit(url)
    asked = parts._replace(scheme={"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme))
    configuration = ProxyConfiguration(get_environ_proxies(asked.geturl()))
    proxy = configuration.proxy_url_for(asked.geturl())
    if not proxy:
        return None
    found = _split(proxy)
    if found is None:
        raise SmProxyError(
            "network",
            f"the proxy for {parts.hostname} is not an http:// proxy",
            f"Set {asked.scheme.upper()}_PROXY to http://HOST:PORT, or name the host in NO_PROXY.",
        )
    headers = configuration.proxy_headers_for(proxy)
    return Proxy(found.hostname or "", found.port or _PROXY_PORT, headers)


def _split(proxy: str) -> SplitResult | None:
    """The parsed URL of an `http://` proxy; None for any other text."""
    try:
        found = urlsplit(proxy)
        named = bool(found.hostname) and found.port != 0
    except ValueError:
        return None
    # botocore puts `http://` in front of a scheme that it does not know.
    foreign = "://" in proxy.removeprefix("http://")
    return found if found.scheme == "http" and named and not foreign else None


def endpoint_variables() -> list[str]:
    """The variables that set endpoints, as `NAME=value`: a part of names of cached records."""
    names = sorted(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL"))
    return [f"{name}={os.environ[name]}" for name in names]


def in_clear_text() -> bool:
    """Whether the variables send calls to an endpoint without TLS, as a lab's."""
    return any("=http://" in variable for variable in endpoint_variables())


def stream_url(session: Session, url: str, service: str = STREAMS) -> str:
    """The URL of a websocket, with the host of the configured endpoint, if there is one.

    A private endpoint replaces the host, as for every API; token, path and query stay.
    `AWS_ENDPOINT_URL`, the endpoint for all services, does not count, because AWS's own response
    names the host of the websocket.

    Args:
        session: has the user's configuration.
        url: the websocket's URL from AWS.
        service: the websocket's service, as variables and settings for endpoints name it.

    Raises:
        SmProxyError: `bad-setting`, the endpoint is not a URL.
    """
    endpoint = _stream_endpoint(session, service)
    if not endpoint:
        return url
    try:
        named = urlsplit(endpoint)
        scheme, _ = _SCHEMES[named.scheme], named.port
    except (KeyError, ValueError):
        scheme = ""
    if not scheme or not named.hostname or any(not letter.isprintable() for letter in endpoint):
        raise SmProxyError(
            "bad-setting",
            f"the endpoint of {service} is not a URL: {endpoint!r}",
            f"Set AWS_ENDPOINT_URL_{service.upper()}, or `{service}` in the `services` section"
            " of the AWS profile, to https://HOST",
        )
    parts = urlsplit(url)
    path = named.path.rstrip("/") + parts.path
    return parts._replace(scheme=scheme, netloc=named.netloc, path=path).geturl()


def _stream_endpoint(session: Session, service: str) -> str:
    from botocore.utils import ensure_boolean  # noqa: PLC0415 - see `clients.py`

    ignored = session.get_config_variable("ignore_configured_endpoint_urls")
    if ensure_boolean(ignored or False):
        return ""
    if named := os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"):
        return named
    section = session.get_scoped_config().get("services")
    services: dict[str, Any] = session.full_config.get("services", {}).get(section, {})
    own = services.get(service)
    return str(own.get("endpoint_url", "")) if isinstance(own, dict) else ""
