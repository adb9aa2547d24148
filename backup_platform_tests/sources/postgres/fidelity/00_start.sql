-- Roles and the settings that the other files count on. Variables: xml, icu and lz4, true where every server of the
-- round trip was built with it.
\set ON_ERROR_STOP on
\pset pager off
SET client_encoding = 'UTF8';
SET timezone = 'UTC';
SET client_min_messages = 'warning';
SET allow_in_place_tablespaces = on;
SELECT :SERVER_VERSION_NUM >= 140000 AS v14, :SERVER_VERSION_NUM >= 150000 AS v15,
       :SERVER_VERSION_NUM >= 170000 AS v17, :SERVER_VERSION_NUM >= 180000 AS v18 \gset

SELECT 'CREATE ROLE fid_owner' WHERE to_regrole('fid_owner') IS NULL \gexec
SELECT 'CREATE ROLE fid_reader' WHERE to_regrole('fid_reader') IS NULL \gexec
SELECT 'CREATE ROLE "fid ''Öwner"" of.all"' WHERE to_regrole('"fid ''Öwner"" of.all"') IS NULL \gexec
SELECT 'CREATE TABLESPACE fid_space LOCATION ''''' WHERE NOT EXISTS (SELECT FROM pg_tablespace WHERE spcname = 'fid_space') \gexec
