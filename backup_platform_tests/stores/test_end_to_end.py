"""From init to restore over HTTP, with plans as people write them; and how many requests that takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup_platform.app import App
from backup_platform.errors import StoreError
from backup_platform_tests.stores.conftest import FILES
from backup_platform_tests.stores.relays import counting
from backup_platform_tests.stores.servers import Server
from backup_platform_tests.support import recipient


def round_trip(make: Callable[[], App], tree: Path, target: Path) -> None:
    make().setup.init()
    assert make().backups.run("tree").created
    assert make().proofs.verify().passed
    assert make().proofs.drill("tree@latest").report.differences == ()
    app = make()
    app.restores.run(app.restores.plan("tree@latest", to=str(target)))
    assert {p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()} == {
        p.relative_to(tree): p.read_bytes() for p in tree.rglob("*") if p.is_file()
    }
    assert next(each for each in make().setup.doctor() if each.name == "store").ok


@pytest.mark.xdist_group("moto")
def test_everything_over_a_store_with_conditional_writes(
    moto: Server, make_app: Callable[..., App], tree: Path, tmp_path: Path
) -> None:
    url = moto.place()
    round_trip(lambda: make_app(moto.plan(url)), tree, tmp_path / "target")


@pytest.mark.xdist_group("rclone")
def test_everything_over_a_store_that_ignores_conditions(
    rclone: Server, make_app: Callable[..., App], tree: Path, tmp_path: Path
) -> None:
    url = rclone.place()
    with pytest.raises(StoreError, match=r"overwrites objects.*single_writer"):
        make_app(rclone.plan(url)).setup.init()
    round_trip(lambda: make_app({**rclone.plan(url), "single_writer": True}), tree, tmp_path / "target")


@pytest.mark.xdist_group("moto")
def test_an_unchanged_backup_takes_few_requests(
    moto: Server, make_app: Callable[..., App], tree: Path
) -> None:
    """Of 2,000 files, with ten recovery points before it. More points and indexes add none: copies are kept."""
    with counting(moto.endpoint) as counter:
        plan = {**moto.plan(moto.place()), "endpoint": counter.endpoint}
        make_app(plan).setup.init()
        for _ in range(10):
            make_app(plan).backups.run("tree")
        counter.requests.clear()
        point = make_app(plan).backups.run("tree").point
        assert point.stats.files == FILES + 1
        assert point.stats.new_bytes == 0
        assert len(counter.requests) < 20, counter.kinds()


@pytest.mark.xdist_group("moto")
def test_an_unchanged_backup_of_an_encrypted_repository_takes_few_requests_too(
    moto: Server, make_app: Callable[..., App], tmp_path: Path
) -> None:
    """However many recipients it has."""
    with counting(moto.endpoint) as counter:
        plan = {**moto.plan(moto.place()), "endpoint": counter.endpoint, "key_file": str(tmp_path / "key")}
        make_app(plan).setup.init(recipients=[recipient(number) for number in range(3)])
        for _ in range(2):
            make_app(plan).backups.run("tree")
        counter.requests.clear()
        assert make_app(plan).backups.run("tree").point.stats.new_bytes == 0
        assert len(counter.requests) < 20, counter.kinds()


@pytest.mark.xdist_group("moto")
def test_without_its_copies_a_backup_reads_again(
    moto: Server, make_app: Callable[..., App], tree: Path, tmp_path: Path
) -> None:
    import shutil

    plan = moto.plan(moto.place())
    make_app(plan).setup.init()
    make_app(plan).backups.run("tree")
    second = make_app(plan).backups.run("tree").point
    shutil.rmtree(tmp_path / "state" / "cache")
    third = make_app(plan).backups.run("tree").point
    assert (third.predecessor, third.stats.new_bytes) == (second.id, 0)
