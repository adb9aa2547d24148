"""The credentials of a Dagster resource for the store of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backup_platform.stores.options import CredentialProvider

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def s3_credentials(resource: S3Resource) -> CredentialProvider:
    """What `App.load(credentials=…)` takes: the profile, keys or ambient credentials of an `S3Resource`.

    Its endpoint and region stay out: they are the plan's. Raises StoreRefusedError when it has no credentials.
    """
    from boto3 import Session

    from backup_platform.stores.remote import session_credentials

    session = Session(
        profile_name=resource.profile_name,
        region_name=resource.region_name,
        aws_access_key_id=resource.aws_access_key_id,
        aws_secret_access_key=resource.aws_secret_access_key,
        aws_session_token=resource.aws_session_token,
    )
    return session_credentials(session)
