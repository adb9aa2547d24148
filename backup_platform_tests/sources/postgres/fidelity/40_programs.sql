-- Views, functions, triggers, rights, large objects: everything that is not a table.
CREATE SCHEMA programs;
SET search_path = programs, public;
COMMENT ON SCHEMA programs IS E'comment with ''quotes'', "double", \\ and\nnewline';

CREATE TABLE accounts (id int PRIMARY KEY, owner text, balance numeric(10, 2), secret text);
INSERT INTO accounts VALUES (1, 'ann', 10, 's1'), (2, 'bob', 20.50, NULL);
CREATE TABLE audit (n serial PRIMARY KEY, what text);

CREATE FUNCTION add(a int, b int DEFAULT 1, VARIADIC rest int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 7 AS $f$ SELECT a + b $f$;
CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = programs, pg_temp SET work_mem = '1MB' AS $f$
BEGIN INSERT INTO audit (what) VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN coalesce(NEW, OLD); END $f$;
CREATE FUNCTION pairs(OUT a int, OUT b text) RETURNS SETOF record LANGUAGE sql ROWS 5 AS $f$ VALUES (1, $$x$$), (2, '\') $f$;
CREATE FUNCTION as_table(x anyelement) RETURNS TABLE (v anyelement, n int) LANGUAGE sql AS $f$ SELECT x, 1 $f$;
CREATE PROCEDURE tidy(INOUT n int) LANGUAGE plpgsql AS $f$ BEGIN n := n + 1; END $f$;
\if :v14
CREATE FUNCTION standard(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT add(a, 1); SELECT balance::int FROM accounts WHERE id = a; END;
\endif
CREATE FUNCTION wide() RETURNS text LANGUAGE sql AS 'SELECT ''ünïcode — 中文 \n''::text';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', COMBINEFUNC = int4pl, PARALLEL = SAFE);
CREATE AGGREGATE median_like(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = ===, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR FAMILY own_family USING btree;
CREATE FUNCTION backwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS $f$ SELECT btint4cmp($2, $1) $f$;
CREATE OPERATOR CLASS reversed FOR TYPE int USING btree FAMILY own_family AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 backwards(int, int);
CREATE INDEX accounts_reversed ON accounts (id reversed);
CREATE FUNCTION to_point(text) RETURNS point LANGUAGE sql IMMUTABLE AS $f$ SELECT point(1, 2) $f$;
CREATE CAST (text AS point) WITH FUNCTION to_point(text) AS ASSIGNMENT;
CREATE CONVERSION own_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE COLLATION plain FROM "C";
CREATE TEXT SEARCH DICTIONARY own_words (TEMPLATE = simple, stopwords = english, accept = false);
CREATE TEXT SEARCH CONFIGURATION own_search (COPY = english);
ALTER TEXT SEARCH CONFIGURATION own_search ALTER MAPPING FOR asciiword, word WITH own_words, simple;
CREATE TEXT SEARCH TEMPLATE own_template (LEXIZE = dsimple_lexize, INIT = dsimple_init);
CREATE TEXT SEARCH PARSER own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE FUNCTION own_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE LANGUAGE own_language HANDLER own_handler;
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION varchar_support(internal), TO SQL WITH FUNCTION int4recv(internal));

-- Views and what is kept of their results. Named so that alphabetical order is the wrong order.
CREATE VIEW open_accounts WITH (security_barrier) AS SELECT id, owner, balance FROM accounts WHERE balance > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW grouped AS SELECT id, owner, sum(balance) FROM accounts GROUP BY id;
CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
CREATE VIEW renamed AS SELECT id AS "Id", owner AS "the owner" FROM accounts;
ALTER VIEW renamed ALTER "Id" SET DEFAULT 5;
CREATE RULE renamed_insert AS ON INSERT TO renamed DO INSTEAD INSERT INTO accounts (id, owner) VALUES (NEW."Id", NEW."the owner");
CREATE VIEW triggered AS SELECT * FROM accounts;
CREATE TRIGGER triggered_delete INSTEAD OF DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION noisy();
\if :v15
CREATE VIEW invoked WITH (security_invoker = true) AS SELECT * FROM accounts;
\endif
CREATE MATERIALIZED VIEW z_first AS SELECT id, balance * 2 AS doubled FROM accounts;
CREATE UNIQUE INDEX z_first_id ON z_first (id);
CREATE VIEW m_between AS SELECT doubled FROM z_first;
CREATE MATERIALIZED VIEW a_second AS SELECT sum(doubled) AS total, now() > '2020-01-01' AS late FROM m_between;
CREATE MATERIALIZED VIEW aa_third WITH (fillfactor = 50) AS SELECT total FROM a_second, z_first;
CREATE MATERIALIZED VIEW unpopulated AS SELECT * FROM accounts WITH NO DATA;
CREATE MATERIALIZED VIEW on_foreign AS SELECT * FROM tables.remote WITH NO DATA;
COMMENT ON MATERIALIZED VIEW z_first IS 'first';

-- Triggers and rules must not fire while data comes back.
CREATE TRIGGER on_change AFTER INSERT OR UPDATE OF balance OR DELETE ON accounts FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION noisy();
CREATE TRIGGER always BEFORE INSERT ON accounts FOR EACH STATEMENT EXECUTE FUNCTION noisy();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER off BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION noisy();
ALTER TABLE accounts DISABLE TRIGGER off;
CREATE TRIGGER replica AFTER TRUNCATE ON accounts EXECUTE FUNCTION noisy();
ALTER TABLE accounts ENABLE REPLICA TRIGGER replica;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION noisy();
CREATE TRIGGER with_tables AFTER UPDATE ON accounts REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION noisy();
CREATE RULE also AS ON INSERT TO accounts DO ALSO INSERT INTO audit (what) VALUES ('rule');
CREATE RULE never AS ON DELETE TO accounts WHERE OLD.id = 1 DO INSTEAD NOTHING;
ALTER TABLE accounts DISABLE RULE never;
CREATE TRIGGER for_each AFTER INSERT ON tables.events FOR EACH ROW EXECUTE FUNCTION noisy();

-- Rights.
ALTER TABLE accounts OWNER TO fid_owner;
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON accounts FOR SELECT TO fid_reader USING (owner = current_user);
CREATE POLICY nothing_new ON accounts AS RESTRICTIVE FOR INSERT TO PUBLIC WITH CHECK (balance > 0);
CREATE TABLE guarded_off (id int);
INSERT INTO guarded_off VALUES (1);
CREATE POLICY dormant ON guarded_off USING (false);
GRANT SELECT (id, owner), UPDATE (balance) ON accounts TO fid_reader;
GRANT SELECT ON accounts TO fid_reader WITH GRANT OPTION;
GRANT USAGE ON SCHEMA programs TO PUBLIC;
GRANT ALL ON SCHEMA programs TO fid_owner;
REVOKE ALL ON FUNCTION add FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add TO "fid 'Öwner"" of.all";
REVOKE USAGE ON TYPE forms.mood FROM PUBLIC;
GRANT USAGE ON SEQUENCE audit_n_seq TO fid_reader;
GRANT USAGE ON FOREIGN SERVER files TO fid_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER file_fdw TO fid_owner;
REVOKE SELECT ON pg_catalog.pg_database FROM fid_owner;
GRANT SELECT ON pg_catalog.pg_class TO fid_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE fid_owner IN SCHEMA programs GRANT SELECT ON TABLES TO fid_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE fid_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO fid_owner;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO fid_reader;
CREATE TABLE revoked (id int);
REVOKE ALL ON revoked FROM CURRENT_USER;
INSERT INTO revoked VALUES (1);
ALTER TYPE forms.pair OWNER TO fid_owner;
ALTER FUNCTION noisy() OWNER TO "fid 'Öwner"" of.all";

-- Large objects: empty, shorter and longer than a page, with a hole, with rights.
SELECT lo_create(700001), lo_from_bytea(700002, '\x00ff5c'), lo_from_bytea(700003, decode(repeat('0123456789abcdef', 40000), 'hex')), lo_from_bytea(700004, 'page'), lo_from_bytea(4294967295, '\x01');
SELECT lo_put(700004, 300000, 'after a hole');
SELECT lo_from_bytea(700005, decode(repeat('aa', 2048), 'hex')), lo_from_bytea(700006, decode(repeat('bb', 5000), 'hex'));
SELECT lo_truncate(lo_open(700006, 131072 + 262144), 2049);
ALTER LARGE OBJECT 700002 OWNER TO fid_owner;
GRANT SELECT ON LARGE OBJECT 700002 TO fid_reader WITH GRANT OPTION;
GRANT UPDATE ON LARGE OBJECT 700003 TO PUBLIC;
REVOKE ALL ON LARGE OBJECT 700005 FROM CURRENT_USER;
COMMENT ON LARGE OBJECT 700003 IS E'it''s large\\';
CREATE EXTENSION lo;
CREATE TABLE with_lo (id int, o lo);
INSERT INTO with_lo VALUES (1, 700003), (2, NULL);
CREATE TRIGGER manage BEFORE UPDATE OR DELETE ON with_lo FOR EACH ROW EXECUTE FUNCTION lo_manage(o);

-- Replication.
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, delete');
CREATE PUBLICATION chosen FOR TABLE accounts, tables.events WITH (publish_via_partition_root = true);
CREATE PUBLICATION of_nothing;
\if :v15
CREATE PUBLICATION filtered FOR TABLE accounts (id, balance) WHERE (id > 1);
CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA programs;
\endif
CREATE SUBSCRIPTION from_nowhere CONNECTION 'host=/nonexistent dbname=''x y''' PUBLICATION p1, "P 2" WITH (connect = false, slot_name = NONE);
\if :v14
ALTER SUBSCRIPTION from_nowhere SET (binary = true);
\endif

-- Comments, one of each that has a place for it.
COMMENT ON TABLE accounts IS 'accounts'; COMMENT ON COLUMN accounts.balance IS 'in "euro"'; COMMENT ON CONSTRAINT accounts_pkey ON accounts IS 'key';
COMMENT ON INDEX accounts_reversed IS 'i'; COMMENT ON TRIGGER on_change ON accounts IS 't'; COMMENT ON RULE also ON accounts IS 'r'; COMMENT ON POLICY own_rows ON accounts IS 'p';
COMMENT ON FUNCTION add IS 'f'; COMMENT ON PROCEDURE tidy IS 'pr'; COMMENT ON AGGREGATE total(int) IS 'a'; COMMENT ON OPERATOR === (int, int) IS 'o'; COMMENT ON OPERATOR CLASS reversed USING btree IS 'oc';
COMMENT ON TYPE forms.pair IS 'ty'; COMMENT ON DOMAIN forms.code IS 'd'; COMMENT ON CONSTRAINT odd ON DOMAIN forms.deeper IS 'dc'; COMMENT ON COLUMN forms.pair.a IS 'attribute'; COMMENT ON CAST (text AS point) IS 'c';
COMMENT ON SEQUENCE audit_n_seq IS 's'; COMMENT ON VIEW grouped IS 'v'; COMMENT ON FOREIGN TABLE tables.remote IS 'ft'; COMMENT ON SERVER nowhere IS 'fs'; COMMENT ON PUBLICATION chosen IS 'pub'; COMMENT ON SUBSCRIPTION from_nowhere IS 'sub';
COMMENT ON EXTENSION hstore IS 'changed comment'; COMMENT ON COLLATION plain IS 'co'; COMMENT ON CONVERSION own_conversion IS 'cv'; COMMENT ON STATISTICS tables.indexed_stats IS 'st'; COMMENT ON TEXT SEARCH CONFIGURATION own_search IS 'tsc';
COMMENT ON LANGUAGE own_language IS 'l'; COMMENT ON TRANSFORM FOR int LANGUAGE sql IS 'tr'; COMMENT ON ACCESS METHOD heap_again IS 'am'; COMMENT ON OPERATOR FAMILY own_family USING btree IS 'of';
SELECT format('COMMENT ON DATABASE %I IS ''the database''', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET search_path = "$user", programs, public', current_database()) \gexec
SELECT format('GRANT TEMPORARY ON DATABASE %I TO fid_reader', current_database()) \gexec
