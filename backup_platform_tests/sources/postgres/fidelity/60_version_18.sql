-- What only newer versions have.
CREATE SCHEMA newer;
SET search_path = newer, public;
\if :v17
CREATE TABLE identities (id int GENERATED ALWAYS AS IDENTITY, v int NOT NULL, PRIMARY KEY (id, v)) PARTITION BY RANGE (v);
CREATE TABLE identities_1 PARTITION OF identities FOR VALUES FROM (0) TO (10);
CREATE TABLE identities_2 PARTITION OF identities FOR VALUES FROM (10) TO (20);
INSERT INTO identities (v) SELECT generate_series(0, 19);
CREATE COLLATION builtin_utf8 (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE sorted_builtin (t text COLLATE builtin_utf8 PRIMARY KEY);
INSERT INTO sorted_builtin VALUES ('ä'), ('A'), ('😀');
\endif
\if :v18
CREATE TABLE virtual_columns (id int PRIMARY KEY, w int, doubled int GENERATED ALWAYS AS (w * 2) VIRTUAL, twice int GENERATED ALWAYS AS (w + w), kept int GENERATED ALWAYS AS (w * 3) STORED);
INSERT INTO virtual_columns (id, w) VALUES (1, 1), (2, NULL);
CREATE TABLE only_virtual (one int GENERATED ALWAYS AS (1 + 1) VIRTUAL);
INSERT INTO only_virtual DEFAULT VALUES;
CREATE TABLE bookings (room int, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
INSERT INTO bookings VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,2026-03-01)'), (2, '[2026-01-01,2026-12-01)');
CREATE TABLE guests (room int, during daterange, who text, FOREIGN KEY (room, PERIOD during) REFERENCES bookings (room, PERIOD during));
INSERT INTO guests VALUES (1, '[2026-01-15,2026-02-15)', 'ann');
CREATE TABLE unenforced (id int PRIMARY KEY, v int CONSTRAINT hope CHECK (v > 0) NOT ENFORCED, b int CONSTRAINT wish REFERENCES virtual_columns NOT ENFORCED);
INSERT INTO unenforced VALUES (1, -1, 99);
CREATE TABLE not_null_later (a int, b int);
INSERT INTO not_null_later VALUES (NULL, 1);
ALTER TABLE not_null_later ADD CONSTRAINT a_is_there NOT NULL a NOT VALID, ADD CONSTRAINT b_named NOT NULL b NO INHERIT;
CREATE TABLE casefolded (t text COLLATE pg_unicode_fast);
INSERT INTO casefolded VALUES ('ß'), ('SS');
CREATE PUBLICATION with_generated FOR TABLE virtual_columns WITH (publish_generated_columns = stored);
\endif
