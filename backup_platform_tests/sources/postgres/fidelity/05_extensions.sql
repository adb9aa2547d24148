-- Extensions that bring types, operators and access methods.
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION btree_gist;
CREATE EXTENSION bloom;
