"""Metrics in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One value of a metric, with its labels."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class GaugeFamily:
    """A gauge with all its samples. `help` is one sentence."""

    name: str
    help: str
    samples: Sequence[MetricSample]


def exposed(families: Iterable[GaugeFamily]) -> bytes:
    """The families as a page. One without samples is left out."""
    lines = (line for family in families if family.samples for line in _lines(family))
    return "".join(f"{line}\n" for line in lines).encode()


def _lines(family: GaugeFamily) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} gauge"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in sample.labels.items())
        yield f"{family.name}{{{labels}}} {sample.value!r}"


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', '\\"')


def _escaped(text: str) -> str:
    """Bytes that are not UTF-8 are shown as `\\udc80`: the format has UTF-8 only, and three escapes."""
    valid = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return valid.replace("\\", "\\\\").replace("\n", "\\n")
