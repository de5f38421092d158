-- What shops see: their keys, which customers are in their scope, and what their lists are filtered by.

CREATE TABLE api_key (
    name       TEXT NOT NULL,
    shop       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    hash       BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    last_used  INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE revoked_at IS NULL;

-- The scope that a shop's memberships were judged by, and the epoch of the cursors that follow from it.
CREATE TABLE shop (
    name   TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    epoch  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Customers in a shop's scope, from one sequence of the feed until another; without an end they still are.
CREATE TABLE member (
    shop     TEXT NOT NULL,
    company  TEXT NOT NULL,
    customer TEXT NOT NULL,
    since    INTEGER NOT NULL,
    until    INTEGER,
    PRIMARY KEY (shop, company, customer, since)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX member_now ON member (company, customer, shop) WHERE until IS NULL;

-- Earlier lives of parts: under another source, about somebody else, or before their deletion.
CREATE TABLE formerly (
    part   INTEGER NOT NULL REFERENCES part (id),
    source INTEGER NOT NULL,
    who    TEXT,
    since  INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (part, until)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER part_formerly BEFORE UPDATE OF source, source_key, who ON part
WHEN OLD.sequence IS NOT NULL AND NEW.source_key IS NOT NULL
    AND (OLD.source_key IS NULL OR OLD.source <> NEW.source OR OLD.who IS NOT NEW.who)
BEGIN
    INSERT INTO formerly (part, source, who, since, until) VALUES (
        OLD.id, OLD.source, OLD.who, COALESCE(OLD.born, 0),
        CASE WHEN OLD.source_key IS NULL THEN OLD.sequence ELSE NEW.sequence END
    ) ON CONFLICT DO NOTHING;
END;

-- Values that lists are filtered by and that a record has several of.
CREATE TABLE term (
    name    TEXT NOT NULL,
    company TEXT NOT NULL,
    value   TEXT NOT NULL,
    number  TEXT NOT NULL,
    part    INTEGER NOT NULL REFERENCES part (id),
    PRIMARY KEY (name, company, value, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX term_part ON term (part);
CREATE TRIGGER part_term_new AFTER INSERT ON part WHEN NEW.kind IN ('customer', 'product') BEGIN
    INSERT OR IGNORE INTO term
        SELECT NEW.kind || '.group', NEW.company, g.value, NEW.number, NEW.id
            FROM json_each(NEW.content, '$.groups') g WHERE g.type = 'text'
        UNION ALL SELECT 'product.gtin', NEW.company, json_extract(NEW.content, '$.gtin'), NEW.number, NEW.id
            WHERE NEW.kind = 'product' AND json_type(NEW.content, '$.gtin') = 'text'
        UNION ALL SELECT 'product.gtin', NEW.company, json_extract(u.value, '$.gtin'), NEW.number, NEW.id
            FROM json_each(NEW.content, '$.units') u
            WHERE NEW.kind = 'product' AND json_type(u.value, '$.gtin') = 'text';
END;
CREATE TRIGGER part_term_changed AFTER UPDATE OF content ON part WHEN NEW.kind IN ('customer', 'product') BEGIN
    DELETE FROM term WHERE part = NEW.id;
    INSERT OR IGNORE INTO term
        SELECT NEW.kind || '.group', NEW.company, g.value, NEW.number, NEW.id
            FROM json_each(NEW.content, '$.groups') g WHERE g.type = 'text'
        UNION ALL SELECT 'product.gtin', NEW.company, json_extract(NEW.content, '$.gtin'), NEW.number, NEW.id
            WHERE NEW.kind = 'product' AND json_type(NEW.content, '$.gtin') = 'text'
        UNION ALL SELECT 'product.gtin', NEW.company, json_extract(u.value, '$.gtin'), NEW.number, NEW.id
            FROM json_each(NEW.content, '$.units') u
            WHERE NEW.kind = 'product' AND json_type(u.value, '$.gtin') = 'text';
END;
