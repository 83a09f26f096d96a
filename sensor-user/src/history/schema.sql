-- Who: what tells principals apart, the client's host included. Never changed once written.
CREATE TABLE principal (
  id INTEGER PRIMARY KEY,
  identity TEXT NOT NULL UNIQUE,      -- all of the below, joined
  system TEXT NOT NULL,               -- db.system.name
  server TEXT NOT NULL,               -- the server on this host
  server_port INTEGER NOT NULL,
  user TEXT,                          -- database user, NULL when not known
  client TEXT NOT NULL,               -- client.address, 'local' or 'unknown'
  os_uid INTEGER, os_user TEXT,       -- of clients on this host
  login_uid INTEGER, login_user TEXT
) STRICT;

CREATE TABLE database (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE           -- db.namespace
) STRICT;

-- Statement shapes: text without any literal.
CREATE TABLE statement (
  id INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL,          -- as exported: data_access.query.fingerprint
  operation TEXT NOT NULL,            -- db.operation.name
  tables TEXT NOT NULL,               -- JSON list, as the statement names them
  summary TEXT NOT NULL,              -- db.query.summary
  text TEXT NOT NULL,                 -- db.query.text, sanitised
  parsed INTEGER NOT NULL,
  egress_route TEXT,                  -- the server's own hands
  egress_destination TEXT
) STRICT;
CREATE INDEX statement_fingerprint ON statement (fingerprint);

-- Which statements touch a table; `bare` is the name without its schema.
CREATE TABLE statement_table (
  statement INTEGER NOT NULL REFERENCES statement (id) ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  bare TEXT NOT NULL COLLATE NOCASE,
  PRIMARY KEY (statement, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX statement_table_bare ON statement_table (bare);

-- Volumes. Every increment is in exactly one of the three tables: minutes become hours, hours become days, days go.
-- The sum over the three is all there is. Times are seconds since 1970, `time` that of the bucket's begin.
CREATE TABLE minute (
  time INTEGER NOT NULL,
  principal INTEGER NOT NULL,
  database INTEGER NOT NULL,
  statement INTEGER NOT NULL,
  rows_returned INTEGER NOT NULL,
  rows_written INTEGER NOT NULL,
  rows_estimated INTEGER NOT NULL,    -- returned beyond rows_returned by estimate: the exact count never came
  bytes_sent INTEGER NOT NULL,
  bytes_received INTEGER NOT NULL,
  queries INTEGER NOT NULL,
  statement_rows INTEGER NOT NULL,    -- of the largest single statement
  statement_bytes INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  records BLOB,                       -- sketch of distinct records, NULL where keys are not known
  PRIMARY KEY (time, principal, database, statement)
) STRICT, WITHOUT ROWID;
CREATE TABLE hour (
  time INTEGER NOT NULL, principal INTEGER NOT NULL, database INTEGER NOT NULL, statement INTEGER NOT NULL,
  rows_returned INTEGER NOT NULL, rows_written INTEGER NOT NULL, rows_estimated INTEGER NOT NULL,
  bytes_sent INTEGER NOT NULL, bytes_received INTEGER NOT NULL, queries INTEGER NOT NULL,
  statement_rows INTEGER NOT NULL, statement_bytes INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, records BLOB,
  PRIMARY KEY (time, principal, database, statement)
) STRICT, WITHOUT ROWID;
CREATE TABLE day (
  time INTEGER NOT NULL, principal INTEGER NOT NULL, database INTEGER NOT NULL, statement INTEGER NOT NULL,
  rows_returned INTEGER NOT NULL, rows_written INTEGER NOT NULL, rows_estimated INTEGER NOT NULL,
  bytes_sent INTEGER NOT NULL, bytes_received INTEGER NOT NULL, queries INTEGER NOT NULL,
  statement_rows INTEGER NOT NULL, statement_bytes INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, records BLOB,
  PRIMARY KEY (time, principal, database, statement)
) STRICT, WITHOUT ROWID;

-- What the detector remembers, as it gives it, and what came since then.
CREATE TABLE detector (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  time INTEGER NOT NULL,
  version INTEGER NOT NULL,
  state BLOB NOT NULL
) STRICT;
CREATE TABLE since_detector (
  time_ns INTEGER NOT NULL,
  principal INTEGER NOT NULL,
  database INTEGER NOT NULL,
  statement INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  queries INTEGER NOT NULL
) STRICT;

CREATE TABLE alert (
  id TEXT PRIMARY KEY,                -- log.record.uid
  time_ns INTEGER NOT NULL,
  lane TEXT NOT NULL,                 -- 'threshold', or the lane that weighs most
  rule TEXT NOT NULL,                 -- the threshold's name, or the lane again
  severity TEXT NOT NULL,
  subject TEXT NOT NULL,              -- whom it is about, as acknowledgements hold for
  user TEXT, client TEXT NOT NULL, os_user TEXT, server TEXT NOT NULL,
  database TEXT NOT NULL,
  measure TEXT NOT NULL,
  observed INTEGER NOT NULL,
  expected INTEGER NOT NULL,          -- the limit, or what was to be expected
  window INTEGER NOT NULL,            -- seconds, 0 for one statement
  since_ns INTEGER NOT NULL,
  tables TEXT NOT NULL,               -- JSON list
  evidence TEXT NOT NULL,             -- JSON list
  statements TEXT NOT NULL,           -- JSON list of {summary, text, amount}
  explanation TEXT NOT NULL,          -- as it was told
  suppressed_by INTEGER               -- the fate that kept it from being told
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_time ON alert (time_ns);

-- What people said of alerts.
CREATE TABLE fate (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  alert TEXT NOT NULL,
  time INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('expected', 'new-normal', 'false')),
  rule TEXT NOT NULL,
  subject TEXT NOT NULL,
  until INTEGER,                      -- NULL: no end
  up_to INTEGER,                      -- NULL: any amount
  reason TEXT NOT NULL,
  told_by TEXT NOT NULL,
  applied INTEGER                     -- when the detector took a new normal up
) STRICT;
