-- Which row has a hash, by its first eight bytes. The newest rows are not in
-- here: they come in sorted groups, since each hash lands on a page of its own.
-- meta tells the last row that is.
CREATE TABLE message_ids (
  hash BLOB NOT NULL,
  row  INTEGER NOT NULL,
  PRIMARY KEY (hash, row)
) STRICT, WITHOUT ROWID;
INSERT INTO message_ids SELECT substr(id, 1, 8), row FROM messages ORDER BY 1, 2;
INSERT INTO meta (key, value) SELECT 'filed messages', coalesce(max(row), 0) FROM messages;
DROP INDEX messages_id;

CREATE TABLE seen_ids (
  hash BLOB NOT NULL,
  row  INTEGER NOT NULL,
  PRIMARY KEY (hash, row)
) STRICT, WITHOUT ROWID;
INSERT INTO seen_ids SELECT substr(hash, 1, 8), row FROM seen ORDER BY 1, 2;
INSERT INTO meta (key, value) SELECT 'filed seen', coalesce(max(row), 0) FROM seen;
DROP INDEX seen_hash;
