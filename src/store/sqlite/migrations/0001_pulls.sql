-- Pulled parts, the runs that bring them, and the feed of their changes.

CREATE TABLE store (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    epoch    TEXT NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    id          INTEGER PRIMARY KEY,
    connection  TEXT NOT NULL,
    stream      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    verified_at INTEGER,
    place       TEXT,
    UNIQUE (connection, stream, kind)
) STRICT;

-- A tombstone keeps its canonical key and sequence; source_key, content and hashes are null.
CREATE TABLE part (
    id          INTEGER PRIMARY KEY,
    source      INTEGER NOT NULL REFERENCES source (id),
    source_key  TEXT,
    entity      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    company     TEXT NOT NULL,
    number      TEXT NOT NULL,
    part        TEXT NOT NULL,
    who         TEXT,
    what        TEXT,
    content     TEXT,
    hash        BLOB,
    source_hash BLOB,
    run         TEXT NOT NULL,
    mapping     TEXT NOT NULL,
    changed_at  INTEGER NOT NULL,
    sequence    INTEGER
) STRICT;
CREATE UNIQUE INDEX part_source ON part (source, source_key) WHERE source_key IS NOT NULL;
CREATE UNIQUE INDEX part_key ON part (entity, company, number, kind, part);
CREATE UNIQUE INDEX part_sequence ON part (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX part_who ON part (entity, company, who) WHERE who IS NOT NULL;
CREATE INDEX part_what ON part (entity, company, what) WHERE what IS NOT NULL;

CREATE TABLE run (
    id         TEXT PRIMARY KEY,
    source     INTEGER NOT NULL REFERENCES source (id),
    complete   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    counts     TEXT NOT NULL,
    pages      INTEGER NOT NULL,
    place      TEXT,
    mapping    TEXT NOT NULL,
    reason     TEXT,
    loading    INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE INDEX run_source ON run (source, id);

CREATE TABLE staged (
    run         TEXT NOT NULL,
    position    INTEGER NOT NULL,
    operation   TEXT NOT NULL,
    source_key  TEXT NOT NULL,
    company     TEXT NOT NULL,
    number      TEXT NOT NULL,
    part        TEXT NOT NULL,
    who         TEXT,
    what        TEXT,
    content     TEXT,
    before      BLOB,
    after       BLOB,
    source_hash BLOB NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX staged_key ON staged (run, source_key);

CREATE TABLE seen (
    run    TEXT NOT NULL,
    page   INTEGER NOT NULL,
    parts  BLOB NOT NULL,
    PRIMARY KEY (run, page)
) STRICT, WITHOUT ROWID;

CREATE TABLE rejected (
    id         INTEGER PRIMARY KEY,
    source     INTEGER NOT NULL REFERENCES source (id),
    source_key TEXT NOT NULL,
    digest     BLOB NOT NULL,
    run        TEXT NOT NULL,
    place      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    record     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    UNIQUE (source, source_key)
) STRICT;

-- What was read to its end: a file by name, length and time of modification, with the mapping that took it.
CREATE TABLE taken (
    source   INTEGER NOT NULL REFERENCES source (id),
    identity TEXT NOT NULL,
    mapping  TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (source, identity)
) STRICT, WITHOUT ROWID;
