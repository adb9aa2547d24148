"""The policies of docs/stores.md, enforced by a server: each role can do its work, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.prune.run import PruneSummary
from backup_platform.actions.repair.run import Repair
from backup_platform.app import App
from backup_platform.clock import SILENT
from backup_platform.domain.ports import Store
from backup_platform.errors import ConflictError, KeyMissingError, StoreRefusedError
from backup_platform.repository.replicas import init_replica
from backup_platform.stores.limits import WriteOnlyStore
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform_tests.stores import servers
from backup_platform_tests.support import IDENTITIES, content_of, recipient, small_bench

DOCS = Path(__file__).parents[2] / "docs" / "stores.md"
BUCKET, PREFIX, SEALED = "vault", "some/place", "sealed"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
FREE_CALLS = 3  # those that make the first user: moto lets them pass, and checks every one after them


def documented(role: str, prefix: str = PREFIX) -> str:
    found = re.search(rf"```json policy={role}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found, role
    return found[1].replace("BUCKET", BUCKET).replace("PREFIX", prefix)


@dataclass
class Account:
    """An account of a server that enforces policies."""

    endpoint: str
    admin: dict[str, str]

    def user(self, name: str, policy: str) -> dict[str, str]:
        """Credentials of a new user who may do what a policy says."""
        iam = servers.client("iam", self.endpoint, self.admin)
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}

    def store(self, keys: dict[str, str], prefix: str = PREFIX) -> Store:
        options = StoreOptions(endpoint=self.endpoint, region="us-east-1", allow_http=True, credentials=keys)
        return open_store(f"s3://{BUCKET}/{prefix}", options).store


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    port, folder = servers.free_port(), tmp_path_factory.mktemp("iam")
    command = [sys.executable, "-c", servers.MOTO, "-H", "127.0.0.1", "-p", str(port)]
    enforced = {"INITIAL_NO_AUTH_ACTION_COUNT": str(FREE_CALLS)}
    with servers.running(command, port, folder / "moto.log", **enforced):
        account = Account(f"http://127.0.0.1:{port}", servers.KEYS)
        account.admin = account.user("admin", json.dumps(EVERYTHING))
        servers.s3_client(account.endpoint, account.admin).create_bucket(Bucket=BUCKET)
        yield account


@pytest.fixture(scope="module")
def roles(account: Account) -> dict[str, dict[str, str]]:
    names = ("writer", "verifier", "restorer", "pruner")
    sealed = {
        f"{SEALED} {name}": account.user(f"{SEALED}-{name}", documented(name, SEALED))
        for name in ("writer", "restorer")
    }
    return {
        **{name: account.user(name, documented(name)) for name in names},
        **sealed,
        "admin": account.admin,
    }


@pytest.fixture
def app_of(
    account: Account,
    roles: dict[str, dict[str, str]],
    make_app: Callable[..., App],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., App]:
    """An app with the credentials of a role, over the repository that a test makes."""

    def make(role: str, **more: object) -> App:
        for name, value in roles[role].items():
            monkeypatch.setenv(f"TEST_{name.upper()}", value)
        prefix = SEALED if role.startswith(SEALED) else PREFIX
        plan: dict[str, Any] = servers.Server(account.endpoint, lambda: "").plan(f"s3://{BUCKET}/{prefix}")
        return make_app({**plan, "write_only": role.endswith("writer"), **more})

    return make


@pytest.mark.xdist_group("policies")
def test_every_role_does_its_work_and_no_other(
    app_of: Callable[..., App],
    account: Account,
    roles: dict[str, dict[str, str]],
    tree: Path,
    tmp_path: Path,
) -> None:
    admin = account.store(account.admin)
    for found in admin.list(""):  # the repository of another test
        admin.delete(found.key)
    with pytest.raises(StoreRefusedError, match="s3:PutObject"):
        app_of("restorer").setup.init()
    app_of("writer").setup.init()
    assert app_of("writer").backups.run("tree").created
    time.sleep(1)  # moto's clock counts seconds, and what was stored in the current one is not abandoned yet
    (tree / "new").write_bytes(b"new")
    assert app_of("writer").backups.run("tree").point.stats.new_bytes == 3
    for role in ("verifier", "restorer", "pruner"):
        app = app_of(role)
        target = tmp_path / role
        app.restores.run(app.restores.plan("tree@latest", to=str(target)))
        assert (target / "new").read_bytes() == b"new"
    assert app_of("verifier").proofs.verify().passed
    app = app_of("writer")
    with pytest.raises(StoreRefusedError, match=r"s3:GetObject on packs/\*"):
        app.restores.run(app.restores.plan("tree@latest", to=str(tmp_path / "writer")))
    for role in ("verifier", "restorer"):
        (tree / role).write_bytes(role.encode())
        with pytest.raises(StoreRefusedError, match="s3:PutObject"):
            app_of(role).backups.run("tree")
    verified = app_of("restorer").proofs.verify()
    assert verified.passed
    assert "s3:PutObject on ledger/*" in str(verified.unrecorded.error)
    forgets_as_pruner_only(app_of)
    prunes_as_pruner_only(app_of)


def forgets_as_pruner_only(app_of: Callable[..., App]) -> None:
    """Of the two points of a window; who may only read sees what would be forgotten."""
    forgetting = app_of("restorer", keep={"last": 1}).maintenance.retention
    plan = forgetting.plan_forget()
    assert len(plan.forget) == 1
    for role in ("restorer", "writer"):
        retention = app_of(role, keep={"last": 1}).maintenance.retention
        with suppress(StoreRefusedError):
            assert retention.run_forget(plan).refused
    assert len(app_of("pruner", keep={"last": 1}).maintenance.retention.run_forget(plan).forgotten) == 1


def prunes_as_pruner_only(app_of: Callable[..., App]) -> None:
    """What only the forgotten point needed; who may only read sees what would be deleted."""
    plan = app_of("restorer").maintenance.pruning("0").plan()
    assert plan.condemn
    with pytest.raises(StoreRefusedError):
        app_of("restorer").maintenance.pruning("0").run(plan, SILENT)
    deleted = [prune(app_of("pruner"))]  # marks
    by_writer = prune(app_of("writer"))
    assert (by_writer.packs_deleted, by_writer.freed_bytes) == (0, 0)
    assert by_writer.refused
    deleted.append(prune(app_of("pruner")))
    assert [each.packs_deleted for each in deleted] == [0, len(plan.condemn)]
    assert app_of("verifier").proofs.verify().passed


def prune(app: App) -> PruneSummary:
    pruning = app.maintenance.pruning("0")
    return pruning.run(pruning.plan(), SILENT)


@pytest.mark.xdist_group("policies")
def test_copies_are_made_with_the_rights_of_a_writer(account: Account, tmp_path: Path) -> None:
    bench = small_bench(tmp_path)
    keys = account.user("copier", documented("writer", "copies"))
    store = WriteOnlyStore(account.store(keys, "copies"))
    init_replica(bench.open(), store)
    for number in range(2):
        bench.source.write(b"new", b"%d" % number)
        bench.backup()
        copying = Copying(bench.open(), bench.open(store), bench.clock)
        result = copying.run(copying.plan(bench.open().points.all()))
        assert (result.passed, len(result.copied)) == (True, 1)
    copy = bench.open(account.store(account.admin, "copies"))
    for point in copy.points.all():
        assert content_of(copy, point) == bench.content(point)


@pytest.mark.xdist_group("policies")
def test_a_repair_only_reads_copies_and_deletes_nothing_but_marks(account: Account, tmp_path: Path) -> None:
    """Packs and a manifest are gone, others are damaged in the bucket."""
    bench = small_bench(tmp_path)
    points = [bench.backup(), bench.backup()]
    for place in ("mended", "donor"):
        store = account.store(account.admin, place)
        for key in sorted(bench.keys()):
            store.create(key, (bench.root / key).read_bytes())
    broken = account.store(account.admin, "mended")
    for key in bench.keys("packs/"):
        broken.replace(key, b"damaged")
        bench.open(broken).marks.mark(key, "for a test")
    for key in [*bench.keys("meta/"), min(bench.keys("manifests/"))]:
        broken.delete(key)
    mender = json.loads(documented("verifier", "mended"))
    mender["Statement"].append(
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/mended/*"}
    )
    here = bench.open(account.store(account.user("mender", json.dumps(mender)), "mended"))
    donor = bench.open(account.store(account.user("donor", documented("restorer", "donor")), "donor"))
    repair = Repair(here, {"donor": donor}, bench.clock)
    assert repair.run(repair.plan()).sound
    for point in points:
        assert content_of(here, point) == bench.content(point)


@pytest.mark.xdist_group("policies")
def test_only_the_pruner_deletes(account: Account, roles: dict[str, dict[str, str]]) -> None:
    key = "packs/ab/" + "ab" * 32
    account.store(roles["writer"]).create(key, b"1")
    for role in ("writer", "verifier", "restorer"):
        with pytest.raises(StoreRefusedError, match=r"s3:DeleteObject on packs/\*") as caught:
            account.store(roles[role]).delete(key)
        assert not caught.value.retryable
    account.store(roles["pruner"]).delete(key)
    account.store(roles["verifier"]).delete("ledger/damaged/packs/none")


@pytest.mark.xdist_group("policies")
def test_an_interrupted_write_only_backup_is_repeated(
    app_of: Callable[..., App], account: Account, roles: dict[str, dict[str, str]], tree: Path, tmp_path: Path
) -> None:
    """Its packs are there without an index, and may not be read. It committed nothing that its host could remember."""
    with suppress(ConflictError):  # the repository of another test
        app_of("writer").setup.init()
    (tree / "more").write_bytes(b"more")
    app_of("writer").backups.run("tree")
    admin = account.store(account.admin)
    for prefix in ("indexes/", "manifests/", "ledger/proofs/"):
        for found in admin.list(prefix):
            admin.delete(found.key)
    shutil.rmtree(tmp_path / "state")
    assert app_of("writer").backups.run("tree").created
    assert app_of("verifier").proofs.verify().passed


@pytest.mark.xdist_group("policies")
def test_a_host_that_can_neither_read_nor_delete_nor_decrypt_backs_up(
    app_of: Callable[..., App],
    account: Account,
    roles: dict[str, dict[str, str]],
    tree: Path,
    tmp_path: Path,
) -> None:
    """Who takes it over has the repository key, and the store's credentials of a writer: no past content."""
    host = {"key_file": str(tmp_path / "repository.key")}
    app_of(f"{SEALED} writer", **host).setup.init(recipients=[recipient()])
    assert app_of(f"{SEALED} writer", **host).backups.run("tree").created
    (tree / "new").write_bytes(b"new")
    point = app_of(f"{SEALED} writer", **host).backups.run("tree").point
    assert point.stats.new_bytes == 3
    thief = app_of(f"{SEALED} writer", **host)
    with pytest.raises(KeyMissingError):
        thief.restores.run(thief.restores.plan("tree@latest", to=str(tmp_path / "stolen")))
    store = account.store(roles[f"{SEALED} writer"], SEALED)
    pack = next(iter(store.list("packs/"))).key
    for use in (store.get, store.delete):
        with pytest.raises(StoreRefusedError):
            use(pack)
    identity = tmp_path / "identity.txt"
    identity.touch(mode=0o600)
    identity.write_text(IDENTITIES[0])
    app = app_of(f"{SEALED} restorer", identity_file=str(identity), **host)
    app.restores.run(app.restores.plan("tree@latest", to=str(tmp_path / "back")))
    assert (tmp_path / "back" / "new").read_bytes() == b"new"
