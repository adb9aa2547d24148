"""Two dumps are compared object by object: what differs is named, what PostgreSQL does not preserve is not."""

from __future__ import annotations

from backup_platform.sources.postgres.schema_diff import differences, names_only, parse, without_roles

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


def found(after: str, before: str = DUMP, *, same_major: bool = True) -> list[str]:
    return list(differences(parse(before.splitlines()), parse(after.splitlines()), same_major=same_major))


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


def test_between_majors_a_view_may_be_written_otherwise_and_not_be_another() -> None:
    other = DUMP.replace("SELECT t.a", "SELECT a")
    assert found(other, same_major=False) == []
    assert len(found(other)) == 1
    assert len(found(other.replace("SELECT a", "SELECT b"), same_major=False)) == 1


def test_between_majors_a_new_privilege_is_no_difference() -> None:
    old = DUMP.replace("REVOKE ALL ON", "REVOKE SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON")
    new = DUMP.replace("FROM joe;", "FROM joe;\nGRANT MAINTAIN ON TABLE public.t TO joe;")
    assert found(new, old, same_major=False) == []
    assert len(found(new, old)) == 1
    assert len(found(new.replace("REVOKE ALL", "REVOKE SELECT"), old, same_major=False)) == 1


def test_from_before_14_a_range_gets_a_multirange() -> None:
    old = """--
-- Name: span; Type: TYPE; Schema: public; Owner: joe
--

CREATE TYPE public.span AS RANGE (
    subtype = text,
    collation = pg_catalog."C"
);
"""
    new = old.replace("= text,", "= text,\n    multirange_type_name = public.span_multirange,")
    assert found(new, old, same_major=False) == []
    assert len(found(new, old)) == 1
    assert len(found(new.replace("= text", "= bytea"), old, same_major=False)) == 1
    assert len(found(old, new, same_major=False)) == 1
    assert len(found(new.replace("span_multirange", "other"), new, same_major=False)) == 1


def test_names_alone_tell_missing_objects() -> None:
    other = DUMP.replace("a integer", "a bigint").replace("Name: v;", "Name: w;")
    pairs = (names_only(parse(text.splitlines())) for text in (DUMP, other))
    assert len(list(differences(*pairs, same_major=True))) == 2


def test_policies_for_missing_roles_do_not_count() -> None:
    policy = "--\n-- Name: t p; Type: POLICY; Schema: public; Owner: joe\n--\n\nCREATE POLICY p ON public.t TO ann;\n"
    schema = parse((DUMP + policy).splitlines())
    assert len(without_roles(schema, ["ann"])) == len(schema) - 1
    assert len(without_roles(schema, ["bob"])) == len(schema)
