"""The models of a plan. Unknown keys are refused; values are checked by the types of `values`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from backup_platform.errors import NotFoundError, PlanError
from backup_platform.kinds.config import STRICT
from backup_platform.plan.alerting import AlertingConfig
from backup_platform.plan.coverage import Places, coverage_conflicts
from backup_platform.plan.document import Document, PlanFile
from backup_platform.plan.references import problem_of, references, resolve
from backup_platform.plan.repository import FIRST_REPOSITORY, Repositories, RepositoryConfig
from backup_platform.plan.source import CONFLICT, AnySource, default_objective_conflicts
from backup_platform.plan.values import (
    Alert,
    Day,
    LocalPath,
    SourceName,
    Span,
    StorePlace,
    absolute,
    is_url,
    same_place,
    store_place,
)

MISSING_REPOSITORY = (
    "the key `repository` is missing: write where recovery points go, as in "
    "`repository: {path: /var/backups/main}`"
)


class Plan(BaseModel):
    """A whole plan. Relative paths are absolute after `load`, from the plan file's directory.

    The first of its `repositories` is the one that is written to; the others hold copies.
    """

    model_config = {**STRICT, "serialize_by_alias": True}
    single: RepositoryConfig | None = Field(default=None, alias="repository")
    several: Annotated[Repositories, Field(min_length=1)] | None = Field(default=None, alias="repositories")
    sources: Annotated[dict[SourceName, AnySource], Field(min_length=1)]
    coverage: Places = {}
    rpo: Span | None = None
    rto: Span | None = None
    alerts: list[Alert] = []
    alerting: AlertingConfig = AlertingConfig()
    since: Day | None = None
    state: LocalPath | None = None
    _base: str = PrivateAttr(default="")
    _origin: PlanFile = PrivateAttr(default=PlanFile("", Document()))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = {name: source.repositories for name, source in self.sources.items() if source.repositories}
        named = (
            None if self.several is None else {n: store_place(dict(each)) for n, each in self.several.items()}
        )
        kinds = {name: source.kind for name, source in self.sources.items()}
        found = [
            *repository_conflicts(named, given, single=self.single is not None, base=self.base),
            *coverage_conflicts(self.coverage, kinds),
            *default_objective_conflicts(self.rpo, {name: dict(each) for name, each in self.sources.items()}),
        ]
        if found:
            raise PydanticCustomError(CONFLICT, "{text}", {"text": "; ".join(text for _, text in found)})
        return self

    def model_post_init(self, context: Any) -> None:
        self._base = (context or {}).get("base", "")
        self._origin = (context or {}).get("origin") or self._origin

    @classmethod
    def load(cls, path: str) -> Plan:
        """The plan in a YAML file. Raises PlanError with one line `file:line: message` per mistake."""
        from backup_platform.plan.loading import load_plan

        return load_plan(path)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], *, base: str, origin: PlanFile | None = None) -> Plan:
        """The plan in plain data, relative paths from `base`. Raises pydantic's ValidationError."""
        return cls.model_validate(dict(data), context={"base": os.path.abspath(base), "origin": origin})

    @property
    def repositories(self) -> dict[str, RepositoryConfig]:
        """By name; the first is written to, the others hold copies of it."""
        if self.several is not None:
            return self.several
        assert self.single is not None
        return {FIRST_REPOSITORY: self.single}

    @property
    def repository(self) -> RepositoryConfig:
        """The one that is written to."""
        return next(iter(self.repositories.values()))

    def key_of(self, repository: RepositoryConfig) -> str:
        """The key of a repository in the plan: `repository`, or `repositories.<name>`."""
        named = (self.several or {}).items()
        return next((f"repositories.{name}" for name, each in named if each is repository), "repository")

    def twin(self, repository: RepositoryConfig) -> str | None:
        """The name of another repository in the same place, now that references lead to their values."""
        place = self._resolved_place(repository)
        others = (name for name, each in self.repositories.items() if each is not repository)
        return next((name for name in others if self._same(self.repositories[name], place)), None)

    def _same(self, repository: RepositoryConfig, place: StorePlace) -> bool:
        try:
            return self._resolved_place(repository) == place
        except PlanError:  # its secrets are not on this host, which this repository's are
            return False

    def _resolved_place(self, repository: RepositoryConfig) -> StorePlace:
        path, endpoint, account = store_place(dict(repository))
        return same_place(self.path(path), self.base), endpoint, account

    def known_repository(self, name: str | None) -> str:
        """The name of a repository; None: of the first. Raises NotFoundError."""
        known = list(self.repositories)
        if name is not None and name not in known:
            raise NotFoundError(
                f"The plan has no repository {name!r}.", hint=f"Its repositories are: {', '.join(known)}."
            )
        return known[0] if name is None else name

    def copies_of(self, source: str) -> list[str]:
        """The names of the repositories that a source's points are copied to."""
        return list((self.sources[source].repositories or [])[1:])

    @property
    def base(self) -> str:
        """The directory that relative paths and `${file:...}` start from."""
        return self._base or os.getcwd()

    def secret(self, value: str) -> str:
        """`value` with its references looked up now; never log it. Raises PlanError for a missing one, with the lines
        that it is in."""
        if missing := problem_of(value, self.base):
            reference, error = missing
            error.message = f"{self._origin.of_text(reference)}{error.message}"
            raise error
        return resolve(value, self.base)

    def place(self, *path: str | int) -> str:
        """Where a key of this plan is, as errors name it: `backup.yaml:7: sources.shop.every`."""
        return self._origin.of_key(path)

    def path(self, value: str) -> str:
        """A path of this plan, references looked up, absolute. URLs stay as they are. Raises PlanError."""
        known = self.secret(value)
        return known if is_url(known) else absolute(known, self.base)

    def references(self) -> list[str]:
        """Every `${...}` in the plan, sorted."""
        return sorted(set(references(self.model_dump())))

    def unresolved(self) -> list[PlanError]:
        """Why references of this plan cannot be looked up, one error each; empty when all can."""
        problems = []
        for reference in self.references():
            try:
                self.secret(reference)
            except PlanError as error:
                problems.append(error)
        return problems


def repository_conflicts(
    named: Mapping[str, StorePlace] | None,
    sources: Mapping[str, Sequence[object]],
    *,
    single: bool,
    base: str,
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What does not fit together in the repositories of a plan, as (path, message). `named` are those of
    `repositories`, relative paths from `base`, `sources` the names that sources give."""
    if named is None and not single:
        yield (), MISSING_REPOSITORY
        return
    if named is not None and single:
        yield ("repositories",), "has both `repository` and `repositories`: give one of them"
    yield from _shared_places(named or {}, base)
    known = list(named or [FIRST_REPOSITORY])
    for source, names in sources.items():
        path = ("sources", source, "repositories")
        strange = [name for name in names if name not in known]
        if strange:
            yield path, f'there is no repository "{strange[0]}"; there are {", ".join(known)}'
        elif names and names[0] != known[0]:
            yield path, f'must start with "{known[0]}": backups go to the first repository of the plan'
        elif len(set(map(str, names))) < len(names):
            yield path, "names a repository twice"


def _shared_places(named: Mapping[str, StorePlace], base: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """A repository that is its own copy would count as a second place of every point."""
    first: dict[StorePlace, str] = {}
    for name, (path, endpoint, account) in named.items():
        place = same_place(path, base), endpoint, account
        if path and (other := first.setdefault(place, name)) != name:
            yield (
                ("repositories", name, "path"),
                f"the same place as that of repositories.{other}: a copy needs a place of its own",
            )
