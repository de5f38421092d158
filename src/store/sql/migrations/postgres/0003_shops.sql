-- What shops see: their keys, which customers are in their scope, and what their lists are filtered by.

CREATE TABLE api_key (
    name       TEXT COLLATE "C" NOT NULL,
    shop       TEXT COLLATE "C" NOT NULL,
    scopes     TEXT COLLATE "C" NOT NULL,
    hash       BYTEA NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    last_used  BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE revoked_at IS NULL;

-- The scope that a shop's memberships were judged by, and the epoch of the cursors that follow from it.
CREATE TABLE shop (
    name   TEXT COLLATE "C" PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL,
    epoch  TEXT COLLATE "C" NOT NULL
);

-- Customers in a shop's scope, from one sequence of the feed until another; without an end they still are.
CREATE TABLE member (
    shop     TEXT COLLATE "C" NOT NULL,
    company  TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    since    BIGINT NOT NULL,
    until    BIGINT,
    PRIMARY KEY (shop, company, customer, since)
);
CREATE UNIQUE INDEX member_now ON member (company, customer, shop) WHERE until IS NULL;

-- Earlier lives of parts: under another source, about somebody else, or before their deletion.
CREATE TABLE formerly (
    part   BIGINT NOT NULL REFERENCES part (id),
    source BIGINT NOT NULL,
    who    TEXT COLLATE "C",
    since  BIGINT NOT NULL,
    until  BIGINT NOT NULL,
    PRIMARY KEY (part, until)
);
CREATE FUNCTION part_formerly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO formerly (part, source, who, since, until) VALUES (
        OLD.id, OLD.source, OLD.who, COALESCE(OLD.born, 0),
        CASE WHEN OLD.source_key IS NULL THEN OLD.sequence ELSE NEW.sequence END
    ) ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER part_formerly BEFORE UPDATE OF source, source_key, who ON part FOR EACH ROW
    WHEN (OLD.sequence IS NOT NULL AND NEW.source_key IS NOT NULL
        AND (OLD.source_key IS NULL OR OLD.source <> NEW.source OR OLD.who IS DISTINCT FROM NEW.who))
    EXECUTE FUNCTION part_formerly();

-- Values that lists are filtered by and that a record has several of.
CREATE TABLE term (
    name    TEXT COLLATE "C" NOT NULL,
    company TEXT COLLATE "C" NOT NULL,
    value   TEXT COLLATE "C" NOT NULL,
    number  TEXT COLLATE "C" NOT NULL,
    part    BIGINT NOT NULL REFERENCES part (id),
    PRIMARY KEY (name, company, value, number)
);
CREATE INDEX term_part ON term (part);
CREATE FUNCTION part_term() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM term WHERE part = NEW.id;
    END IF;
    INSERT INTO term
        SELECT NEW.kind || '.group', NEW.company, g.value, NEW.number, NEW.id
            FROM json_array_elements_text(NEW.content::json -> 'groups') g (value)
        UNION ALL SELECT 'product.gtin', NEW.company, NEW.content::json ->> 'gtin', NEW.number, NEW.id
            WHERE NEW.kind = 'product' AND NEW.content::json ->> 'gtin' IS NOT NULL
        UNION ALL SELECT 'product.gtin', NEW.company, u.value ->> 'gtin', NEW.number, NEW.id
            FROM json_array_elements(NEW.content::json -> 'units') u (value)
            WHERE NEW.kind = 'product' AND u.value ->> 'gtin' IS NOT NULL
        ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER part_term_new AFTER INSERT ON part FOR EACH ROW
    WHEN (NEW.kind = 'customer' OR NEW.kind = 'product') EXECUTE FUNCTION part_term();
CREATE TRIGGER part_term_changed AFTER UPDATE OF content ON part FOR EACH ROW
    WHEN (NEW.kind = 'customer' OR NEW.kind = 'product') EXECUTE FUNCTION part_term();
