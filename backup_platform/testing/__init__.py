"""What distributions test their kinds of sources with. Needs pytest; nothing else of the package imports this.

from backup_platform.testing import SourceContract, Subject

class TestNotes(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject: ...
"""

import pytest

pytest.register_assert_rewrite("backup_platform.testing.source_contract")

from backup_platform.testing.source_contract import (  # noqa: E402  its asserts are to explain themselves
    Protected,
    SourceContract,
    Subject,
)

__all__ = ["Protected", "SourceContract", "Subject"]
