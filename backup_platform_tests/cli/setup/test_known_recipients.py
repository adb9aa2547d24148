"""A writer that was taken over holds the repository key: it adds a recipient of its own, and retires the owner's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backup_platform.actions.checks.points import authentic, stored
from backup_platform.actions.verify.run import ReadShare
from backup_platform.app import App
from backup_platform.repository.objects.names import recipient_name
from backup_platform_tests.cli.conftest import Verbs
from backup_platform_tests.cli.test_fingerprints import Hosts
from backup_platform_tests.docs.cells import shows
from backup_platform_tests.support import IDENTITIES, REPOSITORY_KEY, QuietProgress, recipient

OWNER, ATTACKER = recipient(0), recipient(1)
PINNED = f", recipients: [{OWNER}]"


@pytest.fixture
def hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hosts:
    """The owner's writer made one point and knows its repository."""
    made = Hosts(tmp_path, capsys)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one").write_text("content")
    writer = made.verbs("writer", key=REPOSITORY_KEY)
    writer("init", "--recipient", OWNER, code=0)
    writer("backup", code=0)
    return made


def attack(hosts: Hosts, *, retire: bool = True) -> Verbs:
    """By a host with the repository key, and no identity."""
    taken_over = hosts.verbs("taken-over", key=REPOSITORY_KEY)
    taken_over("key", "add", ATTACKER, code=0)
    if retire:
        taken_over("key", "retire", OWNER, code=0)
    return taken_over


def changed(hosts: Hosts, text: str) -> None:
    (hosts.root / "docs" / "one").write_text(text)


def restored(hosts: Hosts, state: str, to: str, code: int) -> Path:
    target = hosts.root / to
    hosts.verbs(state, identity=True)("restore", "docs@latest", "--to", str(target), code=code)
    return target / "one"


@shows("writer", "adds")
def test_with_recipients_in_the_plan_contents_are_written_to_these_whatever_others_add_and_retire(
    hosts: Hosts,
) -> None:
    attack(hosts)
    changed(hosts, "new content")
    run = hosts.verbs("writer", key=REPOSITORY_KEY, more=PINNED)
    ran = run("backup", "--force", "--json", code=3)
    [result] = ran.document["results"]
    assert result["outcome"] == "stored"
    assert len(result["recipients"]) == 2
    assert any(ATTACKER in text for text in result["recipients"])
    assert any(f"retires {OWNER}" in text for text in result["recipients"])
    assert restored(hosts, "restorer", "one", code=0).read_text() == "new content"
    (hosts.root / "restorer" / "identity").unlink()
    for words in (["verify"], ["doctor"], ["key", "list"]):
        assert ATTACKER in run(*words, code=1).out, words


def test_without_a_plan_that_names_them_this_host_remembers_and_tells(hosts: Hosts) -> None:
    attack(hosts, retire=False)
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    changed(hosts, "new content")
    assert f"key add {ATTACKER}" in run("backup", "--force", code=3).out
    for words in (["verify"], ["doctor"], ["key", "list"]):
        assert ATTACKER in run(*words, code=1).out, words
    app = App.load(str(hosts.root / "writer" / "backup.yaml"))
    check = authentic(app.repository, app.points.all()[0])
    assert not check.passed
    assert check.severity == "error"
    assert ATTACKER in check.summary


def test_nothing_is_written_that_nobody_whom_this_host_knows_could_read(hosts: Hosts) -> None:
    attack(hosts)
    before = {path for path in hosts.store.rglob("*") if path.is_file()}
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    ran = run("backup", "--force", code=12)
    assert "error [recipients-changed]" in ran.err
    assert ATTACKER in ran.err
    assert OWNER in ran.err
    assert before == {path for path in hosts.store.rglob("*") if path.is_file()}
    assert f"retires {OWNER}" in run("doctor", code=1).out


def test_what_somebody_does_on_this_host_is_known_to_it(hosts: Hosts) -> None:
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    run("key", "add", recipient(2), code=0)
    run("key", "retire", OWNER, code=0)
    run("backup", "--force", code=0)
    run("verify", code=0)
    run("key", "list", code=0)


def test_what_was_done_on_another_host_is_done_here_too_or_stands_in_the_plan(hosts: Hosts) -> None:
    attack(hosts)
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    run("key", "add", ATTACKER, code=0)
    assert "is there already" in run("key", "add", ATTACKER, code=1).err
    assert "retires" in run("backup", "--force", code=3).out
    run("key", "retire", OWNER, code=0)
    run("backup", "--force", code=0)
    run("key", "list", code=0)
    other = hosts.verbs("other", key=REPOSITORY_KEY)
    other("key", "list", code=0)
    hosts.verbs("taken-over", key=REPOSITORY_KEY)("key", "add", recipient(2), code=0)
    other("verify", code=1)
    pinned = f", recipients: [{ATTACKER}, {recipient(2)}]"
    hosts.verbs("other", key=REPOSITORY_KEY, more=pinned)("verify", code=0)
    hosts.verbs("other", key=REPOSITORY_KEY)("verify", code=0)


def test_the_verbs_say_that_the_plan_decides(hosts: Hosts) -> None:
    run = hosts.verbs("writer", key=REPOSITORY_KEY, more=PINNED)
    assert "add it to `recipients` of the plan" in run("key", "add", recipient(2), code=0).out
    assert "until you remove it there" in run("key", "retire", OWNER, code=0).out


def test_a_verify_with_an_identity_that_opens_none_of_the_newest_packs_fails(hosts: Hosts) -> None:
    """Nothing is remembered here, and the plan names nobody."""
    taken_over = attack(hosts)
    changed(hosts, "new content")
    taken_over("backup", "--force", code=0)
    run = hosts.verbs("restorer", identity=True, key=REPOSITORY_KEY)
    for words in (["verify"], ["verify", "--read", "none"], ["verify", "--read", "due"]):
        assert f"({OWNER}) do not open packs/" in run(*words, code=1).out, words
    app = App.load(str(hosts.root / "restorer" / "backup.yaml"))
    newest = app.points.all()[0]
    check = stored(app.repository, newest, ReadShare(cycle=0), app.clock, QuietProgress())
    assert not check.passed
    hosts.verbs("writer", key=REPOSITORY_KEY)("verify", "--read", "none").out.index("retires")


def test_both_objects_of_a_recipient_are_missed(hosts: Hosts) -> None:
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    run("key", "add", recipient(2), code=0)
    for path in (hosts.store / "keys").glob(f"{recipient_name(OWNER)}*"):
        path.unlink()
    assert OWNER in run("backup", "--force", code=3).out
    for words in (["verify"], ["doctor"], ["key", "list"]):
        ran = run(*words, code=1)
        assert f"keys/{recipient_name(OWNER)}.recipient is missing" in ran.out, words
    assert run("repair").out.count("makes it again") == 0
    run("key", "add", OWNER, code=0)
    run("verify", code=0)


def added_by_an_attacker(hosts: Hosts, state: str, more: str = "") -> Verbs:
    """An attacker adds itself after a host with an identity used the repository. The owner runs `key rewrap` there."""
    attack(hosts, retire=False)
    return hosts.verbs(state, identity=True, more=more)


def readable_for_the_attacker(hosts: Hosts) -> bool:
    """What was stored before it was added."""
    run = hosts.verbs("attacker", identity=True)
    (hosts.root / "attacker" / "identity").write_text(IDENTITIES[1])
    done = run("restore", "docs@latest", "--to", str(hosts.root / "stolen"))
    return done.code == 0


@shows("writer", "adds")
def test_key_rewrap_gives_nothing_to_a_recipient_that_is_not_in_the_plan(hosts: Hosts) -> None:
    run = added_by_an_attacker(hosts, "restorer", PINNED)
    done = run("key", "rewrap", "--json", code=3).document
    assert (done["packs"], done["to"]) == (1, [OWNER])
    assert f"{ATTACKER}, which repository.recipients of the plan does not" in done["recipients"][0]
    refused = run("key", "rewrap", ATTACKER, code=2).err
    assert "is not one of them" in refused
    assert not readable_for_the_attacker(hosts)


@shows("writer", "adds")
@pytest.mark.parametrize("used", [["points"], ["restore", "docs@latest", "--to", "out"], ["doctor"]])
def test_key_rewrap_gives_nothing_to_a_recipient_that_this_host_does_not_know(
    hosts: Hosts, used: list[str]
) -> None:
    """The recipients are remembered at the first use, whichever verb that is."""
    words = [str(hosts.root / word) if word == "out" else word for word in used]
    hosts.verbs("restorer", identity=True)(*words)
    run = added_by_an_attacker(hosts, "restorer")
    done = run("key", "rewrap", code=3).out
    assert f"1 pack can now be read by {OWNER}." in done
    assert f"names {ATTACKER}, which was not added on this host" in done
    assert f"key add {ATTACKER}" in done
    assert not readable_for_the_attacker(hosts)
    run("key", "add", ATTACKER, code=0)
    assert run("key", "rewrap", "--json", code=0).document["to"] == sorted([OWNER, ATTACKER])
    assert readable_for_the_attacker(hosts)


@shows("writer", "adds")
def test_key_rewrap_on_a_host_that_knows_no_recipients_is_refused_until_they_are_named(hosts: Hosts) -> None:
    run = added_by_an_attacker(hosts, "restorer")
    for _ in range(2):
        refused = run("key", "rewrap", code=12).err
        assert "error [recipients-changed]: This host does not know the recipients" in refused
        assert ATTACKER in refused
        assert "key rewrap age1… age1…`" in refused
    assert not (hosts.store / "keys" / "rewrap").exists()
    assert "is not a recipient" in run("key", "rewrap", "age1x", code=2).err
    assert "names no recipient" in run("key", "rewrap", recipient(2), code=2).err
    named = run("key", "rewrap", OWNER, "--json", code=3).document
    assert named["to"] == [OWNER]
    assert ATTACKER in named["recipients"][0]
    assert run("key", "rewrap", "--json", code=3).document["to"] == [OWNER]
    assert not readable_for_the_attacker(hosts)


def test_what_init_was_given_is_known_before_anything_else_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = Hosts(tmp_path, capsys)
    (tmp_path / "docs").mkdir()
    hosts.verbs("writer", key=REPOSITORY_KEY)("init", "--recipient", OWNER, code=0)
    attack(hosts, retire=False)
    assert ATTACKER in hosts.verbs("writer", key=REPOSITORY_KEY)("key", "list", code=1).out


def test_a_copy_is_not_given_recipients_that_nobody_expects_and_knows_those_of_the_first(
    hosts: Hosts,
) -> None:
    more = f"repositories:\n  main: {{path: {hosts.store}, key_file: key}}\n  offsite: {{path: {hosts.root}/copy}}\n"
    run = hosts.verbs("writer", key=REPOSITORY_KEY)
    plan = hosts.root / "writer" / "backup.yaml"
    text = plan.read_text()
    plan.write_text(
        more + text[text.index("state:") :].replace("every: day", "every: day, repositories: [main, offsite]")
    )
    run("init", "--repository", "offsite", code=0)
    run("copy", code=0)
    run("--repository", "offsite", "key", "list", code=0)
    run("key", "add", recipient(2), code=0)
    run("copy", code=0)
    run("--repository", "offsite", "key", "list", code=0)
    attack(hosts, retire=False)
    assert ATTACKER in run("copy", code=1).out
    assert ATTACKER not in run("--repository", "offsite", "key", "list", code=0).out


def test_a_plan_with_recipients_makes_an_encrypted_repository_and_takes_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = Hosts(tmp_path, capsys)
    (tmp_path / "docs").mkdir()
    run = hosts.verbs("writer", key=REPOSITORY_KEY, more=PINNED)
    assert "names other `recipients`" in run("init", "--recipient", ATTACKER, code=2).err
    run("init", code=0)
    assert OWNER in run("key", "list", code=0).out
    shutil.rmtree(hosts.store)
    shutil.rmtree(tmp_path / "writer" / "state")
    hosts.verbs("other")("init", code=0)
    assert "is not encrypted" in hosts.verbs("plain", more=PINNED)("points", code=12).err
