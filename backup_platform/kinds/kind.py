"""What the platform knows of a kind of source. Everything that lists, words or builds sources reads it from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from backup_platform.domain.checks import KindCheck
from backup_platform.domain.ports import Clock, Source
from backup_platform.errors import PlanError

if TYPE_CHECKING:
    from backup_platform.kinds.config import KindConfig

Purpose: TypeAlias = Literal["capture", "drill", "restore"]


ConfigT = TypeVar("ConfigT", bound="KindConfig")


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is built with besides its own part of the plan.

    `secret` looks up the references of a value, `path` also makes it an absolute path; both raise PlanError.
    `repositories` gives the directories of this host that hold repositories of the plan.
    """

    name: str
    purpose: Purpose
    clock: Clock
    secret: Callable[[str], str]
    path: Callable[[str], str]
    repositories: Callable[[], tuple[str, ...]]

    def located(self, value: str) -> str:
        """Where the original is. A host that only drills or restores need not have the secrets that lead there: it
        gets the value as the plan has it."""
        try:
            return self.path(value)
        except PlanError:
            if self.purpose == "capture":
                raise
            return value


@dataclass(frozen=True, slots=True)
class ServerRestore:
    """`restore POINT --into URL`. `url` is an example in which `{source}` stands for the source's name, `options` are
    the fields of `DatabaseTarget` that the kind heeds."""

    url: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SourceKind(Generic[ConfigT]):
    """A kind of source. Its module is imported when a plan names it, so it must import nothing heavy.

    `name` is the key of the plan that says what is protected, `title` what people call it. `build` makes the source
    and touches nothing but the secrets that the purpose needs.

    What it can do: `tree`, its entries are files of the source's own, so their paths, modes and times mean something;
    `rows`, its facts count the rows of tables; `tables`, it stores a catalogue and Parquet, so tables can be queried;
    `server`, its points are restored into a server. `local`: what it protects is a path of this host.

    Words: `unit` is one of what it reads, `sizes` says what the bytes of a point are. `modules` are those that an
    optional requirement brings, with what to install for each.
    """

    name: str
    title: str
    config: type[ConfigT]
    build: Callable[[ConfigT, SourceContext], Source]
    local: bool = False
    tree: bool = False
    rows: bool = False
    tables: bool = False
    server: ServerRestore | None = None
    checks: tuple[KindCheck, ...] = ()
    unit: str = "file"
    sizes: str = "source"
    modules: Mapping[str, str] = field(default_factory=dict)


AnyKind: TypeAlias = SourceKind[Any]
