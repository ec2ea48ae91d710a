-- What was left with others for a device that is away. It goes with its row of
-- the outbox.
CREATE TABLE deposits (
  outbox   INTEGER PRIMARY KEY REFERENCES outbox (id) ON DELETE CASCADE,
  mailbox  BLOB NOT NULL,
  stamp    BLOB,
  receipts BLOB,               -- packed as the proof of HELD
  held     INTEGER NOT NULL,
  next     INTEGER NOT NULL    -- when it is left there again
) STRICT;

-- How far each holder of our own mail was read.
CREATE TABLE cursors (
  mailbox BLOB NOT NULL,
  holder  TEXT NOT NULL,
  cursor  BLOB NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (mailbox, holder)
) STRICT, WITHOUT ROWID;

-- Mail in our custody that nothing opened yet. A ring.
CREATE TABLE unopened (
  row   INTEGER PRIMARY KEY,
  hash  BLOB NOT NULL UNIQUE,
  blob  BLOB NOT NULL,
  until INTEGER NOT NULL
) STRICT;
