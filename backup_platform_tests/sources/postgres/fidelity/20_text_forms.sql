-- Types that are stored as the server's own text.
CREATE SCHEMA forms;
SET search_path = forms, public;

CREATE TABLE documents (id int PRIMARY KEY, j json, b jsonb, p jsonpath);
INSERT INTO documents VALUES (1, NULL, NULL, NULL), (2, 'null', 'null', '$'), (3, E'{ "b" : 1,\n\t"a":2 , "a": 3 }', '{ "b" : 1, "a": 2, "a": 3 }', '$.a[*] ? (@ > 1)'),
    (4, '"\u00e4 \\ \" \n"', '"\u00e4 \\ \" \n"', 'strict $."a b"'), (5, '[]', '{}', '$.**'), (6, '1e400', '12345678901234567890.1234567890000', '$'),
    (7, '  [1,  2 ]  ', '[1.0, 1.00, -0, 1e2]', '$[1 to last]'), (8, '"\ud83d\ude00"', '"\ud83d\ude00"', '$');

CREATE TABLE arrays (id int PRIMARY KEY, i int[], t text[], d date[], j jsonb[], b bytea[], n numeric(5, 2)[], z timestamptz[]);
INSERT INTO arrays VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
    (3, '{1,NULL,3}', '{NULL,"NULL","","a,b","c\"d","e\\\\f","{}"," "}', '{infinity,-infinity,0001-01-01 BC}', ARRAY['{"a": [1]}', NULL, '"x"']::jsonb[], ARRAY['\x00', '', NULL]::bytea[], '{NaN,1.50,-999.99}', '{infinity}'),
    (4, '{{1,2},{3,4}}', '{{a,b},{"c\nd",NULL}}', '{{2026-01-01}}', NULL, NULL, '{{1,2}}', '{{2026-01-01 00:00+00}}'),
    (5, '[-2:0]={7,8,9}', '[0:1][5:6]={{a,b},{c,d}}', NULL, NULL, NULL, NULL, NULL), (6, '{{{1},{2}},{{3},{4}}}', ARRAY[E'\\.', E'\n', '\N'], NULL, NULL, NULL, NULL, NULL);

CREATE TABLE spans (id int PRIMARY KEY, i4 int4range, i8 int8range, n numrange, ts tsrange, tz tstzrange, d daterange);
INSERT INTO spans VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL), (2, 'empty', 'empty', 'empty', 'empty', 'empty', 'empty'), (3, '(,)', '[1,]', '(1.10,2.200]', '["2026-01-01 00:00","infinity")', '[-infinity,infinity]', '[2026-01-01,2026-12-31]'),
    (4, '[1,1]', '(,5)', '[NaN,NaN]', '(,)', '[2026-01-01 00:00+00,)', '[,infinity)');
CREATE TYPE float_span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE text_span AS RANGE (subtype = text, collation = "C");
CREATE TABLE spans_own (f float_span, t text_span, a int4range[]);
INSERT INTO spans_own VALUES ('[0.1,NaN]', '["a,b","c""d\\e"]', ARRAY['[1,3)', 'empty', NULL]::int4range[]), ('[-Infinity,)', '["",""]', '{}'), (NULL, '(,"")', NULL);
\if :v14
CREATE TABLE spans_many (id int PRIMARY KEY, i int4multirange, d datemultirange, f float_span_multirange);
INSERT INTO spans_many VALUES (1, '{}', NULL, '{}'), (2, '{[1,3),[5,9),(,-5]}', '{[2026-01-01,infinity)}', '{[0.1,0.2],(3,)}');
\endif

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE mood ADD VALUE 'a ''quoted, "one' BEFORE 'sad';
ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok';
ALTER TYPE mood ADD VALUE '' AFTER 'happy';
CREATE TYPE nothing AS ENUM ();
CREATE TABLE enums (m mood PRIMARY KEY, ms mood[], n nothing);
INSERT INTO enums VALUES ('sad', '{happy,NULL,ok}'), ('a ''quoted, "one', ARRAY['a ''quoted, "one', '']::mood[]), ('', NULL), ('fine', '{}');

CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN code AS char(4) NOT NULL DEFAULT 'none';
CREATE DOMAIN words AS text[] CHECK (array_length(VALUE, 1) < 5);
CREATE DOMAIN deeper AS positive CHECK (VALUE < 1000) CONSTRAINT odd CHECK (VALUE % 2 = 1);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN price AS numeric(10, 2);
CREATE TABLE domains (id deeper PRIMARY KEY, p positive, c code, w words, m moment, ps positive[], pr price, md mood);
INSERT INTO domains VALUES (1, 1, 'ab', '{a,b}', 'infinity', '{1,2}', 'NaN', 'ok'), (3, NULL, '', NULL, NULL, NULL, NULL, NULL), (5, 2147483647, ' x', '{}', '2026-01-01 00:00+00', '{{1},{2}}', 1.50, '');

CREATE TYPE pair AS (a int, "B b" text);
CREATE TYPE nested AS (p pair, ps pair[], d positive, r int4range, e mood);
CREATE TYPE empty_row AS ();
CREATE DOMAIN checked_pair AS pair CHECK ((VALUE).a IS DISTINCT FROM 0);
CREATE TABLE composites (id int PRIMARY KEY, p pair, n nested, ps pair[], cp checked_pair, e empty_row);
INSERT INTO composites VALUES (1, NULL, NULL, NULL, NULL, NULL), (2, ROW(NULL, NULL), ROW(NULL, NULL, NULL, NULL, NULL), '{}', ROW(NULL, NULL), ROW()),
    (3, ROW(1, ''), ROW(ROW(1, 'a,"b\(c)'), ARRAY[ROW(1, NULL), NULL, ROW(NULL, '')]::pair[], 1, 'empty', 'ok'), ARRAY[ROW(1, E'x\ny'), NULL]::pair[], ROW(1, ' '), NULL),
    (4, ROW(-1, NULL), ROW(ROW(NULL, NULL), '{}', NULL, '[1,5)', ''), ARRAY[ARRAY[ROW(1, 'NULL')::pair], ARRAY[NULL::pair]], ROW(2, '\.'), NULL);
CREATE TABLE row_typed OF pair (PRIMARY KEY (a));
INSERT INTO row_typed VALUES (1, 'x'), (2, NULL);
CREATE TABLE whole_rows (r composites);
INSERT INTO whole_rows SELECT c FROM composites c;
INSERT INTO whole_rows VALUES (NULL);

CREATE TABLE addresses (id int PRIMARY KEY, i inet, c cidr, m macaddr, m8 macaddr8);
INSERT INTO addresses VALUES (1, NULL, NULL, NULL, NULL), (2, '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05'), (3, '10.0.0.1/24', '10.0.0.1/32', 'ff:ff:ff:ff:ff:ff', '08002b:0102030405'),
    (4, '::1', '2001:db8::/32', '00:00:00:00:00:00', '08:00:2b:01:02:03'), (5, '::ffff:1.2.3.4/128', '0.0.0.0/0', NULL, NULL), (6, '2001:db8::1/64', '::/0', NULL, NULL);

CREATE TABLE bits (b bit, b8 bit(8), v bit varying, v5 bit varying(5));
INSERT INTO bits VALUES ('1', '10000001', '', ''), ('0', '00000000', '101', '00100'), (NULL, NULL, NULL, NULL), ('1', '11111111', repeat('10', 500)::varbit, '11111');

CREATE TABLE intervals (id int PRIMARY KEY, i interval, dt interval day to second, y interval year to month, i0 interval(0));
INSERT INTO intervals VALUES (1, NULL, NULL, NULL, NULL), (2, '0', '0', '0', '0'), (3, '178000000 years', '1 day 02:03:04.000005', '1 year 2 mons', '1.5 s'), (4, '-178000000 years', '-1 day 02:03', '-1 mon', '-1 s'),
    (5, '1 mon -1 day +00:00:01', '-00:00:00.000001', '-1 year 1 mon', '1 day'), (6, '2147483647 days', '100 days 25:59:59', '10 years', '24:00'), (8, '30 days', '720 hours', '12 mons', '1 mon');
\if :v15
INSERT INTO intervals VALUES (7, '-2562047788:00:54.775807', '1 s', '1 y', '0');
\endif
\if :v17
INSERT INTO intervals VALUES (20, 'infinity', 'infinity', NULL, NULL), (21, '-infinity', '-infinity', NULL, NULL);
\endif

CREATE TABLE moneys (m money, ms money[]);
INSERT INTO moneys VALUES ('-92233720368547758.08', '{1.50,-0.01}'), ('92233720368547758.07', '{}'), (0.01, NULL), (NULL, NULL), (1234.50, '{{1},{2}}');

CREATE TABLE searching (id int PRIMARY KEY, v tsvector, q tsquery);
INSERT INTO searching VALUES (1, '', ''), (2, 'a:1A,2B,3 b''c:16383 ''space here'':5D', '''a b'':*A & !(c | d)'), (3, to_tsvector('english', 'The fat cats'), to_tsquery('english', 'fat <-> cat <3> rat')), (4, $$'back\\slash' 'quo''te'$$, $$'quo''te' & 'back\\slash'$$), (5, NULL, NULL);

CREATE TABLE shapes (id int PRIMARY KEY, p point, l line, s lseg, b box, pa path, po polygon, c circle);
INSERT INTO shapes VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (2, '(0.1,-0)', '{1,-1,0.3}', '[(0,0),(1e300,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),0.1>'),
    (3, '(NaN,Infinity)', '{0,1,1e-300}', '[(-Infinity,0),(1,NaN)]', '(Infinity,1),(-Infinity,0)', '((0,0),(1,1))', '((0.1,0.2))', '<(1e10,1),0>');

CREATE TABLE system_types (id int PRIMARY KEY, l pg_lsn, x xid, c cid, t tid, ts txid_snapshot, r regrole, ns regnamespace, ty regtype, cl regclass, pr regprocedure, op regoperator, co regconfig);
INSERT INTO system_types VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (2, '0/0', '0', '0', '(0,0)', '1:1:', 'fid_owner', 'pg_catalog', 'integer', 'forms.moneys', 'abs(integer)', '+(integer,integer)', 'english'),
    (3, 'FFFFFFFF/FFFFFFFF', '4294967295', '7', '(4294967295,65535)', '10:20:10,14,15', 'fid_reader', 'forms', 'forms.mood', 'forms.enums', 'now()', '-(NONE,integer)', 'simple');
CREATE TABLE snapshots (s pg_snapshot, x8 xid8, v oidvector, iv int2vector);
INSERT INTO snapshots VALUES ('10:20:10,14,15', '18446744073709551615', '1 2 3', '0 -1 32767'), (NULL, '0', '', '');

CREATE TABLE contrib (id int PRIMARY KEY, h hstore, c citext, l ltree, q lquery, cs citext[], hs hstore[]);
INSERT INTO contrib VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL), (2, '', '', '', '*', '{}', '{}'), (3, '"a b"=>"c\"d\\e", x=>NULL, "NULL"=>"NULL", ""=>""', 'CaSe', 'Top.Sci.A_b', '*.Sci{1,}.!x', '{A,a,"x y"}', ARRAY['a=>1', NULL]::hstore[]);
CREATE TABLE citext_keys (c citext PRIMARY KEY);
INSERT INTO citext_keys VALUES ('Alpha'), ('beta'), ('Ünder');

-- A cast to text that loses something: what is stored must be the output function's text.
CREATE TYPE secret AS (a int, b text);
CREATE FUNCTION masked(secret) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '***' $$;
CREATE CAST (secret AS text) WITH FUNCTION masked(secret);
CREATE TYPE grade AS ENUM ('one', 'two');
CREATE FUNCTION shouted(grade) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'LOUD' $$;
CREATE CAST (grade AS text) WITH FUNCTION shouted(grade) AS IMPLICIT;
CREATE DOMAIN grade_domain AS grade;
CREATE TABLE casted (g grade PRIMARY KEY, s secret, gs grade[], gd grade_domain);
INSERT INTO casted VALUES ('one', ROW(1, 'x'), '{one,two}', 'two'), ('two', NULL, NULL, NULL);

-- Base types, made of functions that the server has.
CREATE TYPE mytext;
CREATE FUNCTION mytext_in(cstring) RETURNS mytext LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
CREATE FUNCTION mytext_out(mytext) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
CREATE TYPE mytext (INPUT = mytext_in, OUTPUT = mytext_out, LIKE = text);
CREATE TYPE myint;
CREATE FUNCTION myint_in(cstring) RETURNS myint LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION myint_out(myint) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE myint (INPUT = myint_in, OUTPUT = myint_out, LIKE = int4, CATEGORY = 'N');
CREATE CAST (myint AS int4) WITHOUT FUNCTION;
CREATE TABLE own_types (t mytext, i myint, ts mytext[]);
INSERT INTO own_types VALUES ('a "b"\', '-7', '{x,"y z",NULL}'), ('', '0', '{}'), (NULL, NULL, NULL);

\if :v14
CREATE TABLE mixed_compression (t text COMPRESSION pglz, u text);
INSERT INTO mixed_compression VALUES (repeat('compress me ', 10000), repeat('a', 100000));
\if :lz4
ALTER TABLE mixed_compression ALTER u SET COMPRESSION lz4;
INSERT INTO mixed_compression VALUES ('x', repeat('b', 100000));
\endif
\endif

\if :xml
CREATE TABLE xmls (id int PRIMARY KEY, x xml);
SET xmloption = document;
INSERT INTO xmls VALUES (1, '<?xml version="1.0" standalone="yes"?><!DOCTYPE a SYSTEM "b"><a b="1">ä &amp; <![CDATA[<x>]]></a>'), (2, '<a/>');
SET xmloption = content;
INSERT INTO xmls VALUES (3, 'a fragment <b/> and <c/>'), (4, ''), (5, E'  <a>\n</a>\n'), (6, NULL);
\endif

\if :icu
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION german (provider = icu, locale = 'de-u-co-phonebk');
CREATE TABLE collated (t text COLLATE blind PRIMARY KEY, g text COLLATE german, c text COLLATE "C");
INSERT INTO collated VALUES ('Alpha', 'ä', 'a'), ('beta', 'AE', NULL), ('Éa', '', '');
CREATE INDEX collated_g ON collated (g);
CREATE TABLE collated_parts (t text COLLATE blind NOT NULL, v int) PARTITION BY LIST (t COLLATE "C");
CREATE TABLE collated_parts_1 PARTITION OF collated_parts FOR VALUES IN ('a', 'A');
CREATE TABLE collated_parts_x PARTITION OF collated_parts DEFAULT;
INSERT INTO collated_parts VALUES ('a', 1), ('A', 2), ('Ä', 3);
\endif
