"""What the platform knows of a kind of source. Everything that lists, words or builds sources reads it from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from backup_platform.domain.checks import KindCheck
from backup_platform.domain.coverage import Neighbour, Surroundings
from backup_platform.domain.ports import Clock, Source
from backup_platform.errors import PlanError

if TYPE_CHECKING:
    from backup_platform.kinds.config import KindConfig

Purpose: TypeAlias = Literal["capture", "drill", "restore"]


ConfigT = TypeVar("ConfigT", bound="KindConfig")
LookT = TypeVar("LookT", bound="KindConfig")


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
        """The location of the source, with its references looked up. A host that only drills or restores need not have
        these secrets: it gets the text as it is in the plan."""
        try:
            return self.path(value)
        except PlanError:
            if self.purpose == "capture":
                raise
            return value


@dataclass(frozen=True, slots=True)
class ServerRestore:
    """`restore POINT --into URL`. `url` is an example, in which `{source}` stands for the source's name. `options` are
    the fields of `DatabaseTarget` that the kind uses."""

    url: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source of the plan, for whoever looks what is in none. `path` is the directory or file of this host that it
    protects, "" for other sources and where its references cannot be looked up."""

    name: str
    kind: str
    config: KindConfig
    path: str


@dataclass(frozen=True, slots=True)
class LookContext:
    """What a place is looked at with besides its own part of the plan; `secret`, `path` and `repositories` as in
    `SourceContext`. `sources` are all sources of the plan."""

    secret: Callable[[str], str]
    path: Callable[[str], str]
    repositories: Callable[[], tuple[str, ...]]
    sources: Sequence[PlannedSource]

    def of_kind(self, kind: str) -> list[PlannedSource]:
        return [each for each in self.sources if each.kind == kind]


@dataclass(frozen=True, slots=True, eq=False)
class KindSurvey(Generic[ConfigT, LookT]):
    """How a kind finds what no source protects: the databases of a server, the directories of a directory.

    `config` are the keys of a place in the plan's `coverage`: the required one has the kind's name. `look` lists what
    is there, with the sources that protect each, and reads no contents. It raises SourceError where it cannot look.
    `beside` is the place in which a source is.
    """

    config: type[LookT]
    look: Callable[[LookT, LookContext], Surroundings]
    beside: Callable[[ConfigT], LookT]


@dataclass(frozen=True, slots=True, eq=False)
class SourceKind(Generic[ConfigT]):
    """A kind of source. Its module is imported when a plan names it, so it must import nothing heavy.

    `name` is the key of the plan that says what is protected, `title` what people call it. `build` makes the source
    and touches nothing but the secrets that the purpose needs.

    What it can do: `tree`, its entries are files of the source's own, so their paths, modes and times mean something;
    `rows`, its facts count the rows of tables; `tables`, it stores a catalogue and Parquet, so tables can be queried;
    `server`, its points are restored into a server. `local`: what it protects is a path of this host. `survey` finds
    what is beside its sources, and `left_out` what a source itself does not store; both are for the plan's `coverage`.

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
    survey: KindSurvey[ConfigT, Any] | None = None
    left_out: Callable[[ConfigT, SourceContext], Sequence[Neighbour]] | None = None
    checks: tuple[KindCheck, ...] = ()
    unit: str = "file"
    sizes: str = "source"
    modules: Mapping[str, str] = field(default_factory=dict)


AnyKind: TypeAlias = SourceKind[Any]
