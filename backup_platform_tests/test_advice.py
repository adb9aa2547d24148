"""Advice is data: what to do is known without reading a sentence, and can be pasted."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from backup_platform.advice import advice, command, joined, mapped, shell, typed, written


def test_a_hint_is_pieces_of_text_and_commands() -> None:
    assert advice("") == advice(()) == ()
    assert advice("Mount it.") == ("Mount it.",)
    assert advice(("Run ", command("verify"), "", ".")) == ("Run ", command("verify"), ".")


def test_hints_are_joined_with_a_blank() -> None:
    both = joined("", "Mount it.", ("Or run ", command("init"), "."), ())
    assert written(both) == "Mount it. Or run `backup-platform init`."


def test_a_command_is_for_a_plan_and_a_repository() -> None:
    verify, named = command("verify"), command("copy", "--to", "c", repository="b")
    assert verify.arguments() == ("backup-platform", "verify")
    whole = ("backup-platform", "--plan", "a b.yaml", "--repository", "main", "verify")
    assert verify.arguments("a b.yaml", "main") == whole
    assert written(verify, "a b.yaml") == "`backup-platform --plan 'a b.yaml' verify`"
    assert named.arguments(None, "main")[1:3] == ("--repository", "b")
    assert shell("chmod", "600", "/a b").arguments("plan", "main") == ("chmod", "600", "/a b")


def test_what_the_reader_replaces_is_not_quoted() -> None:
    assert typed(["key", "add", "age1…"]) == "key add age1…"


@given(st.lists(st.text("a …'\"`$;\n\\*", max_size=6), min_size=1))
def test_a_typed_command_is_read_back_by_a_shell(words: list[str]) -> None:
    assert shlex.split(typed(words)) == words


def test_texts_and_words_are_changed_alike() -> None:
    loud = mapped(advice(("Run ", command("verify", "x", repository="b"), ".")), str.upper)
    assert loud == ("RUN ", command("VERIFY", "X", repository="b"), ".")
