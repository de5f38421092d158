-- Pulled parts, the runs that bring them, and the feed of their changes.

-- purged: the highest sequence of a tombstone that was dropped; who follows from before it must begin anew.
CREATE TABLE store (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    epoch    TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    purged   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE source (
    id          INTEGER PRIMARY KEY,
    connection  TEXT NOT NULL,
    stream      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    verified_at INTEGER,
    place       TEXT,
    watermark   TEXT,
    UNIQUE (connection, stream, kind)
) STRICT;

-- Sources are never deleted, so parts, versions and rows name theirs without a check of each.
-- A tombstone keeps its canonical key and sequence; source_key, content and hashes are null.
-- born: the sequence since which it is alive and about whom it is about; a shop that could not see it since then need
-- not learn that it ever was. raw: the batch that has the source row. turn: the next day, counted from 1970-01-01, on
-- which it becomes valid or expires. missed: whether the newest complete pass lacked it, whose pages may have shifted.
CREATE TABLE part (
    id          INTEGER PRIMARY KEY,
    source      INTEGER NOT NULL,
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
    changed_at  INTEGER NOT NULL,
    sequence    INTEGER,
    born        INTEGER,
    raw         INTEGER,
    turn        INTEGER,
    missed      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX part_source ON part (source, source_key) WHERE source_key IS NOT NULL;
CREATE UNIQUE INDEX part_key ON part (entity, company, number, kind, part);
CREATE UNIQUE INDEX part_sequence ON part (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX part_missed ON part (source) WHERE missed;
CREATE INDEX part_turn ON part (turn) WHERE turn IS NOT NULL;
CREATE INDEX part_tombstone ON part (changed_at) WHERE source_key IS NULL;
-- Lists walk by number within whom or what they are filtered by.
CREATE INDEX part_who ON part (entity, company, who, number) WHERE who IS NOT NULL;
CREATE INDEX part_what ON part (entity, company, what, number) WHERE what IS NOT NULL;

-- Earlier versions of parts, each from when it was stored until it was superseded.
CREATE TABLE history (
    id         INTEGER PRIMARY KEY,
    source     INTEGER NOT NULL,
    source_key TEXT NOT NULL,
    entity     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    company    TEXT NOT NULL,
    number     TEXT NOT NULL,
    part       TEXT NOT NULL,
    who        TEXT,
    what       TEXT,
    content    TEXT NOT NULL,
    hash       BLOB NOT NULL,
    run        TEXT NOT NULL,
    raw        INTEGER,
    since      INTEGER NOT NULL,
    until      INTEGER NOT NULL
) STRICT;
CREATE INDEX history_key ON history (entity, company, number, kind, part, until);
-- Lists of what was known walk as lists of what is.
CREATE INDEX history_who ON history (entity, company, who, number, until) WHERE who IS NOT NULL;
CREATE INDEX history_what ON history (entity, company, what, number, until) WHERE what IS NOT NULL;
CREATE INDEX history_until ON history (entity, until);

-- From which instant on the history of an entity is complete; of one that is not here, from its first record on.
CREATE TABLE pruned (
    entity TEXT PRIMARY KEY,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Source rows of new and changed parts as they were read, a batch compressed.
CREATE TABLE raw (
    id      INTEGER PRIMARY KEY,
    source  INTEGER NOT NULL,
    run     TEXT NOT NULL,
    at      INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes   BLOB NOT NULL
) STRICT;
CREATE INDEX raw_source ON raw (source, id);
CREATE INDEX raw_at ON raw (at);

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
    ended_at   INTEGER,
    watermark  TEXT,
    reached    TEXT
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
    shops       TEXT,
    raw         INTEGER,
    turn        INTEGER,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX staged_key ON staged (run, source_key);
CREATE INDEX staged_claim ON staged (run, company, number, part);

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

-- What was read to its end, with the mapping that took it.
CREATE TABLE taken (
    source   INTEGER NOT NULL REFERENCES source (id),
    identity TEXT NOT NULL,
    mapping  TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (source, identity)
) STRICT, WITHOUT ROWID;

-- Who may do what only one at a time may do, until when by the clock of the store; a new holder has a higher fence.
CREATE TABLE lease (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What connections keep beyond a request, each value saved only over the version that was read; what is secret is encrypted.
CREATE TABLE kept (
    connection TEXT NOT NULL,
    name       TEXT NOT NULL,
    value      BLOB NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (connection, name)
) STRICT, WITHOUT ROWID;

-- The last day of a zone, counted from 1970-01-01, whose turns of validity are in the feed.
CREATE TABLE turned (
    zone TEXT PRIMARY KEY,
    day  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Persons whose data was erased: what a source still says of them is left out.
CREATE TABLE erased (
    entity  TEXT NOT NULL,
    company TEXT NOT NULL,
    number  TEXT NOT NULL,
    part    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (entity, company, number, part)
) STRICT, WITHOUT ROWID;
