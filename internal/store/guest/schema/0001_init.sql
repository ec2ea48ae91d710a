-- What a holder keeps for strangers. Times are Unix milliseconds. Bodies lie
-- apart, so that comparing boxes with other holders reads small rows only.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('epoch', (random() & 0x7fffffffffffffff) | 1);

CREATE TABLE boxes (
  num            INTEGER PRIMARY KEY,
  mailbox        BLOB NOT NULL UNIQUE,
  contacts       INTEGER NOT NULL DEFAULT 0,
  contact_bytes  INTEGER NOT NULL DEFAULT 0,
  strangers      INTEGER NOT NULL DEFAULT 0,
  stranger_bytes INTEGER NOT NULL DEFAULT 0,
  print          BLOB -- over what is held; NULL once that changed
) STRICT;

CREATE INDEX boxes_print ON boxes (num) WHERE print IS NULL;

CREATE TABLE envelopes (
  row     INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: cursors name it
  id      BLOB NOT NULL UNIQUE,              -- SHA-256 of the body
  box     INTEGER NOT NULL REFERENCES boxes (num),
  hour    INTEGER NOT NULL,
  ends    INTEGER NOT NULL,
  contact INTEGER NOT NULL,
  work    INTEGER NOT NULL, -- of a stranger's stamp
  size    INTEGER NOT NULL
) STRICT;

CREATE INDEX envelopes_box ON envelopes (box, row);
CREATE INDEX envelopes_ends ON envelopes (ends);
CREATE INDEX envelopes_work ON envelopes (work) WHERE contact = 0;
CREATE INDEX envelopes_box_work ON envelopes (box, work) WHERE contact = 0;

CREATE TABLE bodies (
  row  INTEGER PRIMARY KEY REFERENCES envelopes (row) ON DELETE CASCADE,
  body BLOB NOT NULL
) STRICT;

-- Deletes as their owners signed them: other holders want to see that.
CREATE TABLE deletes (
  row     INTEGER PRIMARY KEY AUTOINCREMENT,
  mailbox BLOB NOT NULL,
  ends    INTEGER NOT NULL,
  signed  BLOB NOT NULL
) STRICT;

CREATE INDEX deletes_mailbox ON deletes (mailbox, row);
CREATE INDEX deletes_ends ON deletes (ends);

-- Envelopes that do not come back. A delete speaks for its own mailbox only:
-- whoever names another's envelope has buried nothing.
CREATE TABLE tombstones (
  id      BLOB NOT NULL,
  mailbox BLOB NOT NULL,
  proof   INTEGER NOT NULL REFERENCES deletes (row) ON DELETE CASCADE,
  PRIMARY KEY (id, mailbox)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstones_proof ON tombstones (proof);

CREATE TABLE sleepers (
  key    TEXT PRIMARY KEY,
  issued INTEGER NOT NULL,
  seq    INTEGER NOT NULL,
  record BLOB NOT NULL
) STRICT;

CREATE INDEX sleepers_issued ON sleepers (issued);

CREATE TABLE nets (
  net   TEXT NOT NULL,
  day   INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (day, net)
) STRICT, WITHOUT ROWID;
