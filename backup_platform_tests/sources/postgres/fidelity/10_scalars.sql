-- Types that are stored natively where they can be, at their edges and beyond what Arrow holds.
CREATE SCHEMA scalars;
SET search_path = scalars, public;

CREATE TABLE booleans (id int PRIMARY KEY, v boolean);
INSERT INTO booleans VALUES (1, true), (2, false), (3, NULL);

CREATE TABLE integers (i2 int2, i4 int4, i8 int8, o oid, PRIMARY KEY (i8, i4));
INSERT INTO integers VALUES (-32768, -2147483648, -9223372036854775808, 0), (32767, 2147483647, 9223372036854775807, 4294967295),
    (NULL, 0, 0, NULL), (0, -1, -1, 1), (0, 1, -1, 2147483648);

CREATE TABLE floats (id serial PRIMARY KEY, f4 float4, f8 float8);
INSERT INTO floats (f4, f8) VALUES ('NaN', 'NaN'), ('Infinity', 'Infinity'), ('-Infinity', '-Infinity'), ('-0', '-0'), (0, 0), (NULL, NULL),
    (1.17549435e-38, 2.2250738585072014e-308), (3.40282347e38, 1.7976931348623157e308), (1.4e-45, 4.94065645841246544e-324),
    (0.1, 0.1), (16777217, 9007199254740993), (1e-7, 1.0000000000000002), (123456.789, 123456789.123456789);

CREATE TABLE numerics (id int PRIMARY KEY, n numeric, n10_2 numeric(10, 2), n38_0 numeric(38, 0), n38_38 numeric(38, 38), n39 numeric(39, 5),
    n76 numeric(76, 10), n77 numeric(77, 10), n1000 numeric(1000, 999), n5 numeric(5));
INSERT INTO numerics VALUES
    (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (2, 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN'),
    (3, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    (4, 1.10, 99999999.99, repeat('9', 38)::numeric, ('0.' || repeat('9', 38))::numeric, repeat('9', 34)::numeric, repeat('9', 66)::numeric,
        repeat('9', 67)::numeric, ('0.' || repeat('9', 999))::numeric, 99999),
    (5, -1.1000, -99999999.99, -repeat('9', 38)::numeric, -('0.' || repeat('9', 38))::numeric, -1.00001, -0.0000000001, -0.0000000001, -0.1, -99999),
    (6, repeat('9', 2000)::numeric, 0.01, 1, '0.00000000000000000000000000000000000001', 1, 1, 1, 1, 1),
    (7, ('0.' || repeat('0', 1000) || '1')::numeric, 1, -1, 0.5, -1, -1, -1, 0, -1),
    (8, 0.00, 10.50, 10, 0.10, 1e33, 1e65, 1e66, 0.5, 10000);
\if :v14
CREATE TABLE numerics_infinite (id int PRIMARY KEY, n numeric, bounded numeric(10, 2));
INSERT INTO numerics_infinite VALUES (1, 'Infinity', 1), (2, '-Infinity', NULL), (3, 1.50, 1.5);
\endif
\if :v15
CREATE TABLE numerics_scaled (negative numeric(4, -3), larger numeric(2, 5));
INSERT INTO numerics_scaled VALUES (1234567, 0.00012), (-9999000, -0.00099), (0, 0), (NULL, NULL);
\endif
CREATE TABLE numerics_plain (id int PRIMARY KEY, price numeric(12, 2), rate numeric(30, 12));
INSERT INTO numerics_plain SELECT i, (i * 7919 % 1000003)::numeric / 100, 1 / i::numeric FROM generate_series(1, 3000) i;

CREATE TABLE texts (id int PRIMARY KEY, t text, v varchar, v3 varchar(3), c char, c5 char(5), n name, ch "char");
INSERT INTO texts VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (2, '', '', '', '', '', '', ''),
    (3, ' ', '  ', '   ', ' ', '  a  ', ' ', ' '), (4, 'a''b"c', '\', '\.', '\', 'ab\n', 'select', '\'),
    (5, E'line\nfeed\r\nreturn\rtab\t\b\f\v', E'\n', E'\r', E'\n', E'\t', E'\n', E'\n'), (6, '\.', '\N', '\N', 'N', '\\.', '\.', 'x'),
    (7, '"csv","with ""quotes""",,' || E'\n' || 'a,b', 'NULL', 'nul', '"', ',,,,,', '"', '"'),
    (8, U&'\00E4\00F6\00FC \4E2D\6587 \+01F600 \200B\FEFF\0301', U&'\+10FFFF', U&'\+01F600', U&'\20AC', U&'\00DF    ', U&'\00E9', 'z'),
    (9, E'\x01\x02\x1f\x7f', E'\x7f', 'a  ', 'a', 'a  b', repeat('n', 63), E'\x7f'), (10, 'e' || U&'\0301', U&'\00E9', 'abc', 'b', 'abcde', 'b', 'b'),
    (11, E'\\.\n\\.\n', E'$$;DROP TABLE x;--', '%s', '%', '%s%%', '%I', '%');
INSERT INTO texts (id, ch) SELECT 100 + i, ('\' || to_char(i, 'FM000'))::"char" FROM unnest(ARRAY[200, 377]) i;

CREATE TABLE texts_large (id int PRIMARY KEY, t text, b bytea, j jsonb);
INSERT INTO texts_large VALUES (1, repeat('x', 3 * 1024 * 1024), decode(repeat('00ff', 1024 * 1024), 'hex'), jsonb_build_object('k', repeat('j', 1024 * 1024))),
    (2, (SELECT string_agg(md5(i::text), E'\n') FROM generate_series(1, 40000) i), (SELECT decode(string_agg(md5(i::text), ''), 'hex') FROM generate_series(1, 60000) i), '[]'),
    (3, '', '', NULL);

CREATE TABLE byteas (id int PRIMARY KEY, b bytea);
INSERT INTO byteas VALUES (1, NULL), (2, ''), (3, '\x00'), (4, '\x000000'), (5, '\x5c2e0a5c2e'), (6, '\x5c4e'), (7, '\xff00fe80'),
    (8, (SELECT decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex') FROM generate_series(0, 255) i));

CREATE TABLE dates (id int PRIMARY KEY, d date);
INSERT INTO dates VALUES (1, '4713-01-01 BC'), (2, '0001-12-31 BC'), (3, '0001-01-01'), (4, '1582-10-10'), (5, '1970-01-01'), (6, '2000-02-29'),
    (7, '9999-12-31'), (8, '10000-01-01'), (9, '5874897-12-31'), (10, NULL);
CREATE TABLE dates_infinite (id int PRIMARY KEY, d date);
INSERT INTO dates_infinite VALUES (1, 'infinity'), (2, '-infinity'), (3, '2026-11-22'), (4, NULL);

CREATE TABLE times (id int PRIMARY KEY, t time, t0 time(0), z timetz);
INSERT INTO times VALUES (1, '00:00', '00:00', '00:00+15:59:59'), (2, '24:00:00', '24:00:00', '24:00:00-15:59:59'), (3, '23:59:59.999999', '23:59:59', '23:59:59.999999+00'),
    (4, '12:34:56.000001', '12:34:56', '12:00-00:30'), (5, NULL, NULL, NULL), (6, '00:00:00.1', '00:00:01', '00:00:00.1+05:45:30');
CREATE TABLE times_plain (id int PRIMARY KEY, t time, t3 time(3));
INSERT INTO times_plain VALUES (1, '00:00', '00:00:00.001'), (2, '23:59:59.999999', '23:59:59.999'), (3, NULL, NULL);

CREATE TABLE timestamps (id int PRIMARY KEY, ts timestamp, tz timestamptz, ts0 timestamp(0), tz3 timestamptz(3));
INSERT INTO timestamps VALUES (1, '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '0044-03-15 BC', '0044-03-15 12:00+00 BC'), (2, '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '294276-12-31', '294276-12-31 00:00+00'),
    (3, '1970-01-01 00:00:00.000001', '1969-12-31 23:59:59.999999+00', '2000-01-01', '2000-01-01 00:00+00'), (4, '2026-03-29 02:30:00', '2026-03-29 02:30:00+02', '1883-11-18', '2026-10-25 02:30+01'),
    (5, NULL, NULL, NULL, NULL), (6, '0001-01-01', '0001-01-01 00:00+00', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999+00');
CREATE TABLE timestamps_infinite (id int PRIMARY KEY, ts timestamp, tz timestamptz);
INSERT INTO timestamps_infinite VALUES (1, 'infinity', '-infinity'), (2, '-infinity', 'infinity'), (3, '2026-11-22 01:02:03.4', '2026-11-22 01:02:03.4+00'), (4, NULL, NULL);
CREATE TABLE timestamps_infinite_tz (tz timestamptz, note text);
INSERT INTO timestamps_infinite_tz VALUES ('infinity', 'only the last'), ('2026-11-22 00:00+00', ''), (NULL, NULL);

CREATE TABLE uuids (u uuid PRIMARY KEY, other uuid);
INSERT INTO uuids VALUES ('00000000-0000-0000-0000-000000000000', NULL), ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');

CREATE TABLE all_null (a int, b text, c timestamptz, d numeric(10, 2), e int[], f jsonb);
INSERT INTO all_null SELECT FROM generate_series(1, 5);
CREATE TABLE no_rows (LIKE all_null);
