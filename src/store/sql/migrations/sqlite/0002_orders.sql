-- Orders on their way to an ERP, the outbox, what the ERP answered, and the dead letters.

CREATE TABLE orders (
    id              TEXT PRIMARY KEY,
    shop            TEXT NOT NULL,
    reference       TEXT NOT NULL,
    our_reference   TEXT NOT NULL UNIQUE,
    company         TEXT NOT NULL,
    customer        TEXT NOT NULL,
    connection      TEXT NOT NULL,
    content         TEXT NOT NULL,
    body_hash       BLOB NOT NULL,
    idempotency_key TEXT,
    state           TEXT NOT NULL,
    -- The lease of the process that is sending it.
    holder          TEXT,
    previous        TEXT,
    generation      INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    postponed       INTEGER NOT NULL,
    not_before      INTEGER,
    erp_number      TEXT,
    reason          TEXT,
    accepted_at     INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    pursued_since   INTEGER NOT NULL,
    submitted_at    INTEGER,
    overdue         INTEGER NOT NULL,
    UNIQUE (shop, reference)
) STRICT;
CREATE UNIQUE INDEX orders_key ON orders (shop, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX orders_state ON orders (state, id);
-- Counts and ages are read from this index alone.
CREATE INDEX orders_ages ON orders (connection, state, overdue, accepted_at, submitted_at);
CREATE INDEX orders_number ON orders (connection, company, erp_number) WHERE erp_number IS NOT NULL;

CREATE TABLE transition (
    position   INTEGER PRIMARY KEY,
    order_id   TEXT NOT NULL REFERENCES orders (id),
    at         INTEGER NOT NULL,
    from_state TEXT,
    to_state   TEXT NOT NULL,
    cause      TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    who        TEXT NOT NULL
) STRICT;
CREATE INDEX transition_order ON transition (order_id, position);

-- Transitions that are still to be told as events, by their positions. There are rows only while the consumer
-- order_events has a position.
CREATE TABLE order_event (
    position INTEGER PRIMARY KEY
) STRICT;

-- One message for each order whose next step is still to be taken: the one of its newest generation. due_at is
-- not_before until it is published, and then the time at which it is published again.
CREATE TABLE outbox (
    order_id     TEXT PRIMARY KEY REFERENCES orders (id),
    generation   INTEGER NOT NULL,
    connection   TEXT NOT NULL,
    not_before   INTEGER NOT NULL,
    published_at INTEGER,
    publications INTEGER NOT NULL,
    due_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (connection, due_at, order_id);

CREATE TABLE dead_letter (
    id         TEXT PRIMARY KEY,
    connection TEXT NOT NULL,
    order_id   TEXT,
    generation INTEGER,
    bytes      BLOB NOT NULL,
    reason     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    -- What a person did about it: it stays as a trace.
    settled    TEXT,
    settled_at INTEGER,
    settled_by TEXT,
    why        TEXT
) STRICT, WITHOUT ROWID;

-- What was exchanged with the ERP over an order: the last calls of each kind, one in each slot.
CREATE TABLE order_call (
    order_id  TEXT NOT NULL REFERENCES orders (id),
    kind      TEXT NOT NULL,
    slot      INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    outcome   TEXT NOT NULL,
    exchanges TEXT NOT NULL,
    PRIMARY KEY (order_id, kind, slot)
) STRICT;
CREATE INDEX order_call_at ON order_call (at);

-- Connections whose orders a person has told to wait.
CREATE TABLE pause (
    connection TEXT PRIMARY KEY,
    since      INTEGER NOT NULL,
    who        TEXT NOT NULL,
    reason     TEXT NOT NULL
) STRICT;

CREATE TABLE position (
    consumer TEXT PRIMARY KEY,
    epoch    TEXT NOT NULL,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE order_line (
    order_id   TEXT NOT NULL REFERENCES orders (id),
    place      INTEGER NOT NULL,
    line       TEXT NOT NULL,
    content    TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (order_id, place)
) STRICT, WITHOUT ROWID;

-- Which ERP orders a shipment or an invoice names.
CREATE TABLE order_document (
    connection   TEXT NOT NULL,
    company      TEXT NOT NULL,
    order_number TEXT NOT NULL,
    entity       TEXT NOT NULL,
    number       TEXT NOT NULL,
    PRIMARY KEY (connection, company, order_number, entity, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX order_document_key ON order_document (entity, company, number);

CREATE TABLE answer_conflict (
    connection TEXT NOT NULL,
    entity     TEXT NOT NULL,
    company    TEXT NOT NULL,
    number     TEXT NOT NULL,
    order_id   TEXT,
    reason     TEXT NOT NULL,
    content    TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (connection, entity, company, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_conflict_order ON answer_conflict (order_id) WHERE order_id IS NOT NULL;
