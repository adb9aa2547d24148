"""Channels: where alerts are sent. apprise knows the services, and this module keeps their secrets secret."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from backup_platform.advice import shell
from backup_platform.domain.visible import inert, visible
from backup_platform.errors import BackupError
from backup_platform.extras import not_installed

# Elsewhere what stands in the host's place is a token, a webhook's id or a topic.
_HAVE_A_HOST = frozenset({"json", "xml", "form", "mailto", "gotify", "mmost", "rocket", "apprise"})
_TALKATIVE = ("apprise", "urllib3.connectionpool")


@dataclass(frozen=True)
class AppriseChannel:
    """One channel, by its apprise URL as the plan has it. URLs hold secrets, and are never shown."""

    name: str
    url: str = field(repr=False)
    resolve: Callable[[str], str] = field(repr=False, default=str)

    def send(self, title: str, body: str, *, over: bool = False) -> None:
        """As a failure, which pagers ring for; what is `over`, as a success. Of what the texts hold no service makes a
        header, a link, an image or a mention.

        Raises `BackupError` if the channel refused, or if a secret of its URL cannot be read.
        """
        apprise = _apprise()
        title, body = inert(visible(title)), "\n".join(map(inert, body.split("\n")))
        url = self.resolve(self.url)
        with _SILENCE:
            taken = _deliver(apprise, url, title, body, over)
        if not taken:
            raise BackupError(
                f"The alert was not accepted by {public_name(url)}.",
                hint=(
                    "Check the plan's `alerts`: ",
                    shell("apprise", "-vv", "URL"),
                    " shows why a channel refuses.",
                ),
                retryable=True,
            )


def apprise_channels(urls: Sequence[str], resolve: Callable[[str], str] = str) -> list[AppriseChannel]:
    """The channels of a plan; nothing is sent. Of several with one name, the later ones have a number."""
    names = [_name(url, resolve, number) for number, url in enumerate(urls, 1)]
    unique = [
        name if name not in names[:index] else f"{name} #{names[:index].count(name) + 1}"
        for index, name in enumerate(names)
    ]
    return [AppriseChannel(name, url, resolve) for name, url in zip(unique, urls, strict=True)]


def _name(url: str, resolve: Callable[[str], str], number: int) -> str:
    try:
        return public_name(resolve(url))
    except BackupError:  # a secret is missing: whoever sends says which
        return f"channel {number} of the plan"


def known_channels(urls: Sequence[str]) -> list[str]:
    """Their public names; nothing is sent. Raises `BackupError` for URLs that apprise does not understand.

    Without Dagster, which sends the alerts, another host does so, and they are not looked at.
    """
    if not urls:
        return []
    if not any(find_spec(module) for module in ("apprise", "dagster")):
        names = ", ".join(public_name(url) for url in urls)
        return [f"{names} (not checked: alerts are sent by a host with Dagster, which is not installed here)"]
    apprise = _apprise()
    with _SILENCE:
        wrong = [url for url in urls if not apprise.Apprise().add(url)]
    if wrong:
        raise BackupError(
            f"These alert channels cannot be used: {', '.join(public_name(url) for url in wrong)}.",
            hint=("Correct `alerts` in the plan: ", shell("apprise", "-vv", "URL"), " shows what is wrong."),
        )
    return [public_name(url) for url in urls]


def public_name(url: str) -> str:
    """A channel's scheme, and its host where the URL's form promises that it is one."""
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.isalnum():
        return "a channel without a scheme"
    host = ""
    if scheme.lower().removesuffix("s") in _HAVE_A_HOST:
        host = _host(url)
    return f"{scheme.lower()}://{host}"


def _host(url: str) -> str:
    """The URL's host; none where a password that holds `/`, `?` or `#` may have been taken for it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    cut = "@" in parts.path + parts.fragment or ("@" in parts.query and "@" not in parts.netloc)
    return "" if cut else host


def _deliver(apprise: Any, url: str, title: str, body: str, over: bool) -> bool:
    asset = apprise.AppriseAsset(app_id="backup_platform", app_desc="Backups", app_url="", async_mode=False)
    channel = apprise.Apprise(asset=asset)
    kind = apprise.NotifyType.SUCCESS if over else apprise.NotifyType.FAILURE
    return bool(channel.add(url)) and bool(
        channel.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    )


def _apprise() -> Any:
    try:
        import apprise
    except ImportError as error:
        raise not_installed(error) or error from error
    return apprise


class _Silence:
    """Keeps apprise's log to itself while somebody sends: it holds whole URLs, of channels that it cannot parse even as
    errors. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._senders = 0

    def __enter__(self) -> None:
        with self._lock:
            self._senders += 1
            for name in _TALKATIVE:
                logging.getLogger(name).addFilter(_drop)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._senders -= 1
            for name in _TALKATIVE if not self._senders else ():
                logging.getLogger(name).removeFilter(_drop)


_SILENCE = _Silence()


def _drop(_: logging.LogRecord) -> bool:
    return False
