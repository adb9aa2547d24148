"""What servers may answer, what it is called then, whether it is repeated, and what the message tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import pytest

from backup_platform.domain.ports import Store
from backup_platform.errors import (
    BackupError,
    ConflictError,
    NotFoundError,
    StoreError,
    StoreLockedError,
    StoreRefusedError,
)
from backup_platform.stores import failures
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform.stores.remote import open_url
from backup_platform_tests.stores.relays import serving
from backup_platform_tests.stores.servers import KEYS, free_port

KEY = "packs/ab/abcd"
CREATE, GET, LIST, DELETE = (
    lambda store: store.create(KEY, b"1"),
    lambda store: store.get(KEY),
    lambda store: list(store.list("packs/")),
    lambda store: store.delete(KEY),
)


def options(endpoint: str) -> StoreOptions:
    return StoreOptions(endpoint=endpoint, region="us-east-1", allow_http=True, credentials=KEYS)


@pytest.fixture
def answering() -> Iterator[Callable[..., tuple[Store, list[dict[str, str]]]]]:
    """A store whose server gives one answer to everything, and the headers that it was sent."""
    with ExitStack() as stack:

        def make(
            status: int, code: str = "", said: str = "", body: str = ""
        ) -> tuple[Store, list[dict[str, str]]]:
            seen: list[dict[str, str]] = []
            message = said or f"said {code}"
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else body

            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def do_GET(self) -> None:
                    self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    seen.append({k.lower(): v for k, v in self.headers.items()})
                    self.send_response(status)
                    self.send_header("ETag", '"x"')
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text.encode())

                do_PUT = do_DELETE = do_GET  # noqa: N815

                def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                    """Nobody reads it."""

            return open_url("s3://bucket/x", options(stack.enter_context(serving(Handler)))), seen

        yield make


@pytest.mark.parametrize(
    ("status", "code", "call", "kind", "retryable", "said"),
    [
        (412, "PreconditionFailed", CREATE, ConflictError, False, KEY),
        (409, "ConditionalRequestConflict", CREATE, StoreError, True, "busy"),
        (403, "AccessDenied", CREATE, StoreRefusedError, False, r"s3:PutObject on packs/\*"),
        (403, "AccessDenied", GET, StoreRefusedError, False, r"s3:GetObject on packs/\*"),
        (403, "AccessDenied", LIST, StoreRefusedError, False, "s3:ListBucket"),
        (403, "AccessDenied", DELETE, StoreRefusedError, False, r"s3:DeleteObject on packs/\*"),
        (401, "", GET, StoreRefusedError, False, "refused"),
        (403, "InvalidAccessKeyId", GET, StoreRefusedError, False, "Check the access key"),
        (403, "SignatureDoesNotMatch", CREATE, StoreRefusedError, False, "Check the access key"),
        (403, "RequestTimeTooSkewed", CREATE, StoreRefusedError, False, "Correct the clock"),
        (400, "ExpiredToken", CREATE, StoreRefusedError, False, "Renew them"),
        (400, "ExpiredToken", GET, StoreRefusedError, False, "Renew them"),
        (404, "NoSuchKey", GET, NotFoundError, False, KEY),
        (404, "NoSuchBucket", GET, StoreError, False, "Create the bucket"),
        (404, "NoSuchBucket", CREATE, StoreError, False, "Create the bucket"),
        (404, "NoSuchBucket", LIST, StoreError, False, "Create the bucket"),
        (301, "", CREATE, StoreError, False, "repository.region"),
        (400, "InvalidStorageClass", CREATE, StoreError, False, "InvalidStorageClass: said"),
        (403, "InvalidObjectState", GET, StoreError, False, "InvalidObjectState: said .* archived"),
        (409, "BlobArchived", GET, StoreError, False, "BlobArchived: said .* archived"),
        (400, "KMS.DisabledException", GET, StoreError, False, r"KMS\.DisabledException: said .* the key"),
        (
            403,
            "KeyVaultEncryptionKeyNotFound",
            CREATE,
            StoreError,
            False,
            "EncryptionKeyNotFound: .* the key",
        ),
        (403, "QuotaExceeded", CREATE, StoreError, False, "QuotaExceeded: said .* raise the quota"),
        (507, "XMinioStorageFull", CREATE, StoreError, False, "XMinioStorageFull: said .* Make room"),
        (403, "AllAccessDisabled", LIST, StoreError, False, "AllAccessDisabled: said .* provider"),
        (403, "AuthorizationPermissionMismatch", GET, StoreRefusedError, False, "PermissionMismatch: said"),
        (403, "SomethingNew", GET, StoreRefusedError, False, "403 Forbidden: SomethingNew: said"),
        (400, "RequestTimeout", CREATE, StoreError, True, "RequestTimeout"),
        (429, "", CREATE, StoreError, True, "429"),
        (500, "InternalError", CREATE, StoreError, True, "500"),
        (503, "SlowDown", CREATE, StoreError, True, "SlowDown"),
        (503, "SlowDown", GET, StoreError, True, "SlowDown"),
    ],
)
def test_an_answer(
    answering: Callable[..., tuple[Store, list[dict[str, str]]]],
    status: int,
    code: str,
    call: Callable[[Store], object],
    kind: type[BackupError],
    retryable: bool,
    said: str,
) -> None:
    store, seen = answering(status, code)
    with pytest.raises(kind, match=said) as caught:
        call(store)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert "s3://bucket/x" in str(caught.value)
    assert KEYS["secret_access_key"] not in str(caught.value)
    if call is CREATE:
        assert len(seen) == 1, "a write is repeated where it is known what that means"


def test_a_right_to_a_key_is_asked_for_by_its_name(
    answering: Callable[..., tuple[Store, list[dict[str, str]]]],
) -> None:
    words = "User: arn:aws:iam::1:user/b is not authorized to perform: kms:Decrypt on this resource"
    store, _ = answering(403, "AccessDenied", words)
    with pytest.raises(StoreRefusedError, match="not authorized to perform") as caught:
        store.get(KEY)
    assert "Allow kms:Decrypt" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "Access Denied because object protected by object lock."),
        (400, "InvalidRequest", "Object is WORM protected and cannot be overwritten"),
        (
            409,
            "BlobImmutableDueToPolicy",
            "This operation is not permitted as the blob is immutable due to a policy.",
        ),
        (
            403,
            "AccessDenied",
            "Object is subject to bucket's retention policy and cannot be deleted until 2027-01-01",
        ),
    ],
)
def test_a_deletion_that_a_retention_forbids_is_no_missing_right(
    answering: Callable[..., tuple[Store, list[dict[str, str]]]], status: int, code: str, said: str
) -> None:
    store, _ = answering(status, code, said)
    with pytest.raises(StoreLockedError, match="when its retention or hold is over"):
        store.delete(KEY)
    with pytest.raises(BackupError) as caught:
        store.get(KEY)
    assert not isinstance(caught.value, StoreLockedError)


def test_a_key_that_speaks_of_locks_is_not_locked(
    answering: Callable[..., tuple[Store, list[dict[str, str]]]],
) -> None:
    store, _ = answering(403, "AccessDenied", "Access Denied")
    with pytest.raises(StoreRefusedError) as caught:
        store.delete("object-lock/legal hold")
    assert not isinstance(caught.value, StoreLockedError)


def test_a_write_carries_its_condition_and_its_checksum(
    answering: Callable[..., tuple[Store, list[dict[str, str]]]],
) -> None:
    store, seen = answering(200)
    store.create(KEY, b"1")
    store.replace(KEY, b"1")
    assert [headers.get("if-none-match") for headers in seen] == ["*", None]
    for headers in seen:
        assert headers["x-amz-checksum-sha256"] == "a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s="
        assert "x-amz-checksum-sha256" in headers["authorization"]


def test_storage_classes_are_sent_by_kind_of_object() -> None:
    seen: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers.get("x-amz-storage-class")))
            self.send_response(200)
            self.send_header("ETag", '"x"')
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Handler) as endpoint:
        settings = options(endpoint)
        store = open_url(
            "s3://bucket",
            StoreOptions(
                endpoint=settings.endpoint,
                allow_http=True,
                credentials=KEYS,
                storage_class={"packs": "STANDARD_IA"},
            ),
        )
        store.create("packs/a", b"")
        store.create("meta/a", b"")
    assert seen == [("/bucket/packs/a", "STANDARD_IA"), ("/bucket/meta/a", None)]


def test_a_server_that_is_not_there() -> None:
    store = open_url("s3://bucket", options(f"http://127.0.0.1:{free_port()}"))
    for call in (CREATE, GET, LIST, DELETE):
        with pytest.raises(StoreError, match="could not") as caught:
            call(store)
        assert caught.value.retryable
        assert "Connection refused" in caught.value.message
        assert "retries" not in caught.value.message
        assert "Is its server up" in caught.value.hint


def test_http_has_to_be_allowed() -> None:
    store = open_store(
        "s3://bucket", StoreOptions(endpoint="http://127.0.0.1:9", region="us-east-1", credentials=KEYS)
    ).store
    with pytest.raises(StoreError, match="allow_http") as caught:
        store.create(KEY, b"1")
    assert not caught.value.retryable


@pytest.mark.parametrize("path_style", [None, True])
def test_the_bucket_is_in_the_path_unless_asked_otherwise(path_style: bool | None) -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.headers['Host'].split(':')[0]}{self.path}")
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Handler) as endpoint:
        store = open_url(
            "s3://bucket/x",
            StoreOptions(endpoint=endpoint, allow_http=True, path_style=path_style, credentials=KEYS),
        )
        with pytest.raises(NotFoundError):
            store.get(KEY)
    assert seen == [f"127.0.0.1/bucket/x/{KEY}"]


def test_virtual_hosts_have_the_bucket_in_front() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Handler) as endpoint:
        local = endpoint.replace("127.0.0.1", "localhost")
        store = open_url(
            "s3://bucket/x",
            StoreOptions(endpoint=local, allow_http=True, path_style=False, credentials=KEYS),
        )
        with pytest.raises((NotFoundError, StoreError)) as caught:  # not every resolver knows such names
            store.get(KEY)
    assert re.search(rf"http://bucket\.localhost:\d+/x/{KEY}", str(caught.value.__cause__))


@pytest.mark.parametrize("name", ["packs/a//b", "packs/../b", "packs/./b"])
def test_an_object_whose_name_no_listing_gets_past(
    answering: Callable[..., tuple[Store, list[dict[str, str]]]], name: str
) -> None:
    content = f"<Key>{name}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified><Size>1</Size>"
    store, _ = answering(200, body=f"<ListBucketResult><Contents>{content}</Contents></ListBucketResult>")
    with pytest.raises(StoreError, match="could not list packs/") as caught:
        list(store.list("packs/"))
    assert not caught.value.retryable
    assert caught.value.hint == failures.STRANGE_NAME
