"""Object stores over the network: from a URL and its options to obstore's backends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from os import environ
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from backup_platform.domain.ports import ObjectLock
from backup_platform.errors import StoreError, StoreRefusedError
from backup_platform.plan.values import url_problem
from backup_platform.stores.failures import reason
from backup_platform.stores.object_store import ObjectStore
from backup_platform.stores.options import CredentialProvider, Kind, StoreOptions

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

S3, GOOGLE, AZURE = ("s3", "s3a"), ("gs",), ("az", "azure", "adl", "abfs", "abfss")
# The whole of a request, the largest pack included: 64 MiB within it need 220 kB/s.
TIMEOUT = timedelta(minutes=5)
CONNECT_TIMEOUT = timedelta(seconds=10)
READ_RETRIES = 3
READ_PATIENCE = timedelta(minutes=2)
# What prune and verify delete, and what the probe leaves, is never retained.
NOT_LOCKED = ("tombstones/", "ledger/damaged/", "ledger/reads/", "probe/")
CONTENT = "packs/"


def open_url(url: str, options: StoreOptions = StoreOptions()) -> ObjectStore:  # noqa: B008 frozen
    """Raises StoreError for a URL or options that cannot be used, StoreRefusedError without any credentials."""
    require_whole(url, options.plan_key)
    try:
        place = location_of(url)
        _refuse_secrets(url, place, options.plan_key)
    except ValueError as error:
        raise StoreError(
            f"The URL of the store cannot be read: {reason(error)}.", hint="Check it."
        ) from error
    try:
        scheme = urlsplit(url).scheme
        _refuse_lock(scheme, place, options)
        reader = _backend(url, options, retries=READ_RETRIES)
        writes = None if scheme == "memory" else _Writes(url, options)
        return ObjectStore(reader, place, writes, _object_lock(url, place, options), options.plan_key)
    except (ValueError, TypeError) as error:
        raise _unusable(place, error) from error
    except Exception as error:
        from obstore import exceptions

        if isinstance(error, exceptions.BaseError):
            raise _unusable(place, error) from error
        raise


def require_whole(url: str, plan_key: str) -> None:
    """Raises StoreError for a URL with a part that would not be read as the name of a place. A reference in the
    plan may have led to such a URL; otherwise the plan would have been refused."""
    if problem := url_problem(url):
        raise StoreError(
            f"The URL of the store {problem}.", hint=f"Correct it: `{plan_key}.path` in the plan."
        )


def location_of(url: str) -> str:
    """A URL as it may be shown: without password and query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, user.partition(":")[0] + at + host, parts.path, "", ""))


def _refuse_secrets(url: str, place: str, plan_key: str) -> None:
    parts = urlsplit(url)
    if parts.password or (parts.username and parts.scheme in (*S3, *GOOGLE)):
        raise StoreError(
            f"The URL of the store {place.rpartition('@')[2]} holds credentials.",
            hint=f"Give them in `{plan_key}.credentials` instead.",
        )


def _refuse_lock(scheme: str, place: str, options: StoreOptions) -> None:
    if options.lock is not None and scheme not in S3:
        raise StoreError(
            f"The store {place} does not take Object Lock with each object.",
            hint="Remove `lock` from the plan, and set a retention policy on the bucket or container.",
        )


def _object_lock(url: str, place: str, options: StoreOptions) -> ObjectLock | None:
    if options.lock is None:
        return None
    from backup_platform.stores.object_lock import S3ObjectLock, require_boto3

    require_boto3(place)
    return S3ObjectLock(url, options, options.provider or _fixed(options.credentials))


def _unusable(place: str, error: BaseException) -> StoreError:
    return StoreError(f"The store {place} cannot be used: {reason(error)}.", hint="Check the URL.")


class _Writes:
    """`object_store.Puts`: writes are repeated by `retrying` alone, which knows what an unanswered one may mean."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        self._url, self._options = url, options
        self._free = _backend(url, options, retries=0)
        self._locked: tuple[str, Backend] | None = None

    def __call__(self, key: str) -> tuple[Backend, dict[str, str]]:
        kind: Kind = "packs" if key.startswith(CONTENT) else "rest"
        named = self._options.storage_class.get(kind)
        return self._target(key), {"Storage-Class": named} if named else {}

    def _target(self, key: str) -> Backend:
        if self._options.lock is None or key.startswith(NOT_LOCKED):
            return self._free
        until = retain_until(self._options)
        if self._locked is None or self._locked[0] != until:
            self._locked = (
                until,
                _backend(self._url, self._options, retries=0, headers=_lock(self._options, until)),
            )
        return self._locked[1]


def retain_until(options: StoreOptions) -> str:
    """The midnight (UTC) after `lock` from now: objects of a day share it, so that a client serves a day."""
    assert options.lock is not None
    day = (options.now() + options.lock + timedelta(days=1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return f"{day:%Y-%m-%dT%H:%M:%SZ}"


def _lock(options: StoreOptions, until: str) -> dict[str, str]:
    """Sent, and signed, with every request of a client: that client is used for nothing but writing."""
    return {
        "x-amz-object-lock-mode": options.lock_mode.upper(),
        "x-amz-object-lock-retain-until-date": until,
        "x-amz-sdk-checksum-algorithm": "SHA256",
    }


def _backend(
    url: str, options: StoreOptions, *, retries: int, headers: Mapping[str, str] | None = None
) -> Backend:
    from obstore.store import from_url

    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return from_url(url)
    client: dict[str, Any] = {
        "allow_http": options.allow_http,
        "timeout": TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
        "user_agent": "backup-platform",
    }
    if headers:
        client["default_headers"] = dict(headers)
    settings: dict[str, Any] = {
        "client_options": client,
        "retry_config": {"max_retries": retries, "retry_timeout": READ_PATIENCE},
    }
    return from_url(url, **settings, **_settings(scheme, url, options))


def _settings(scheme: str, url: str, options: StoreOptions) -> dict[str, Any]:
    if scheme in S3:
        return _s3(url, options)
    config = {**options.credentials}
    if options.endpoint:
        config["base_url" if scheme in GOOGLE else "endpoint"] = options.endpoint
    return {"config": config}


def _s3(url: str, options: StoreOptions) -> dict[str, Any]:
    config: dict[str, Any] = {"checksum_algorithm": "sha256", "disable_bulk_delete": True}
    if options.region:
        config["region"] = options.region
    if options.path_style is not None:
        config["virtual_hosted_style_request"] = not options.path_style
    if options.endpoint:
        hosted = options.path_style is False
        config["endpoint"] = _with_bucket(options.endpoint, url) if hosted else options.endpoint
    provider = options.provider or _fixed(options.credentials) or _ambient(options.plan_key)
    return {"config": config, "credential_provider": provider} if provider else {"config": config}


def _with_bucket(endpoint: str, url: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=f"{urlsplit(url).netloc}.{parts.netloc}"))


def _fixed(credentials: Mapping[str, str]) -> CredentialProvider | None:
    """Not as configuration: a session token of the environment would be sent along with these keys."""
    if not credentials:
        return None
    found = {
        "access_key_id": credentials.get("access_key_id", ""),
        "secret_access_key": credentials.get("secret_access_key", ""),
        "token": credentials.get("session_token"),
        "expires_at": None,
    }
    return lambda: found


def _ambient(plan_key: str) -> CredentialProvider | None:
    """boto3's chain where it is installed: profiles, SSO, assumed roles. obstore reads the environment by itself."""
    in_environment = "AWS_ACCESS_KEY_ID" in environ and "AWS_PROFILE" not in environ
    if in_environment or find_spec("boto3") is None:
        return None
    from boto3 import Session

    return session_credentials(Session(), plan_key)


def session_credentials(session: Any, plan_key: str = "repository") -> CredentialProvider:
    """The credentials of a boto3 session, looked up again as they expire. Raises StoreRefusedError without any."""
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        provider: CredentialProvider = Boto3CredentialProvider(session, ttl=timedelta(minutes=5))
    except Exception as error:
        raise StoreRefusedError(
            f"boto3 found no credentials for S3: {reason(error)}.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile in AWS_PROFILE, or write "
            f"`{plan_key}.credentials` in the plan.",
        ) from error
    return provider
