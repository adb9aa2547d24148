"""Alerts arrive over real HTTP, and a channel that fails is named without its secrets."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backup_platform.alerting.channels import AppriseChannel, apprise_channels, known_channels, public_name
from backup_platform.errors import BackupError

# apprise imports it while it loads its channels
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Hook(ThreadingHTTPServer):
    """A webhook that keeps what it was sent, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.wait = threading.Event()
        self.wait.set()
        self.received: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str = "hook", user: str = "") -> str:
        return f"json://{user}127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))
        self.server.wait.wait()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def channel(url: str) -> AppriseChannel:
    [made] = apprise_channels([url])
    return made


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_a_message_arrives(hook: Hook) -> None:
    channel(hook.url("a/b")).send("Backup of shop failed", "disk full <&>\nsince 02:15")
    ((path, sent),) = hook.received
    assert path.rstrip("/") == "/a/b"
    assert (sent["title"], sent["message"]) == ("Backup of shop failed", "disk full <&>\nsince 02:15")
    assert sent["type"] == "failure", "a pager rings for it"
    channel(hook.url()).send("Resolved: Backup of shop failed", "It lasted 1 min", over=True)
    assert hook.received[-1][1]["type"] == "success"


def test_a_message_acts_on_nothing(hook: Hook) -> None:
    """Services make Markdown, HTML and mentions of what they are sent, and mails have headers."""
    evil = "![i](http://x/i) [l](http://x) <img src=x> <!channel> <@U1> @everyone \x1b[2J\u202e\r"
    channel(hook.url()).send(f"failed\r\nBcc: all@example.org {evil}", f"{evil}\nsince 02:15, dba@host")
    sent = hook.received[0][1]
    shown = (
        "! [i] (http://x/i) [l] (http://x) < img src=x> < !channel> < (at)U1> (at)everyone \\x1b[2J\\u202e\\r"
    )
    assert sent["title"] == f"failed\\r\\nBcc: all@example.org {shown}"
    assert sent["message"] == f"{shown}\nsince 02:15, dba@host"


@pytest.mark.parametrize("status", [401, 500])
def test_a_channel_that_refuses_is_an_error(status: int, hook: Hook) -> None:
    hook.status = status
    with pytest.raises(BackupError, match="not accepted by json://127") as caught:
        channel(hook.url()).send("t", "b")
    assert caught.value.retryable


def test_channels_are_known_before_anything_is_sent() -> None:
    good = "json://localhost:9/x"
    assert known_channels([good]) == ["json://localhost"]
    assert known_channels([]) == []
    with pytest.raises(BackupError, match="cannot be used: jsn:") as caught:
        known_channels([good, "jsn://user:secret@localhost/x"])
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_secrets_stay_secret_while_another_channel_is_slow(
    caplog: pytest.LogCaptureFixture, hook: Hook
) -> None:
    """One that has sent must not let the log of the other one through."""
    hook.wait.clear()
    slow = threading.Thread(target=lambda: channel(hook.url("HIDDEN")).send("t", "b"))
    with caplog.at_level(1), caplog.at_level(1, "apprise"), caplog.at_level(1, "urllib3"):
        slow.start()
        with pytest.raises(BackupError):
            channel("nosuch://x").send("t", "b")
        hook.wait.set()
        slow.join()
    assert "HIDDEN" not in caplog.text
    assert len(hook.received) == 1


def test_channels_have_names_of_their_own_without_secrets() -> None:
    def resolve(url: str) -> str:
        if "missing" in url:
            raise BackupError("There is no variable.")
        return url.replace("${env:URL}", "slack://HIDDEN")

    urls = ["json://a/x", "${env:URL}", "json://a/HIDDEN", "${env:missing}"]
    made = apprise_channels(urls, resolve)
    assert [each.name for each in made] == ["json://a", "slack://", "json://a #2", "channel 4 of the plan"]
    with pytest.raises(BackupError, match="no variable"):
        made[3].send("t", "b")


def test_secrets_reach_neither_errors_nor_logs(caplog: pytest.LogCaptureFixture, hook: Hook) -> None:
    hook.status = 403
    urls = [
        hook.url("HIDDEN", user="root:HIDDEN@") + "?-X-Token=HIDDEN",
        f"json://u:HIDDEN@127.0.0.1:{closed_port()}/HIDDEN",
        "nosuch://HIDDEN/x",
        "slack://HIDDEN",
        "HIDDEN",
    ]
    said = f"{apprise_channels(urls)!r}"
    with caplog.at_level(1), caplog.at_level(1, "apprise"), caplog.at_level(1, "urllib3"):
        logging.getLogger("urllib3").debug("logs are kept")
        for each in apprise_channels(urls):
            with pytest.raises(BackupError, match="not accepted") as caught:
                each.send("t", "b")
            said += f"{caught.value!r} {caught.value}"
    assert "logs are kept" in caplog.text
    assert "HIDDEN" not in said + caplog.text
    names = ["json://127.0.0.1", "json://127.0.0.1 #2", "nosuch://", "slack://", "a channel without a scheme"]
    assert [each.name for each in apprise_channels(urls)] == names


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("jsons://user:pa@ss@hooks.example.org:8443/path?x=1", "jsons://hooks.example.org"),
        ("mailto://user:pass@example.org?to=a@b.c", "mailto://example.org"),
        ("mailto://user:pa/ss@example.org", "mailto://"),
        ("json://pa?ss@example.org", "json://"),
        ("json://user:pa@ss/word@example.org", "json://"),
        ("json://example.org/hook?to=x", "json://example.org"),
        ("json://[::1", "json://"),
        ("discord://123/token", "discord://"),
        ("tgram://123:token/", "tgram://"),
        ("sendgrid://SG.key.with.dots:from@x.org", "sendgrid://"),
        ("https://token.example.org/x", "https://"),
        ("secret", "a channel without a scheme"),
        ("my secret://x", "a channel without a scheme"),
    ],
)
def test_only_scheme_and_a_true_host_are_shown(url: str, name: str) -> None:
    assert public_name(url) == name


def test_apprise_is_imported_only_to_send() -> None:
    code = """if True:
        import sys
        from backup_platform.alerting.channels import apprise_channels
        apprise_channels(["json://localhost"])
        print("apprise" in sys.modules)
    """
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_without_apprise_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(BackupError, match="not installed") as caught:
        channel("json://localhost").send("t", "b")
    assert "backup-platform[dagster]" in caught.value.hint
