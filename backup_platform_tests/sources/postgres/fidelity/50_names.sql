-- Names that break what quotes badly: as identifiers, in paths, in format strings, in patterns, in JSON.
CREATE SCHEMA "..";
CREATE SCHEMA "a/b.c";
CREATE SCHEMA "Quote""d 'schema'";
CREATE SCHEMA "Ünï 中文 😀";
CREATE SCHEMA "same";
CREATE SCHEMA "Same";
SET search_path = public;

CREATE TABLE ".."."." ("." int, ".." text);
INSERT INTO ".."."." VALUES (1, 'dot');
CREATE TABLE ".."."..%2F..%s%%" ("%s" int PRIMARY KEY, "%(x)s" text, "{0}" text, "$1" text);
INSERT INTO ".."."..%2F..%s%%" VALUES (1, '%s', '{0}', '$1'), (2, NULL, NULL, NULL);
CREATE TABLE "a/b.c"."d.e/f" ("g.h" int, "i/j" text, "k:l" bool);
INSERT INTO "a/b.c"."d.e/f" VALUES (1, 'x', true);
CREATE TABLE "Quote""d 'schema'"."ta""ble's" ("co""l'umn" text PRIMARY KEY, """" int, "'" int, "\" int, "\\n" int);
INSERT INTO "Quote""d 'schema'"."ta""ble's" VALUES ('v', 1, 2, 3, 4);
CREATE SEQUENCE "Quote""d 'schema'"."se""q'";
SELECT nextval('"Quote""d ''schema''"."se""q''"');
CREATE MATERIALIZED VIEW "Quote""d 'schema'"."ma""t'" AS SELECT * FROM "Quote""d 'schema'"."ta""ble's";
CREATE TYPE "Quote""d 'schema'"."ty""pe'" AS ENUM ('it''s', '"');
CREATE TABLE "Quote""d 'schema'"."with type" (v "Quote""d 'schema'"."ty""pe'", w "Quote""d 'schema'"."ty""pe'"[]);
INSERT INTO "Quote""d 'schema'"."with type" VALUES ('it''s', ARRAY['"', 'it''s']::"Quote""d 'schema'"."ty""pe'"[]);
CREATE TABLE "Ünï 中文 😀"."Tä bellë" ("Spalte ß" text, "😀" int, " leading and trailing " int);
INSERT INTO "Ünï 中文 😀"."Tä bellë" VALUES ('ß', 1, 2);
CREATE TABLE same.same (v int);
CREATE TABLE same."Same" (v int, "V" int);
CREATE TABLE "Same".same (v int);
CREATE TABLE "Same"."SAME" (v int);
INSERT INTO same.same VALUES (1);
INSERT INTO same."Same" VALUES (2, 3);
INSERT INTO "Same".same VALUES (4);
INSERT INTO "Same"."SAME" VALUES (5);
CREATE TABLE "select" ("from" int PRIMARY KEY, "where" text, "table" int, "user" text, "tableoid " int, "order" int);
INSERT INTO "select" VALUES (1, 'x', 2, 'u', 3, 4);
CREATE TABLE "a234567890123456789012345678901234567890123456789012345678901_x" ("c234567890123456789012345678901234567890123456789012345678901_x" int);
INSERT INTO "a234567890123456789012345678901234567890123456789012345678901_x" VALUES (1);
CREATE TABLE "中文中文中文中文中文中文中文中文中文中文中文" (v int);
INSERT INTO "中文中文中文中文中文中文中文中文中文中文中文" VALUES (1);
CREATE TABLE "line
feed	tab" ("co
l" int, "a	b" text);
INSERT INTO "line
feed	tab" VALUES (1, 'x');
CREATE TABLE "star*? [a-z]" ("*" int, "?" int, "count(*)" int, "a, b" int, "--" int, "/*" int, "; DROP TABLE x" int);
INSERT INTO "star*? [a-z]" VALUES (1, 2, 3, 4, 5, 6, 7);
CREATE TABLE "catalogue.json" (v int);
INSERT INTO "catalogue.json" VALUES (1);
CREATE TABLE "tables/public/select/00000.parquet" (v int);
INSERT INTO "tables/public/select/00000.parquet" VALUES (1);
CREATE TABLE "-c" ("--help" int);
INSERT INTO "-c" VALUES (1);
CREATE TABLE "a.b" (v int);
CREATE SCHEMA a;
CREATE TABLE a.b (v int);
CREATE SCHEMA "a.b";
CREATE TABLE "a.b".c (v int);
CREATE TABLE a."b.c" (v int);
INSERT INTO "a.b" VALUES (1);
INSERT INTO a.b VALUES (2);
INSERT INTO "a.b".c VALUES (3);
INSERT INTO a."b.c" VALUES (4);
-- A schema and functions that would win over those of the server if the search path let them.
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint LANGUAGE sql AS $$ SELECT 0::bigint $$;
CREATE TABLE public.pg_class (relname text);
INSERT INTO public.pg_class VALUES ('not the catalogue');
