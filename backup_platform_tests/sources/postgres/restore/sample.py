"""A small database with most kinds of objects, for restores of a whole and of parts."""

from __future__ import annotations

SAMPLE = r"""
CREATE SCHEMA app;
CREATE SCHEMA "odd ""schema";
CREATE EXTENSION pg_trgm;
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN app.posint AS int CHECK (value > 0);
CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE app.parent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m app.mood, n app.posint DEFAULT 1,
                         t text, g int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE app.child (id serial PRIMARY KEY, pid bigint REFERENCES app.parent, x int DEFAULT app.f(3));
CREATE TABLE "odd ""schema"."a b" (a text);
CREATE TABLE "odd ""schema"."a" (b text);
CREATE INDEX child_x ON app.child (x);
CREATE VIEW app.v AS SELECT id FROM app.parent;
CREATE MATERIALIZED VIEW app.mv AS SELECT count(*) AS n FROM app.parent;
CREATE UNIQUE INDEX mv_n ON app.mv (n);
CREATE TABLE part (id int, k int NOT NULL, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE inh (extra int) INHERITS (app.child);
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.x := 99; RETURN new; END';
CREATE TRIGGER touch BEFORE INSERT ON app.child FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER on_ddl ON ddl_command_end EXECUTE FUNCTION public.on_ddl();
COMMENT ON TABLE app.parent IS 'hi; there';
ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON app.parent USING (true);
CREATE STATISTICS app.st ON id, pid FROM app.child;
CREATE RULE r AS ON UPDATE TO app.child DO ALSO NOTHING;
CREATE SEQUENCE app.free START 7;
CREATE SEQUENCE app.used;
CREATE TABLE nocol ();
CREATE TABLE public.one (said text);
SET session_replication_role = replica;
INSERT INTO nocol DEFAULT VALUES;
INSERT INTO nocol DEFAULT VALUES;
INSERT INTO app.parent (m, t) VALUES ('sad', 'x'), (NULL, ''), ('ok', NULL);
INSERT INTO app.child (pid) VALUES (1), (2);
INSERT INTO part SELECT i, i FROM generate_series(0, 19) i;
INSERT INTO inh (pid, extra) VALUES (3, 4);
INSERT INTO "odd ""schema"."a b" VALUES ('quoted "a", and' || chr(10) || '\.' || chr(10));
INSERT INTO one VALUES ('\.'), (''), (NULL), ('\N'), ('"'), (chr(13) || chr(10)), (' ');
REFRESH MATERIALIZED VIEW app.mv;
SELECT nextval('app.used'), lo_create(5000), lo_put(5000, 0, '\x0102ff');
COMMENT ON LARGE OBJECT 5000 IS 'it''s large';
"""
TABLES = {
    "app.child": 2,
    "app.parent": 3,
    'odd "schema.a': 0,
    'odd "schema.a b': 1,
    "public.inh": 1,
    "public.nocol": 2,
    "public.one": 7,
    "public.part1": 10,
    "public.part2": 10,
}
