"""Somebody who can write to the store, and holds no key, writes documents of recipients."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.repository.objects.names import recipient_name
from backup_platform_tests.cli.test_fingerprints import Hosts
from backup_platform_tests.docs.cells import shows
from backup_platform_tests.support import IDENTITIES, REPOSITORY_KEY, recipient

OWNER, SECOND, STRANGER = (recipient(number) for number in range(3))
FOREIGN = f"keys/{'5' * 64}.recipient"
FORGED_NOTE = f"keys/{recipient_name(OWNER)}.retired"
PINNED = f", recipients: [{OWNER}, {SECOND}]"


@pytest.fixture
def hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hosts:
    """The owner's writer made one point to two recipients, and knows them."""
    made = Hosts(tmp_path, capsys)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one").write_text("content")
    writer = made.verbs("writer", key=REPOSITORY_KEY)
    writer("init", "--recipient", OWNER, "--recipient", SECOND, code=0)
    writer("backup", code=0)
    return made


def opens(hosts: Hosts, number: int, state: str = "restorer") -> bool:
    """Whether an identity opens the newest point; its host has the repository key, too."""
    run = hosts.verbs(f"{state}-{number}", identity=True, key=REPOSITORY_KEY)
    (hosts.root / f"{state}-{number}" / "identity").write_text(IDENTITIES[number])
    target = hosts.root / f"{state}-{number}-{len(list(hosts.root.iterdir()))}"
    return run("restore", "docs@latest", "--to", str(target)).code == 0


@shows("store owner", "adds")
@pytest.mark.parametrize("key", [FOREIGN, FORGED_NOTE])
@pytest.mark.parametrize(("state", "more"), [("writer", ""), ("writer", PINNED), ("fresh", "")])
def test_a_forged_document_is_named_and_stops_no_backup(
    hosts: Hosts, key: str, state: str, more: str
) -> None:
    (hosts.store / key).write_bytes(b"")
    (hosts.root / "docs" / "one").write_text("new content")
    run = hosts.verbs(state, key=REPOSITORY_KEY, more=more)
    ran = run("backup", "--force", "--json", code=3).document
    assert [result["outcome"] for result in ran["results"]] == ["stored"]
    [text] = ran["results"][0]["recipients"]
    assert text.startswith(f"{key} is damaged or forged: it counts for nothing")
    assert "elete it with the tools of the store" in text
    for words in (["verify"], ["doctor"], ["key", "list"]):
        assert key in run(*words, code=1).out, words
    plan = run("repair", "--json").document["plan"]
    assert (plan["lost"], plan["steps"], len(plan["unexpected"])) == ([], [], 1)
    assert "LOST" not in run("repair", "--yes", code=1).out
    assert opens(hosts, 0)
    assert opens(hosts, 1)
    (hosts.store / key).unlink()
    run("backup", "--force", code=0)
    run("key", "list", code=0)


@shows("store owner", "forges")
def test_an_altered_document_of_a_known_recipient_is_like_a_missing_one(hosts: Hosts) -> None:
    (hosts.store / f"keys/{recipient_name(SECOND)}.recipient").write_bytes(b"")
    (hosts.root / "docs" / "one").write_text("new content")
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    done = run("backup", "--force", code=3).out
    assert f"is damaged or forged: nothing is encrypted to {SECOND} any more" in done
    assert f"key add {SECOND}" in done
    assert "LOST" in run("repair", code=1).out
    assert opens(hosts, 0)
    assert not opens(hosts, 1)
    pinned = hosts.verbs("pinned", key=REPOSITORY_KEY, more=PINNED)
    (hosts.root / "docs" / "one").write_text("newer content")
    assert f"encrypted to {SECOND} only because the plan names it" in pinned("backup", "--force", code=3).out
    assert opens(hosts, 1)
    run("key", "add", SECOND, code=0)
    run("backup", "--force", code=0)


def test_without_any_authentic_document_of_a_known_recipient_nothing_is_written(hosts: Hosts) -> None:
    for each in (OWNER, SECOND):
        (hosts.store / f"keys/{recipient_name(each)}.recipient").write_bytes(b"")
    before = {path for path in hosts.store.rglob("*") if path.is_file()}
    error = hosts.verbs("writer", key=REPOSITORY_KEY)("backup", "--force", code=12).err
    assert (
        "error [recipients-changed]: The repository has no authentic document of a recipient any more"
        in error
    )
    assert OWNER in error
    assert before == {path for path in hosts.store.rglob("*") if path.is_file()}


def test_a_retired_recipient_does_not_come_back_by_an_altered_note(hosts: Hosts) -> None:
    """On a host that knows that it was retired."""
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    run("key", "retire", SECOND, code=0)
    (hosts.store / f"keys/{recipient_name(SECOND)}.retired").write_bytes(b"")
    (hosts.root / "docs" / "one").write_text("new content")
    done = run("backup", "--force", code=3).out
    assert f"whether {SECOND} was retired is not known, so nothing is encrypted to it" in done
    assert opens(hosts, 0)
    assert not opens(hosts, 1)
