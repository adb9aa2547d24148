-- Last: they see every command from here on, and those of a restore if they come back too early.
SET search_path = programs, public;
CREATE TABLE ddl_log (n serial PRIMARY KEY, tag text);
CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = programs AS $f$ BEGIN INSERT INTO ddl_log (tag) VALUES (tg_tag); END $f$;
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'no'; END $f$;
CREATE EVENT TRIGGER refusing ON ddl_command_start WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION refuse();
ALTER EVENT TRIGGER refusing DISABLE;
CREATE EVENT TRIGGER logging ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE INDEX', 'CREATE TRIGGER') EXECUTE FUNCTION log_ddl();
ALTER EVENT TRIGGER logging ENABLE ALWAYS;
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION log_ddl();
COMMENT ON EVENT TRIGGER logging IS 'logs';
