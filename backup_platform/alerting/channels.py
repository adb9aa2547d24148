"""Channels: where alerts are sent. apprise knows the services, and this module keeps their secrets secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
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
class AppriseNotifier:
    """Sends to every channel, each given as an apprise URL. The URLs hold secrets and are never shown."""

    urls: Sequence[str] = field(repr=False)

    def send(self, title: str, body: str, *, over: bool = False) -> None:
        """As a failure, which pagers ring for; what is `over`, as a success. Of what the texts hold no service makes a
        header, a link, an image or a mention.

        Raises `BackupError` naming the channels that refused, after all the others were served.
        """
        if not self.urls:
            return
        apprise = _apprise()
        title, body = inert(visible(title)), "\n".join(map(inert, body.split("\n")))
        with _silenced():
            failed = [url for url in self.urls if not _deliver(apprise, url, title, body, over)]
        if failed:
            names = ", ".join(public_name(url) for url in failed)
            raise BackupError(
                f"The alert was not accepted by {len(failed)} of {len(self.urls)} channels: {names}.",
                hint=(
                    "Check the plan's `alerts`: ",
                    shell("apprise", "-vv", "URL"),
                    " shows why a channel refuses.",
                ),
                retryable=True,
            )


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
    with _silenced():
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


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep apprise's log to itself: it holds whole URLs, of channels that it cannot parse even as errors."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    for logger in loggers:
        logger.addFilter(_drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False
