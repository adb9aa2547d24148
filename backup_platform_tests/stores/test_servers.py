"""The contract of stores over HTTP, against servers that are programs of their own."""

from __future__ import annotations

import pytest

from backup_platform.domain.ports import Store
from backup_platform.stores.opening import open_store
from backup_platform_tests.contracts.store_contract import StoreContract
from backup_platform_tests.stores.servers import MOTO_PAGE, Server


@pytest.mark.xdist_group("moto")
class TestMoto(StoreContract):
    MANY = 3 * MOTO_PAGE + 10

    @pytest.fixture
    def store(self, moto: Server) -> Store:
        return open_store(moto.place(), moto.options()).store


@pytest.mark.xdist_group("seaweed")
class TestSeaweed(StoreContract):
    @pytest.fixture
    def store(self, seaweed: Server) -> Store:
        return open_store(seaweed.place(), seaweed.options()).store


@pytest.mark.xdist_group("gcs")
class TestGoogle(StoreContract):
    @pytest.fixture
    def store(self, gcs: Server) -> Store:
        return open_store(gcs.place(), gcs.options()).store


@pytest.mark.xdist_group("azurite")
class TestAzure(StoreContract):
    """Its pages have 5,000 keys, which are not filled here."""

    @pytest.fixture
    def store(self, azurite: Server) -> Store:
        return open_store(azurite.place(), azurite.options(region="")).store


@pytest.mark.xdist_group("rclone")
class TestRclone(StoreContract):
    """With one writer, as the plan has to say of it."""

    @pytest.fixture
    def store(self, rclone: Server) -> Store:
        return open_store(rclone.place(), rclone.options(single_writer=True)).store

    @pytest.mark.parametrize("creators", [1])
    def test_of_many_creations_at_once_one_succeeds(self, store: Store, creators: int) -> None:  # type: ignore[override]
        """This is what such a store cannot do, and what `single_writer` promises not to need."""
        assert creators == 1
