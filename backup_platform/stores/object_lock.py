"""S3 Object Lock: extending retentions of stored objects. obstore has no such call, but boto3 has."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cached_property
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from backup_platform.advice import shell
from backup_platform.errors import BackupError, NotFoundError, StoreError, StoreRefusedError
from backup_platform.stores.options import CredentialProvider, StoreOptions

AT_ONCE = 8
ALLOWED = "s3:PutObjectRetention and s3:GetObjectRetention"
_GONE = {"NoSuchKey", "404", "MethodNotAllowed"}  # the last: of a delete marker
_REFUSED = {"AccessDenied", "InvalidRequest", "InvalidArgument", "403"}


def require_boto3(place: str) -> None:
    """Checked before the first object is locked, not only when the first retention is to be extended."""
    if find_spec("boto3") is None:
        raise StoreError(
            f"`lock` of the store {place} needs boto3, which extends retentions.",
            hint=("Run ", shell("pip", "install", "backup-platform[s3]"), "."),
        )


class S3ObjectLock:
    """`ports.ObjectLock` of a bucket and prefix. `provider` gives the credentials; without one, boto3's chain does."""

    def __init__(self, url: str, options: StoreOptions, provider: CredentialProvider | None) -> None:
        assert options.lock is not None
        parts = urlsplit(url)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._options, self._provider = options, provider
        self.lock: timedelta = options.lock

    def retain(self, keys: Collection[str], until: datetime) -> None:
        """Raises NotFoundError, StoreRefusedError, StoreError."""
        client = self._client
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda key: self._retain(client, key, until), keys):
                pass

    def _retain(self, client: Any, key: str, until: datetime) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        retention = {"Mode": self._options.lock_mode.upper(), "RetainUntilDate": until}
        try:
            client.put_object_retention(Retention=retention, **self._named(key))
        except ClientError as error:
            if not self._retained_longer(client, key, until):
                raise self._translation(key, error) from error
        except BotoCoreError as error:
            raise _unanswered(key, error) from error

    def _retained_longer(self, client: Any, key: str, until: datetime) -> bool:
        """A store refuses to shorten a retention, and needs not."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = client.get_object_retention(**self._named(key))["Retention"]
        except (ClientError, BotoCoreError, KeyError):
            return False
        return bool(found["RetainUntilDate"] >= until)

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{key}" if self._prefix else key}

    def _translation(self, key: str, error: Any) -> BackupError:
        said = error.response.get("Error", {})
        code, status = (
            said.get("Code", ""),
            error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
        )
        if code in _GONE:
            return NotFoundError(
                f"The retention of {key} cannot be extended: the object is not there.", subject=key
            )
        text = f"The store did not extend the retention of {key}: {code} {said.get('Message', '')}".rstrip(
            ". "
        )
        if code in _REFUSED:
            return StoreRefusedError(
                f"{text}.", hint=f"Allow {ALLOWED}, and turn Object Lock on for the bucket."
            )
        return StoreError(
            f"{text}.", hint="Run the backup again: it continues.", retryable=status >= 500 or status == 429
        )

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        options = self._options
        hosted = {None: "auto", True: "path", False: "virtual"}[
            options.path_style if options.path_style is not None else (True if options.endpoint else None)
        ]
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=AT_ONCE,
            retries={"max_attempts": 4, "mode": "standard"},
            s3={"addressing_style": hosted},
        )
        found = self._provider() if self._provider else {}
        return boto3.client(
            "s3",
            endpoint_url=options.endpoint or None,
            region_name=options.region or None,
            aws_access_key_id=found.get("access_key_id"),
            aws_secret_access_key=found.get("secret_access_key"),
            aws_session_token=found.get("token"),
            config=config,
        )


def _unanswered(key: str, error: Exception) -> StoreError:
    return StoreError(
        f"The store did not answer about the retention of {key}: {type(error).__name__}.",
        subject=key,
        hint="Run the backup again: it continues.",
        retryable=True,
    )
