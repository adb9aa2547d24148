"""PostgreSQL's own dumps: pg_dump, pg_restore and the archive between them."""
