"""What a person has to do for the error codes of stores: those of S3 and compatible stores, of Google and of Azure."""

from __future__ import annotations

from backup_platform.advice import Hint, command

EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
UNKNOWN = {
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "InvalidSecurity",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
}
SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
DENIED = {
    "AccessDenied",
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "AuthorizationSourceIPMismatch",
    "InsufficientAccountPermissions",
}
BUSY = {"SlowDown", "ServerBusy", "RequestLimitExceeded", "Throttling", "TooManyRequests"}

_ARCHIVED = (
    "The object was archived, by a lifecycle rule for example. Restore it in the store (restore-object, rehydrate), "
    "then keep the rule off the repository's prefix."
)
_ACCOUNT = "Ask the provider: the account is closed, disabled or not paid."
_FULL = (
    "Make room, or raise the quota of the bucket or account. ",
    command("prune"),
    " deletes what no point needs.",
)
_KEY = "Look at the key that the bucket encrypts with: it must exist, be enabled, and be allowed to these credentials."

_LASTING: dict[str, Hint] = {
    "InvalidObjectState": _ARCHIVED,
    "BlobArchived": _ARCHIVED,
    "BlobBeingRehydrated": "The object is being brought back from the archive: wait until that is done.",
    "AllAccessDisabled": _ACCOUNT,
    "AccountProblem": _ACCOUNT,
    "NotSignedUp": _ACCOUNT,
    "UserProjectAccountProblem": _ACCOUNT,
    "AccountIsDisabled": _ACCOUNT,
    "UserProjectMissing": "The bucket lets the requester pay: use one whose owner pays.",
    "QuotaExceeded": _FULL,
    "quotaExceeded": _FULL,
    "StorageQuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "InsufficientCapacity": _FULL,
    "InvalidBucketName": "Correct the bucket's name in the plan.",
    "InvalidResourceName": "Correct the container's name in the plan.",
    "InvalidStorageClass": "Correct `storage_class` in the plan: this store does not have it.",
}


def lasting(code: str) -> Hint:
    """What to do about an error code for which a retry does not help; empty for every other."""
    if code.startswith(("KMS.", "KeyVault")):
        return _KEY
    return _LASTING.get(code, "")
