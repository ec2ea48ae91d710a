package store

import (
	"context"
	"errors"
	"time"

	"parley/internal/chat"
	"parley/internal/live"
)

var errUnbuilt = errors.New("not built yet")

// DB is one open store. It is safe for concurrent use.
type DB struct{ health live.Value[Health] }

// Tx is one transaction. It is valid inside the function it was given to.
type Tx struct{}

func Open(cfg Config) (*DB, error)                                 { return nil, errUnbuilt }
func (db *DB) Close() error                                        { return errUnbuilt }
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error { return errUnbuilt }
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error  { return errUnbuilt }
func (db *DB) Bell() <-chan struct{}                               { return nil }
func (db *DB) Epoch() uint64                                       { return 0 }
func (db *DB) Health() *live.Value[Health]                         { return &db.health }
func (db *DB) Run(ctx context.Context) error                       { return errUnbuilt }
func (tx *Tx) Follow(c chat.Cursor, limit int) ([]LogRow, chat.Cursor, error) {
	return nil, c, errUnbuilt
}
func (tx *Tx) Head() chat.Cursor { return chat.Cursor{} }
func (tx *Tx) AppendLog(kind LogKind, conv chat.Conversation, msg chat.MessageID, account chat.AccountID) error {
	return errUnbuilt
}
func (tx *Tx) AddMessage(m *chat.Message) (added bool, err error) { return false, errUnbuilt }
func (tx *Tx) Message(id chat.MessageID) (*chat.Message, error)   { return nil, errUnbuilt }
func (tx *Tx) FindMessages(prefix string, limit int) ([]chat.MessageID, error) {
	return nil, errUnbuilt
}
func (tx *Tx) Messages(p Page) (msgs []chat.Message, prev, next string, err error) {
	return nil, "", "", errUnbuilt
}
func (tx *Tx) Search(query string, conv chat.Conversation, limit int) ([]chat.Message, error) {
	return nil, errUnbuilt
}
func (tx *Tx) History(id chat.MessageID) ([]chat.Message, error) { return nil, errUnbuilt }
func (tx *Tx) SetDelivery(id chat.MessageID, d DeviceDelivery) (changed bool, err error) {
	return false, errUnbuilt
}
func (tx *Tx) Deliveries(id chat.MessageID) ([]DeviceDelivery, error) { return nil, errUnbuilt }
func (tx *Tx) SetWait(id chat.MessageID, reason string) error         { return errUnbuilt }
func (tx *Tx) Tick(now time.Time) (chat.HLC, error)                   { return 0, errUnbuilt }
func (tx *Tx) Observe(h chat.HLC, now time.Time) error                { return errUnbuilt }
func (tx *Tx) NextNumber(conv chat.Conversation) (epoch, number uint64, err error) {
	return 0, 0, errUnbuilt
}
func (tx *Tx) Conversations() ([]Conversation, error) { return nil, errUnbuilt }
func (tx *Tx) Conversation(key chat.Conversation) (Conversation, error) {
	return Conversation{}, errUnbuilt
}
func (tx *Tx) MarkRead(key chat.Conversation, upTo chat.MessageID) (newly []chat.MessageID, err error) {
	return nil, errUnbuilt
}
func (tx *Tx) SetDraft(key chat.Conversation, text string) error                 { return errUnbuilt }
func (tx *Tx) Enqueue(r OutboxRow) (int64, error)                                { return 0, errUnbuilt }
func (tx *Tx) OutboxAccounts() ([]chat.AccountID, error)                         { return nil, errUnbuilt }
func (tx *Tx) OutboxSplit(account chat.AccountID, devices []chat.DeviceID) error { return errUnbuilt }
func (tx *Tx) OutboxDevices() ([]OutboxDevice, error)                            { return nil, errUnbuilt }
func (tx *Tx) Outbox(device chat.DeviceID, limit int) ([]OutboxRow, error)       { return nil, errUnbuilt }
func (tx *Tx) SaveSealed(id int64, session, blob []byte) error                   { return errUnbuilt }
func (tx *Tx) Unseal(device chat.DeviceID, session []byte) error                 { return errUnbuilt }
func (tx *Tx) OutboxRetry(id int64, next time.Time) error                        { return errUnbuilt }
func (tx *Tx) OutboxDone(id int64) error                                         { return errUnbuilt }
func (tx *Tx) OutboxDoneMessage(message chat.MessageID, device chat.DeviceID) error {
	return errUnbuilt
}
func (tx *Tx) OutboxExpired(now time.Time, limit int) ([]OutboxRow, error)   { return nil, errUnbuilt }
func (tx *Tx) Sessions(device chat.DeviceID) ([]SessionRow, error)           { return nil, errUnbuilt }
func (tx *Tx) SessionByID(id []byte) (SessionRow, error)                     { return SessionRow{}, errUnbuilt }
func (tx *Tx) PutSession(s SessionRow) error                                 { return errUnbuilt }
func (tx *Tx) DeleteSession(id []byte) error                                 { return errUnbuilt }
func (tx *Tx) Secret(kind, key string) ([]byte, error)                       { return nil, errUnbuilt }
func (tx *Tx) PutSecret(kind, key string, v []byte, expires time.Time) error { return errUnbuilt }
func (tx *Tx) DeleteSecret(kind, key string) error                           { return errUnbuilt }
func (tx *Tx) Secrets(kind string) ([]Secret, error)                         { return nil, errUnbuilt }
func (tx *Tx) Seen(hash [32]byte) (value []byte, ok bool, err error)         { return nil, false, errUnbuilt }
func (tx *Tx) MarkSeen(hash [32]byte, value []byte, until time.Time) error   { return errUnbuilt }
func (tx *Tx) Contact(a chat.AccountID) (Contact, error)                     { return Contact{}, errUnbuilt }
func (tx *Tx) Contacts() ([]Contact, error)                                  { return nil, errUnbuilt }
func (tx *Tx) PutContact(c Contact) error                                    { return errUnbuilt }
func (tx *Tx) DeleteContact(a chat.AccountID) error                          { return errUnbuilt }
func (tx *Tx) CountRequests() (int, error)                                   { return 0, errUnbuilt }
func (tx *Tx) Block(a chat.AccountID, at time.Time) error                    { return errUnbuilt }
func (tx *Tx) Unblock(a chat.AccountID) error                                { return errUnbuilt }
func (tx *Tx) Blocks() ([]chat.AccountID, error)                             { return nil, errUnbuilt }
func (tx *Tx) Record(key string) (Record, error)                             { return Record{}, errUnbuilt }
func (tx *Tx) PutRecord(r Record) error                                      { return errUnbuilt }
func (tx *Tx) Pin(a chat.AccountID) (Pin, error)                             { return Pin{}, errUnbuilt }
func (tx *Tx) PutPin(p Pin) error                                            { return errUnbuilt }
func (tx *Tx) PinByDevice(d chat.DeviceID) (Pin, error)                      { return Pin{}, errUnbuilt }
func (tx *Tx) Setting(key string) (string, error)                            { return "", errUnbuilt }
func (tx *Tx) SetSetting(key, value string) error                            { return errUnbuilt }
func (tx *Tx) RememberPeer(p RememberedPeer) error                           { return errUnbuilt }
func (tx *Tx) RememberedPeers(limit int) ([]RememberedPeer, error)           { return nil, errUnbuilt }
func (tx *Tx) RequestAnswer(id string) (hash [32]byte, answer []byte, err error) {
	return hash, nil, errUnbuilt
}
func (tx *Tx) PutRequestAnswer(id string, hash [32]byte, answer []byte, now time.Time) error {
	return errUnbuilt
}
func (tx *Tx) PutToken(t Token) error             { return errUnbuilt }
func (tx *Tx) Token(hash [32]byte) (Token, error) { return Token{}, errUnbuilt }
func (tx *Tx) Tokens() ([]Token, error)           { return nil, errUnbuilt }
func (tx *Tx) DeleteToken(hash [32]byte) error    { return errUnbuilt }
