"""The only module that starts other programs, and decides what they can see.

A child gets the environment variables that it needs, by name. It does not get the rest of the environment, above
all no secrets, and no open files except those that are passed on.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

Child = subprocess.Popen[bytes]
ChildError = subprocess.SubprocessError
StillRunning = subprocess.TimeoutExpired
PIPE, NOTHING = subprocess.PIPE, subprocess.DEVNULL
TIMEOUT_S = 60

_OF_PROGRAMS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TZ", "LANG", "LANGUAGE")
_LOCALE = "LC_"
# libpq looks for files below HOME, and the libraries that it uses for theirs.
_OF_CLIENTS = (
    *("HOME", "USER", "LOGNAME", "LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES"),
    *("KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"),
)
_OF_LIBPQ = frozenset(
    "PG" + name
    for name in (
        *("HOST", "HOSTADDR", "PORT", "DATABASE", "USER", "PASSWORD", "PASSFILE", "SERVICE", "SERVICEFILE"),
        *("SYSCONFDIR", "OPTIONS", "APPNAME", "CONNECT_TIMEOUT", "CLIENTENCODING", "TARGETSESSIONATTRS"),
        *("LOADBALANCEHOSTS", "MINPROTOCOLVERSION", "MAXPROTOCOLVERSION", "REQUIREAUTH", "CHANNELBINDING"),
        *("REQUIREPEER", "SSLMODE", "REQUIRESSL", "SSLNEGOTIATION", "SSLCOMPRESSION", "SSLCERT", "SSLKEY"),
        *("SSLCERTMODE", "SSLROOTCERT", "SSLCRL", "SSLCRLDIR", "SSLSNI", "SSLMINPROTOCOLVERSION"),
        *(
            "SSLMAXPROTOCOLVERSION",
            "GSSENCMODE",
            "KRBSRVNAME",
            "GSSLIB",
            "GSSDELEGATION",
            "DATESTYLE",
            "TZ",
            "GEQO",
        ),
    )
)


def environment(*, client: bool = False, **more: str) -> dict[str, str]:
    """The variables of this process's environment that a program needs, and `more`. A client of PostgreSQL also gets
    those that libpq reads."""
    names = {*_OF_PROGRAMS, *(_OF_CLIENTS if client else ())}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in names or name.startswith(_LOCALE) or (client and name in _OF_LIBPQ)
    }
    return kept | more


def start(command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any) -> Child:
    """Like `subprocess.Popen`. Raises `OSError`."""
    return subprocess.Popen(command, env=environment() if env is None else env, **options)


def run(
    command: Sequence[str], *, timeout: float = TIMEOUT_S, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """To its end, with its output. Raises `OSError`, `ChildError`."""
    return subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        check=False,
        stdin=NOTHING,
        timeout=timeout,
        **options,
    )
