"""The meaning of a failed call of obstore: which of our errors it is, whether it may be temporary, and what to do."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from backup_platform.errors import (
    BackupError,
    ConflictError,
    NotFoundError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreRefusedError,
    bounded,
)
from backup_platform.stores.advice import BUSY, DENIED, EXPIRED, SKEWED, UNKNOWN, lasting

PERMISSIONS = {  # by verb: S3, Google, Azure
    "write": ("s3:PutObject", "storage.objects.create", "blobs/write"),
    "read": ("s3:GetObject", "storage.objects.get", "blobs/read"),
    "look up": ("s3:GetObject and s3:ListBucket", "storage.objects.get", "blobs/read"),
    "list": ("s3:ListBucket", "storage.objects.list", "blobs/read"),
    "delete": ("s3:DeleteObject", "storage.objects.delete", "blobs/delete"),
}
_SCHEMES = {"s3": 0, "s3a": 0, "gs": 1, "az": 2, "azure": 2, "adl": 2, "abfs": 2, "abfss": 2}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "FilesystemNotFound"}
# A conditional write met another one that was not over yet (S3): no verdict about the object.
_UNDECIDED = {"ConditionalRequestConflict", "OperationAborted"}
_ELSEWHERE = {"PermanentRedirect", "IllegalLocationConstraintException"}
# A retention forbids it: by code (Azure, Google), or in the words of S3, MinIO and its descendants, and Google.
_RETAINED = {"BlobImmutableDueToPolicy", "ObjectLocked", "retentionPolicyNotMet", "objectUnderActiveHold"}
_RETAINED_WORDS = re.compile(
    r"object[ -]?lock|WORM[ -]protected|retention ?policy|legal hold|immutab|under active .*hold",
    re.IGNORECASE,
)
_PASSING = {408, 425, 429}
_PASSING_CODES = {*BUSY, "RequestTimeout", "OperationTimedOut", "InternalError"}
STRANGE_NAME = (
    "Delete that object: this program did not make it, and no listing gets past its name (docs/stores.md)."
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_URL_SECRETS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@|(?<=[\w/])\?[^\s,)\"']*")
_TIMINGS = re.compile(r" in [\d.]+\w+(, after \d+ retries[^-]*)? +- ")
_CAUSE = re.compile(r'(?:message: "|failed to lookup address information: )([^"]+)"')


@dataclass(frozen=True, slots=True)
class Told:
    """What the text of an obstore error says; the rest of it is Rust's debug output."""

    status: int
    code: str
    text: str
    number: int | None  # of the operating system

    @classmethod
    def by(cls, error: BaseException) -> Told:
        text = str(error)
        status = re.search(r"status code: (\d{3})", text)
        code = re.search(r"<Code>\s*([\w.]+)\s*</Code>|\(code: (\w+)\)", text)
        number = re.search(r"\(os error (\d+)\)", text)
        return cls(
            int(status[1]) if status else 0,
            (code[1] or code[2]) if code else "",
            text,
            int(number[1]) if number else getattr(error, "errno", None),
        )


def without_secrets(text: str) -> str:
    """A text without what URLs in it may hold: passwords, and queries with signatures."""
    return _URL_SECRETS.sub("", text)


def reason(error: BaseException) -> str:
    """One line without secrets: the server's own words if there are any."""
    text = str(error).strip()
    said = re.search(r"status code: (\d{3}[^:]*)", text)
    message = re.search(r"<Message>\s*([^<]*?)\s*</Message>", text)
    if said:
        code = Told.by(error).code
        parts = [f"{said[1].strip()}", *([code] if code else []), *([message[1]] if message else [])]
        return without_secrets(": ".join(part.splitlines()[0] for part in parts if part)).rstrip(".")
    return _with_cause(text) if text else type(error).__name__


def _with_cause(text: str) -> str:
    """The first line without its timings, and what the operating system said, which is deep in the lines below it."""
    line = _TIMINGS.sub(": ", text.splitlines()[0].removeprefix("Generic S3 error: "))
    cause = _CAUSE.search(text)
    return without_secrets(line).rstrip(".") + (f" ({cause[1]})" if cause and cause[1] not in line else "")


def translation(
    verb: str, key: str, location: str, error: Exception, plan_key: str = "repository"
) -> BackupError:
    """Our error for an error of obstore. The call wanted to `verb` the object `key` of the store at `plan_key` of
    the plan."""
    found = _meaning(verb, key, location, error, plan_key)
    found.subject = key
    if isinstance(found, StoreError):
        found.said = bounded(reason(error))
    return found


def _meaning(verb: str, key: str, location: str, error: Exception, plan_key: str) -> BackupError:
    from obstore import exceptions

    told = Told.by(error)
    if told.code in _UNDECIDED:
        return StoreError(f"The store {location} was busy with {key}.", retryable=True)
    if verb == "delete" and _retained(told):
        return StoreLockedError(
            f"The store {location} refused to delete {key}: {reason(error)}.",
            hint="It can be deleted when its retention or hold is over.",
        )
    if advice := lasting(told.code):
        return StoreError(f"The store {location} could not {verb} {key}: {reason(error)}.", hint=advice)
    if isinstance(error, FileExistsError | exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return ConflictError(f"The object {key} exists already in {location}.")
    if isinstance(error, FileNotFoundError | exceptions.NotFoundError) or told.code in _NO_BUCKET:
        return _not_found(verb, key, location, told, plan_key)
    refusals = (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    denied = told.code in DENIED | EXPIRED | UNKNOWN | SKEWED
    if denied or isinstance(error, refusals) or told.number in _REFUSED:
        return _refusal(verb, key, location, error, told)
    return _failure(verb, key, location, error, told, plan_key)


def _retained(told: Told) -> bool:
    """Whether the store said so: one that only says that access is denied may mean that, too."""
    if told.code in _RETAINED:
        return True
    return told.status in (400, 403, 409, 412) and bool(_RETAINED_WORDS.search(_answer(told.text)))


def _answer(text: str) -> str:
    """What the server said, without the names of objects and buckets around it."""
    message = re.search(r"<Message>\s*([^<]*?)\s*</Message>|\"message\":\s*\"([^\"]*)\"", text)
    return (message[1] or message[2] or "") if message else ""


def _not_found(verb: str, key: str, location: str, told: Told, plan_key: str) -> BackupError:
    if told.code in _NO_BUCKET:
        return StoreError(
            f"The store {location} could not {verb} {key}: its bucket is not there.",
            hint=f"Create the bucket or container, or correct `{plan_key}.path` in the plan.",
        )
    if verb != "write":
        return NotFoundError(f"There is no object {key} in {location}.")
    return StoreError(
        f"The store {location} could not write {key}: its directory or bucket is gone.",
        hint="Mount the disk that holds it, or create it.",
    )


def _refusal(verb: str, key: str, location: str, error: Exception, told: Told) -> BackupError:
    """In the store's own words: what they mean to us may be wrong."""
    return StoreRefusedError(
        f"The store {location} refused to {verb} {key}: {reason(error)}.",
        hint=_right(verb, key, location, told),
    )


def _right(verb: str, key: str, location: str, told: Told) -> str:
    if told.code in EXPIRED:
        return "The credentials have expired. Renew them, then run this again."
    if told.code in UNKNOWN:
        return "Check the access key and its secret, and that both belong to this endpoint."
    if told.code in SKEWED:
        return "The clocks differ. Correct the clock of this machine."
    if of_key := re.search(r"\bkms:\w+", told.text):
        return f"Allow {of_key[0]} on the bucket's key in the policy of these credentials."
    if "Read-only file system" in told.text:
        return "Mount it for writing. What only reads (restore, verify, drill) works as it is."
    return _permission(verb, key, location)


def _permission(verb: str, key: str, location: str) -> str:
    scheme = location.partition("://")[0] if "://" in location else ""
    if scheme not in _SCHEMES:
        return "Check the permissions of the directory, or the credentials and their policy."
    needed = PERMISSIONS[verb][_SCHEMES[scheme]]
    folder = key.split("/")[0] + ("/*" if "/" in key else "")
    return f"Allow {needed} on {folder or 'the bucket'} in the policy of these credentials (docs/stores.md)."


def _failure(verb: str, key: str, location: str, error: Exception, told: Told, plan_key: str) -> StoreError:
    from obstore import exceptions

    hint = STRANGE_NAME if isinstance(error, exceptions.InvalidPathError) else _hint(told, plan_key)
    kind = StoreFullError if told.number in _FULL else StoreError
    return kind(
        f"The store {location} could not {verb} {key}: {reason(error)}.",
        hint=hint or _patience(location, told, plan_key),
        retryable=not hint and _may_pass(error, told),
    )


def _patience(location: str, told: Told, plan_key: str) -> str:
    """What to look at while it lasts, of a failure that may pass by itself."""
    if told.code in BUSY:
        return "It asks for fewer requests, and this is tried again. If it lasts, run fewer things at once."
    if "://" not in location or told.status:
        return ""
    return f"Is its server up, and reachable from here? `{plan_key}.endpoint` names one other than the provider's."


def _hint(told: Told, plan_key: str) -> str:
    """What a person has to do; empty when nothing is known that one could do."""
    if told.number in _FULL:
        return "Make room on its disk."
    if "certificate" in told.text:
        return f"Its certificate is not trusted: install the authority's, or correct `{plan_key}.endpoint`."
    if "builder error" in told.text and "http://" in told.text:
        return f"Use https, or set `{plan_key}.allow_http: true`."
    if "redirect without LOCATION" in told.text or told.code in (
        "PermanentRedirect",
        "IllegalLocationConstraintException",
    ):
        return f"Set `{plan_key}.region` to the region of the bucket."
    if "169.254.169.254" in told.text or "metadata.google" in told.text:
        return f"No credentials were found: give them in `{plan_key}.credentials`, or in the environment."
    return ""


def _may_pass(error: Exception, told: Told) -> bool:
    from obstore import exceptions

    lasting = (
        exceptions.NotSupportedError,
        exceptions.UnknownConfigurationKeyError,
    )
    if isinstance(error, lasting):
        return False
    if told.code in _PASSING_CODES:
        return True
    return told.status in _PASSING or not 300 <= told.status < 500
