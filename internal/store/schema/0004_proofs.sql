-- One receipt proves many messages: it is kept once. Rows from before keep
-- their own copy in proof.
CREATE TABLE proofs (
  id    INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL
) STRICT;
ALTER TABLE deliveries ADD COLUMN shared INTEGER REFERENCES proofs (id);
