-- Times are Unix milliseconds, 0 for "never". Strangers' tables are rings: a
-- row put again moves to the newest number, and numbers too old fall out.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who wrote: an author's device in one numbering epoch. Each message names it
-- by number, which saves a hundred bytes a message.
CREATE TABLE sources (
  id     INTEGER PRIMARY KEY,
  author TEXT NOT NULL,
  device TEXT NOT NULL,
  epoch  INTEGER NOT NULL,
  UNIQUE (author, device, epoch)
) STRICT;

CREATE TABLE conversations (
  id          INTEGER PRIMARY KEY,
  key         TEXT NOT NULL UNIQUE,
  unread      INTEGER NOT NULL DEFAULT 0,
  read_to     BLOB,             -- message id
  read_pos    BLOB,             -- its position
  draft       TEXT NOT NULL DEFAULT '',
  next_number INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE messages (
  row       INTEGER PRIMARY KEY, -- order of arrival, also the row in the full text
  id        BLOB NOT NULL,
  conv      INTEGER NOT NULL REFERENCES conversations (id),
  source    INTEGER NOT NULL REFERENCES sources (id),
  number    INTEGER NOT NULL,
  time      INTEGER NOT NULL,    -- hybrid logical clock
  received  INTEGER NOT NULL,
  kind      INTEGER NOT NULL,
  own       INTEGER NOT NULL,
  unread    INTEGER NOT NULL,
  deleted   INTEGER NOT NULL,
  reactions INTEGER NOT NULL,    -- 1 if table reactions has any
  delivery  INTEGER NOT NULL,
  reason    TEXT,
  target    BLOB,
  text_at   INTEGER NOT NULL,    -- the text lies inside content, from here
  text_len  INTEGER NOT NULL,
  text      TEXT,                -- or here, when edited or not found inside
  edit_pos  BLOB,                -- position of the edit that is shown
  content   BLOB                 -- exact bytes; NULL once deleted
) STRICT;

-- Eight bytes of the hash find the row; the row holds the rest.
CREATE INDEX messages_id ON messages (substr(id, 1, 8));
CREATE INDEX messages_target ON messages (target) WHERE kind > 1;
CREATE INDEX messages_unread ON messages (conv) WHERE unread = 1;

-- Texts in the order people read them: position is time, author, device,
-- epoch, number.
CREATE TABLE timeline (
  conv INTEGER NOT NULL,
  pos  BLOB NOT NULL,
  msg  INTEGER NOT NULL,
  PRIMARY KEY (conv, pos, msg)
) STRICT, WITHOUT ROWID;

-- The newest reaction of each account on a message; empty when taken back.
CREATE TABLE reactions (
  msg    INTEGER NOT NULL REFERENCES messages (row),
  author TEXT NOT NULL,
  emoji  TEXT NOT NULL,
  pos    BLOB NOT NULL,
  PRIMARY KEY (msg, author)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
  msg    INTEGER NOT NULL REFERENCES messages (row),
  device TEXT NOT NULL,
  state  INTEGER NOT NULL,
  reason TEXT NOT NULL,
  at     INTEGER NOT NULL,
  proof  BLOB,
  PRIMARY KEY (msg, device)
) STRICT, WITHOUT ROWID;

-- No text is stored here a second time: content is empty, only the index is.
CREATE VIRTUAL TABLE fulltext USING fts5 (
  text, place, content = '', columnsize = 0,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co M* So'"
);
INSERT INTO fulltext (fulltext, rank) VALUES ('secure-delete', 1);

CREATE TABLE log (
  seq     INTEGER PRIMARY KEY, -- never empty once written, so never reused
  kind    INTEGER NOT NULL,
  conv    INTEGER,
  msg     ANY,                 -- row of a message, or its id when unknown here
  account TEXT,
  at      INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
  id       INTEGER PRIMARY KEY AUTOINCREMENT, -- a finished number never names another row
  message  BLOB NOT NULL,
  account  TEXT NOT NULL,
  device   TEXT NOT NULL,      -- empty until the devices are known
  content  BLOB,
  session  BLOB,
  blob     BLOB,
  created  INTEGER NOT NULL,
  expires  INTEGER NOT NULL,
  next_try INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  control  INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_device ON outbox (device); -- and by it in order of id
CREATE INDEX outbox_message ON outbox (substr(message, 1, 8));
CREATE INDEX outbox_expires ON outbox (expires);

CREATE TABLE sessions (
  id       BLOB PRIMARY KEY,
  device   TEXT NOT NULL,
  setup    INTEGER NOT NULL,
  ours     INTEGER NOT NULL,
  answered INTEGER NOT NULL,
  extra    BLOB,               -- sealed
  state    BLOB NOT NULL       -- sealed
) STRICT;
CREATE INDEX sessions_device ON sessions (device, setup);

CREATE TABLE secrets (
  kind    TEXT NOT NULL,
  key     TEXT NOT NULL,
  value   BLOB NOT NULL,       -- sealed
  expires INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE seen (
  row   INTEGER PRIMARY KEY,
  hash  BLOB NOT NULL,
  value BLOB,
  until INTEGER NOT NULL
) STRICT;
CREATE INDEX seen_hash ON seen (substr(hash, 1, 8));

CREATE TABLE contacts (
  account      TEXT PRIMARY KEY,
  petname      TEXT NOT NULL,
  display_name TEXT NOT NULL,
  state        INTEGER NOT NULL,
  trusted      INTEGER NOT NULL,
  verified     INTEGER NOT NULL,
  added        INTEGER NOT NULL,
  changed      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX contacts_request ON contacts (state) WHERE state = 1;

CREATE TABLE blocks (
  account TEXT PRIMARY KEY,
  at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
  row     INTEGER PRIMARY KEY,
  key     TEXT NOT NULL UNIQUE,
  value   BLOB NOT NULL,
  seq     INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  fetched INTEGER NOT NULL
) STRICT;

CREATE TABLE pins (
  row      INTEGER PRIMARY KEY,
  account  TEXT NOT NULL UNIQUE,
  seq      INTEGER NOT NULL,
  hash     BLOB NOT NULL,
  manifest BLOB NOT NULL
) STRICT;
CREATE TABLE pin_devices (
  device  TEXT NOT NULL,
  account TEXT NOT NULL REFERENCES pins (account) ON DELETE CASCADE,
  since   INTEGER NOT NULL,
  PRIMARY KEY (device, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX pin_devices_account ON pin_devices (account);

CREATE TABLE peers (
  row    INTEGER PRIMARY KEY,
  device TEXT NOT NULL UNIQUE,
  addrs  TEXT NOT NULL,        -- one a line
  seen   INTEGER NOT NULL
) STRICT;

CREATE TABLE requests (
  row    INTEGER PRIMARY KEY,
  id     TEXT NOT NULL UNIQUE,
  hash   BLOB NOT NULL,
  answer BLOB NOT NULL,
  at     INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
  hash    BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  scopes  TEXT NOT NULL,       -- one a line
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT;

INSERT INTO meta (key, value) VALUES
  ('epoch', (random() & 0x7fffffffffffffff) | 1),
  ('number_epoch', CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  ('indexed', 0);
