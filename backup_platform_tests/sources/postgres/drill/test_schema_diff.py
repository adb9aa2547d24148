"""Two dumps are compared object by object: what differs is named, what PostgreSQL does not preserve is not."""

from __future__ import annotations

from backup_platform.sources.postgres.drill.schema_diff import (
    Schema,
    differences,
    parse,
    unlike,
    without_roles,
)

DUMP = r"""--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 15.1
-- Dumped by pg_dump version 15.1

SET statement_timeout = 0;

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: joe
--

CREATE FUNCTION public.f() RETURNS integer
    AS $$
SET default_tablespace = 'inside';
SELECT 1 $$;


ALTER FUNCTION public.f() OWNER TO joe;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: t; Type: TABLE; Schema: public; Owner: joe
--

CREATE TABLE public.t (
    a integer NOT NULL
);


--
-- Name: v; Type: VIEW; Schema: public; Owner: joe
--

CREATE VIEW public.v AS
 SELECT t.a
   FROM public.t;


SET default_tablespace = fast;

--
-- Name: i; Type: INDEX; Schema: public; Owner: joe; Tablespace: fast
--

CREATE INDEX i ON public.t USING btree (a);


--
-- Name: TABLE t; Type: ACL; Schema: public; Owner: joe
--

REVOKE ALL ON TABLE public.t FROM joe;


--
-- PostgreSQL database dump complete
--

\unrestrict abc
"""


def schema(dump: str) -> Schema:
    return parse(dump.splitlines())


def found(after: str, before: str = DUMP, expected: str = "") -> list[str]:
    return list(differences(schema(before), schema(after), schema(expected)))


def test_a_dump_equals_itself_whatever_made_it() -> None:
    assert found(DUMP.replace("15.1", "18.6").replace("abc", "xyz")) == []


def test_the_order_of_objects_does_not_matter() -> None:
    first, second = DUMP.index("--\n-- Name: t;"), DUMP.index("--\n-- Name: v;")
    third = DUMP.index("SET default_tablespace = fast")
    assert found(DUMP[:first] + DUMP[second:third] + DUMP[first:second] + DUMP[third:]) == []


def test_what_differs_is_named_with_its_first_line() -> None:
    assert found(DUMP.replace("a integer NOT NULL", "a bigint NOT NULL")) == [
        "schema: TABLE public.t differs: 'a integer NOT NULL' stored, 'a bigint NOT NULL' restored."
    ]


def test_options_that_may_hold_a_secret_are_not_shown() -> None:
    mapping = """--
-- Name: USER MAPPING joe SERVER far; Type: USER MAPPING; Schema: -; Owner: joe
--

CREATE USER MAPPING FOR joe SERVER far OPTIONS (
    password 's3cret'
);
"""
    (said,) = found(mapping.replace("s3cret", "hidden"), mapping)
    assert said.startswith(
        "schema: USER MAPPING USER MAPPING joe SERVER far differs. Its options may hold a secret"
    )
    assert "s3cret" not in said
    assert "hidden" not in said


def test_a_missing_and_a_new_object_are_named() -> None:
    cut = DUMP.index("SET default_tablespace = fast")
    without = DUMP[:cut] + DUMP[DUMP.index("--\n-- Name: TABLE t") :]
    assert found(without) == ["schema: INDEX public.i is missing in the restored database."]
    assert found(DUMP, without) == ["schema: INDEX public.i is in the restored database only."]


def test_an_owner_counts() -> None:
    assert (
        len(
            found(
                DUMP.replace(
                    "Name: v; Type: VIEW; Schema: public; Owner: joe",
                    "Name: v; Type: VIEW; Schema: public; Owner: ann",
                )
            )
        )
        == 2
    )


def test_where_it_is_stored_counts_for_tables_and_indexes() -> None:
    assert found(DUMP.replace("SET default_tablespace = fast", "SET default_tablespace = ''")) == [
        "schema: INDEX public.i differs: '-- default_tablespace = fast' stored, "
        "\"-- default_tablespace = ''\" restored."
    ]


def test_the_text_of_a_function_is_compared_to_its_end() -> None:
    (difference,) = found(DUMP.replace("SELECT 1 $$", "SELECT 2 $$"))
    assert "FUNCTION public.f()" in difference
    (difference,) = found(DUMP.replace("'inside'", "'outside'"))
    assert "FUNCTION public.f()" in difference


CHANGED = DUMP.replace("SELECT t.a", "SELECT a")


def test_what_postgresql_itself_makes_of_the_stored_definition_is_right() -> None:
    assert unlike(schema(DUMP), schema(CHANGED))
    assert found(CHANGED, expected=CHANGED) == []
    (difference,) = found(CHANGED.replace("SELECT a", "SELECT b"), expected=CHANGED)
    assert difference == "schema: VIEW public.v differs: 'SELECT a' stored, 'SELECT b' restored."


def test_what_postgresql_itself_does_not_make_is_judged_by_what_is_stored() -> None:
    assert found(DUMP, expected=CHANGED) == []
    cut = DUMP.index("--\n-- Name: v;")
    assert len(found(CHANGED, expected=DUMP[:cut])) == 1


def test_a_missing_object_is_a_difference_even_if_postgresql_loses_it_too() -> None:
    cut = DUMP.index("SET default_tablespace = fast")
    without = DUMP[:cut] + DUMP[DUMP.index("--\n-- Name: TABLE t") :]
    assert not unlike(schema(DUMP), schema(without))
    assert len(found(without, expected=without)) == 1


def test_an_object_that_is_not_stored_must_come_from_postgresql_itself() -> None:
    cut = DUMP.index("SET default_tablespace = fast")
    without = DUMP[:cut] + DUMP[DUMP.index("--\n-- Name: TABLE t") :]
    assert unlike(schema(without), schema(DUMP))
    assert found(DUMP, without, expected=DUMP) == []
    assert len(found(DUMP, without, expected=without)) == 1


def test_policies_for_missing_roles_do_not_count() -> None:
    policy = "--\n-- Name: t p; Type: POLICY; Schema: public; Owner: joe\n--\n\nCREATE POLICY p ON public.t TO ann;\n"
    whole = schema(DUMP + policy)
    assert len(without_roles(whole, ["ann"])) == len(whole) - 1
    assert len(without_roles(whole, ["bob"])) == len(whole)
