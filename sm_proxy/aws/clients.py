"""botocore clients for one profile and region, created on first use and shared by threads.

botocore itself is imported on first use, because it takes 90 ms: a second connection by the direct
route calls nothing.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sm_proxy.aws import clock, errors, network, renewal
from sm_proxy.aws.botocore_session import BotocoreSession, config_for
from sm_proxy.aws.network import STREAMS
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, secret_values, waits
from sm_proxy.ssm.dial import Network

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.session import Session

    from sm_proxy.aws.vetting import Vetting

_Value = TypeVar("_Value")

_PROFILE_VARIABLES: Final = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
_REGION_VARIABLE: Final = "AWS_DEFAULT_REGION"
"""The variables that botocore reads, in its order; a test compares with botocore."""
_THROTTLE_PAUSES_S: Final = ((0.3, 1.0), (0.5, 1.5))
"""Bounds in seconds of the random pauses before the second and third try of a throttled call."""


class Aws:
    """Calls to AWS, with botocore's usual variables, profiles and endpoint settings.

    Args:
        profile: profile name, None for botocore's choice.
        region: region name, None for botocore's choice.
        terminal: whether to ask for an MFA code on /dev/tty if stdin is not a terminal.
        credentials: to use instead of those of the profile and the environment.

    Attributes:
        clock_offset_s: seconds that the service's clock is ahead of this machine's, by the Date of
            the last response; 0 before the first.
    """

    clock_offset_s = 0.0
    _region = ""
    _given: Credentials | None = None

    def __init__(
        self,
        profile: str | None = None,
        region: str | None = None,
        *,
        terminal: bool = True,
        credentials: Credentials | None = None,
    ) -> None:
        self._named_profile = profile
        self._named_region = region
        self._given = credentials
        self._botocore = BotocoreSession(
            profile, region, credentials, self._explained, terminal=terminal
        )
        self._clients: dict[str, BaseClient] = {}
        self._lock = threading.Lock()

    @property
    def _session(self) -> Session:
        return self._botocore.parts()[0]

    @property
    def _vetting(self) -> Vetting:
        return self._botocore.parts()[1]

    def in_region(self, region: str) -> Aws:
        """The same credentials, for calls to another region."""
        other = copy.copy(self)
        other._region, other._clients = region, {}  # noqa: SLF001 - of our own class
        return other

    @property
    def profile(self) -> str | None:
        """The profile whose credentials are used; None if no profile is named."""
        if self._named_profile:
            return self._named_profile
        given = (os.environ[name] for name in _PROFILE_VARIABLES if name in os.environ)
        return next(given, None) or None

    @property
    def region(self) -> str:
        """The region that calls go to; empty if none is set."""
        if self._region or self._named_region:
            return self._region or str(self._named_region)
        if _REGION_VARIABLE in os.environ:
            return os.environ[_REGION_VARIABLE]
        read = self._session.get_config_variable
        return str(self._setting(lambda: read("region"), "the AWS region") or "")

    @property
    def scope(self) -> str:
        """Identifies account, region and endpoints, for names of cached records. Not a secret."""
        key = self._given.access_key if self._given else os.environ.get("AWS_ACCESS_KEY_ID", "")
        parts = [self.profile or "", self.region, key]
        return "\n".join(parts + network.endpoint_variables())

    def now(self) -> datetime:
        """The time by the service's clock. Compare times in its responses with this one."""
        return datetime.now(timezone.utc) + timedelta(seconds=self.clock_offset_s)

    @property
    def network(self) -> Network:
        """How the data channel reaches AWS: the same way as API calls.

        Raises:
            SmProxyError: `bad-setting` or `network`, the configured certificates are unusable.
        """
        trusted = self._setting(lambda: network.ca_bundle(self._session), "the certificates")
        return Network(trusted, network.proxy_for)

    def stream_url(self, url: str, service: str = STREAMS) -> str:
        """The URL of a websocket, with the configured endpoint for it: see `network.stream_url`.

        Raises:
            SmProxyError: `bad-setting`, the endpoint is not a URL.
        """
        return self._setting(
            lambda: network.stream_url(self._session, url, service), "the endpoint"
        )

    @property
    def ignores_endpoints(self) -> bool:
        """Whether the variables or the profile say that configured endpoints are to be ignored."""
        read = self._session.get_config_variable
        found = self._setting(lambda: read("ignore_configured_endpoint_urls"), "the endpoints")
        return str(found).lower() == "true"

    @property
    def not_kept(self) -> str:
        """Why a role's new session was not saved; empty if it was, or if there is none."""
        return self._botocore.parts()[2].not_kept

    @property
    def session(self) -> Session:
        """The botocore session: the user's configuration with this run's profile and region."""
        return self._session

    @property
    def credential_source(self) -> str:
        """botocore's name of the credentials' source, such as `sso`; empty without credentials."""  # noqa: D403
        used = getattr(self._session, "_credentials", None)
        return str(getattr(used, "method", ""))

    def ensure_credentials(self) -> None:
        """Get the credentials, asking the user for a code if needed, without making a call.

        Raises:
            SmProxyError: as `call`.
        """
        self.keys()

    def keys(self) -> ReadOnlyCredentials:
        """The keys that a call would be signed with now.

        Raises:
            SmProxyError: as `call`.
        """
        from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - see above

        self._vetting.forget()
        try:
            with self._lock:
                self._prepare_session()
                found = self._session.get_credentials()
                if found is None:
                    raise NoCredentialsError  # noqa: TRY301 - as botocore does in a call
                return found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - files, programs and services of all kinds
            raise self._explained(error) from None

    def unsigned_client(self, service: str, region: str) -> BaseClient:
        """A client for the calls of a login, which are not signed.

        Raises:
            SmProxyError: the AWS configuration is broken.
        """
        from botocore import UNSIGNED  # noqa: PLC0415 - see above
        from botocore.config import Config  # noqa: PLC0415 - as above

        config = config_for(service).merge(Config(signature_version=UNSIGNED))
        with self._translated(service), self._lock:
            self._prepare_session()
            # Dummy keys keep botocore from looking for credentials.
            return self._session.create_client(
                service,
                region_name=region,
                config=config,
                aws_access_key_id="none",
                aws_secret_access_key="none",  # noqa: S106 - nothing is signed with it
            )

    def endpoint(self, service: str) -> str:
        """The URL that calls to a service go to.

        Raises:
            SmProxyError: there is no region, or the configuration is broken.
        """
        from sm_proxy.aws import models  # noqa: PLC0415 - see above

        try:
            models.ensure_trimmed(service)
            # Dummy keys keep botocore from asking for an MFA code now. This client never makes a
            # call, so it need not verify certificates.
            with self._lock:
                client = self._session.create_client(
                    service,
                    region_name=self._region or None,
                    verify=False,
                    config=config_for(""),
                    aws_access_key_id="none",
                    aws_secret_access_key="none",  # noqa: S106 - nothing is signed with it
                )
            return str(client.meta.endpoint_url)
        except Exception as error:  # noqa: BLE001 - it reads the user's files
            raise self._failure(error, service) from None

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make one API call and return its response.

        Args:
            service: botocore's name, such as `sagemaker`.
            operation: the API's name, such as `DescribeTrainingJob`.
            **parameters: as the API spells them. A file must be at its start.

        Raises:
            SmProxyError: for credentials, permissions, throttling or the network.
            ServiceError: any other error of the service.
        """
        return self._patiently(service, operation, parameters)

    def call_once(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """As `call`, but a failure of the service or the network is left to the caller.

        botocore would repeat the call after a 5xx answer.

        Raises:
            SmProxyError: as `call`.
            ServiceError: as `call`.
        """
        return self._patiently(service, operation, parameters, attempts=1)

    def call_if_allowed(
        self, service: str, operation: str, **parameters: Any
    ) -> dict[str, Any] | None:
        """The response of a call that we can do without; None if the service refuses it.

        Raises:
            SmProxyError: as `call`, but for permissions.
        """
        try:
            return self.call(service, operation, **parameters)
        except errors.ServiceError:
            return None
        except SmProxyError as error:
            if error.code == "access-denied":
                return None
            raise

    def refuse_unknown(self, service: str, operation: str) -> None:
        """Raise if the installed botocore is older than a call, and what came with it.

        Raises:
            SmProxyError: `unsupported`, with the version that is needed; or as `call`.
        """
        action = f"{service}:{operation}"
        with self._translated(action):
            _refuse_unknown(self._client(service), action)

    @contextlib.contextmanager
    def client(self, service: str, endpoint: str | None = None) -> Iterator[BaseClient]:
        """A client for a library that makes the calls itself; throttling is left to botocore.

        botocore's exceptions that leave the body become ours, as in `call`.

        Args:
            service: botocore's name, such as `s3`.
            endpoint: URL to use instead of the configured one.

        Raises:
            SmProxyError: as `call`.
            ServiceError: as `call`.
        """
        with self._translated(service):
            yield self._client(service, endpoint)

    def _patiently(
        self,
        service: str,
        operation: str,
        parameters: dict[str, Any],
        attempts: int | None = None,
    ) -> dict[str, Any]:
        """Make a call, and make it again if it is throttled."""
        for shortest, longest in _THROTTLE_PAUSES_S:
            try:
                return self._call(service, operation, parameters, attempts)
            except SmProxyError as error:
                if error.code != "throttled":
                    raise
            time.sleep(random.uniform(shortest, longest))  # noqa: S311 - jitter
            _rewind(parameters)
        return self._call(service, operation, parameters, attempts)

    def _call(
        self, service: str, operation: str, parameters: dict[str, Any], attempts: int | None
    ) -> dict[str, Any]:
        from botocore import xform_name  # noqa: PLC0415 - see above

        action = f"{service}:{operation}"
        asking = waits.waiting(f"asking AWS: {action}", is_call=True)
        with asking, self._translated(action):
            client = self._client(service, attempts=attempts)
            _refuse_unknown(client, action)
            response: dict[str, Any] = getattr(client, xform_name(operation))(**parameters)
        self._note_clock(response)
        debug_log.write(f"called {action}")
        return _Answer(response, action)

    @contextlib.contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        """Translate botocore's exceptions into ours.

        Args:
            action: the call, or the service of several calls.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see above

        self._vetting.forget()
        try:
            yield
        except ClientError as error:
            self._note_clock(error.response)
            if ":" not in action:
                action = f"{action}:{error.operation_name}"
            found = errors.from_response(error.response, action, self.profile)
            if isinstance(found, SmProxyError) and found.hint == renewal.hint("", self.profile):
                found.hint = renewal.hint(self.credential_source, self.profile)
            raise found from None
        except Exception as error:
            if errors.is_ours(error):
                raise
            raise self._failure(error, action) from None

    def _note_clock(self, response: Mapping[str, Any]) -> None:
        if (offset := clock.offset_s(response)) is not None:
            self.clock_offset_s = offset

    def _client(
        self, service: str, endpoint: str | None = None, attempts: int | None = None
    ) -> BaseClient:
        from sm_proxy.aws import models  # noqa: PLC0415 - see above

        name = f"{service} {endpoint or ''} {attempts or ''}"
        # Making a client is not thread-safe in botocore; using one is.
        with self._lock:
            if name not in self._clients:
                self._refuse_damaged_region()
                models.ensure_trimmed(service)
                self._prepare_session()
                self._clients[name] = self._session.create_client(
                    service,
                    region_name=self._region or None,
                    endpoint_url=endpoint,
                    config=config_for(service, attempts),
                )
                debug_log.write(f"client {service} ready")
            return self._clients[name]

    def _prepare_session(self) -> None:
        """Apply settings that botocore's own clients, which fetch credentials, need as well."""
        self._session.set_config_variable("ca_bundle", network.ca_bundle(self._session))
        secret_values.keep_fields(self._session.full_config)

    def _refuse_damaged_region(self) -> None:
        if not self.region.isprintable() or self.region != self.region.strip():
            raise SmProxyError(
                "bad-setting",
                f"the AWS region {self.region!r} has an invalid character",
                "Correct AWS_REGION, --region, or `region` in ~/.aws/config.",
            )

    def _explained(self, error: Exception) -> SmProxyError:
        from sm_proxy.aws import credential_failures  # noqa: PLC0415 - see above

        return credential_failures.explain(error, self._session, self._vetting)

    def _setting(self, read: Callable[[], _Value], what: str) -> _Value:
        """Read a setting with botocore, which parses the user's files for it.

        Raises:
            SmProxyError: the profile does not exist, or the files are damaged.
        """
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - parsers and files raise all kinds
            raise self._failure(error, what) from None

    def _failure(self, error: Exception, action: str) -> SmProxyError:
        from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - see above

        if isinstance(error, SmProxyError):
            return error
        if isinstance(error, NoCredentialsError) and "login_session" in self._scoped_config():
            return errors.login_unsupported("this botocore is too old for profiles of `aws login`")
        found = errors.from_botocore(error, action, self.profile)
        return found or errors.misconfiguration(error, action)

    def _scoped_config(self) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - see above

        with contextlib.suppress(BotoCoreError):
            return dict(self._session.get_scoped_config())
        return {}


def _refuse_unknown(client: BaseClient, action: str) -> None:
    if action.partition(":")[2] not in client.meta.service_model.operation_names:
        raise errors.unknown_to_botocore(action)


def _rewind(parameters: Mapping[str, Any]) -> None:
    """Begin again with a file to upload: the call that failed has read it."""
    for value in parameters.values():
        if hasattr(value, "seek"):
            value.seek(0)


class _Answer(dict[str, Any]):
    """The response of a call. A missing field means that the response is not from AWS."""

    def __init__(self, answer: dict[str, Any], action: str) -> None:
        super().__init__(answer)
        self._action = action

    def __missing__(self, name: str) -> Any:
        status = self.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown")
        raise errors.not_aws(f"{self._action} ({name} is missing)", status)
