"""The benchmark runs to its end and checks what it measures."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import files, postgres, report, state, stores, workload
from benchmarks.counting import Requests
from benchmarks.measure import BenchmarkError, Command, measure


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number in range(30):
        folder = root / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}").write_bytes(bytes([number]) * 1_000)
    (root / "link").symlink_to("0/file0")
    return root


def test_it_measures_every_step(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "STARTS", 1)
    monkeypatch.setattr(files, "SETTLE_S", 0.1)
    result = tmp_path / "result.json"
    options = ["--tools", "encrypted", "--tree", str(tree), "--rounds", "1", "--big-size", "2"]
    monkeypatch.setattr(sys, "argv", ["files", *options, "--scratch", str(tmp_path), "--json", str(result)])
    files.main()
    sections = json.loads(result.read_text())["values"]
    assert {"first backup", "unchanged", "full restore"} <= set(sections["wall time"])
    assert sections["size"]["repository"]["backup-platform, encrypted"][0] > 0
    assert "| first backup " in capsys.readouterr().out
    assert not list(tmp_path.glob("backup-bench-*"))


@pytest.mark.soak
def test_it_measures_stores(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the requests of both kinds of clients: those that write, and those that read."""
    options = ["--tree", str(tree), "--rounds", "1", "--scratch", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["stores", *options])
    stores.main()
    printed = capsys.readouterr().out
    assert "| wall time " in printed
    counted = printed.split("| requests ")[1]
    requests = {row.split("|")[1].strip(): int(row.split("|")[2]) for row in counted.splitlines()[2:5]}
    assert 0 < requests["unchanged"] < 40
    assert requests["first backup"] > 10
    assert requests["full restore"] > 0


BODIES = st.sampled_from([b"", b"x", b"PUT /fake HTTP/1.1\r\n\r\n", b"\r\n\r\n" * 3])


@given(st.lists(st.tuples(st.sampled_from(["GET", "PUT", "HEAD"]), BODIES)), st.lists(st.integers(1, 60)))
def test_requests_are_counted_however_they_are_cut(sent: list[tuple[str, bytes]], cuts: list[int]) -> None:
    data = b"".join(
        b"%s /a HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n%s" % (verb.encode(), len(body), body)
        for verb, body in sent
    )
    requests, start = Requests(), 0
    for cut in [*cuts, len(data)]:
        requests.see(data[start : start + cut])
        start += cut
    assert requests.counts == Counter(verb for verb, _ in sent)


@pytest.mark.soak
def test_it_measures_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    options = ["--peers", "ours,gzip", "--purchases", "900", "--scratch", "/var/tmp", "--json", str(result)]
    monkeypatch.setattr(sys, "argv", ["postgres", *options])
    postgres.main()
    sections = json.loads(result.read_text())["values"]
    assert set(sections["wall time"]) == {
        "first backup",
        "restore",
        "backup after 1 % of rows updated",
        "backup after 1 % appended",
    }
    assert sections["size"]["stored"]["backup-platform"][0] > 0
    assert "| first backup " in capsys.readouterr().out


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    command = Command((sys.executable, "-c", "import sys; print('reason'); sys.exit(3)"))
    with pytest.raises(BenchmarkError, match="ended with 3:\nreason"):
        measure(command, tmp_path / "log")


def test_a_cost_is_that_of_the_command(tmp_path: Path) -> None:
    code = "import time; x = bytearray(300_000_000); time.sleep(0.2)"
    cost = measure(Command((sys.executable, "-c", code)), tmp_path / "log")
    assert cost.wall_s >= 0.2
    assert cost.peak > 300_000_000


def test_a_changed_tree_is_the_same_for_the_same_seed(tree: Path, tmp_path: Path) -> None:
    copies = [tmp_path / "one", tmp_path / "two"]
    for copy in copies:
        workload.copy_tree(tree, copy)
        assert workload.census(copy) == workload.census(tree)
        assert workload.change_some(copy, seed=7) == 1
    contents = [
        {name: (copy / name).read_bytes() for name in workload.regular_files(copy)} for copy in copies
    ]
    original = {name: (tree / name).read_bytes() for name in workload.regular_files(tree)}
    assert contents[0] == contents[1]
    assert sum(contents[0][name] != original[name] for name in original) == 1


def test_the_big_file_has_its_size_and_its_edits_are_small(tmp_path: Path) -> None:
    big = tmp_path / "big" / "file"
    workload.make_big_file(big, 4 * workload.BLOCK, seed=1)
    before = big.read_bytes()
    workload.edit_big_file(big, seed=2)
    after = big.read_bytes()
    assert len(before) == len(after) == 4 * workload.BLOCK
    edited = sum(a != b for a, b in zip(before, after, strict=True))
    assert 0 < edited <= workload.EDITS * workload.EDIT_BYTES


def test_the_table_shows_medians_and_ratios_to_the_first_program() -> None:
    figures = report.Figures()
    for ours, theirs in ((1.0, 4.0), (9.0, 4.0), (2.0, 4.0)):
        figures.add(report.TIME, "first backup", "ours", ours)
        figures.add(report.TIME, "first backup", "other", theirs)
    row = report.tables(figures, ["ours", "other"]).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "first backup",
        "2.00 s",
        "4.00 s",
        "0.50",
    ]


def test_what_is_left_of_a_link_is_not_counted_as_a_file(tree: Path) -> None:
    assert workload.census(tree) == workload.Census(entries=34, files=30, size=30_000)
    os.unlink(tree / "link")
    assert workload.census(tree).entries == 33


def test_the_state_of_a_long_past_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(state, "ROUNDS", 1)
    monkeypatch.setattr(state, "FIVE_YEARS", 1_500 * state.DAY)
    monkeypatch.setattr(state, "COMMANDS", {"status": state.COMMANDS["status"]})
    monkeypatch.setattr(sys, "argv", ["state", "--sources", "2", "--scratch", str(tmp_path)])
    state.main()
    told = capsys.readouterr().out
    assert "2 sources, 36,000 windows each, 282 manifests and proofs" in told
    assert "| status | " in told
