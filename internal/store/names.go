package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"parley/internal/chat"
)

// maxNames bounds each cache of numbers; at the bound it starts anew. Large
// enough for the devices and conversations a node meets between restarts.
const maxNames = 8192

// source is who wrote: a device of an author in one numbering epoch.
type source struct {
	author chat.AccountID
	device chat.DeviceID
	epoch  uint64
}

// names remembers which number stands for which source or conversation. Such
// rows are never changed or removed, so a remembered number stays right. Only
// committed numbers get in: a rolled-back one may come to mean another.
type names struct {
	mu      sync.RWMutex
	sources cache[source]
	convs   cache[chat.Conversation]
}

type cache[K comparable] struct {
	ids  map[K]int64
	keys map[int64]K
}

func (c *cache[K]) put(k K, id int64) {
	if c.ids == nil || len(c.ids) >= maxNames {
		c.ids, c.keys = make(map[K]int64), make(map[int64]K)
	}
	c.ids[k], c.keys[id] = id, k
}

// freshNames are numbers learned inside a transaction.
type freshNames struct {
	sources map[source]int64
	convs   map[chat.Conversation]int64
}

func (n *names) share(f freshNames) {
	if f.sources == nil && f.convs == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, id := range f.sources {
		n.sources.put(k, id)
	}
	for k, id := range f.convs {
		n.convs.put(k, id)
	}
}

// sourceID is the number of k, made if need be.
func (tx *Tx) sourceID(k source) (int64, error) {
	tx.db.names.mu.RLock()
	id, ok := tx.db.names.sources.ids[k]
	tx.db.names.mu.RUnlock()
	if ok {
		return id, nil
	}
	if id, ok := tx.fresh.sources[k]; ok {
		return id, nil
	}
	id, err := tx.c.number(0, `SELECT id FROM sources WHERE author = ? AND device = ? AND epoch = ?`, k.author, k.device, k.epoch)
	if err == nil && id == 0 {
		err = tx.c.exec(`INSERT INTO sources (author, device, epoch) VALUES (?, ?, ?)`, k.author, k.device, k.epoch)
		id = tx.c.db.LastInsertRowID()
	}
	if err != nil {
		return 0, fmt.Errorf("naming a source: %w", err)
	}
	if tx.fresh.sources == nil {
		tx.fresh.sources = make(map[source]int64)
	}
	tx.fresh.sources[k] = id
	return id, nil
}

func (tx *Tx) source(id int64) (source, error) {
	tx.db.names.mu.RLock()
	k, ok := tx.db.names.sources.keys[id]
	tx.db.names.mu.RUnlock()
	if ok {
		return k, nil
	}
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		k = source{chat.AccountID(s.ColumnText(0)), chat.DeviceID(s.ColumnText(1)), uint64(s.ColumnInt64(2))}
		return nil
	}, `SELECT author, device, epoch FROM sources WHERE id = ?`, id)
	if err == nil && !tx.write { // a snapshot sees committed rows only
		tx.db.names.share(freshNames{sources: map[source]int64{k: id}})
	}
	return k, err
}

// conversationID is the number of key, 0 if there is none.
func (tx *Tx) conversationID(key chat.Conversation) (int64, error) {
	tx.db.names.mu.RLock()
	id, ok := tx.db.names.convs.ids[key]
	tx.db.names.mu.RUnlock()
	if ok {
		return id, nil
	}
	if id, ok := tx.fresh.convs[key]; ok {
		return id, nil
	}
	return tx.c.number(0, `SELECT id FROM conversations WHERE key = ?`, key)
}

// makeConversation is the number of key, made if need be.
func (tx *Tx) makeConversation(key chat.Conversation) (int64, error) {
	if key == "" {
		return 0, fmt.Errorf("%w: no conversation named", chat.ErrInvalid)
	}
	id, err := tx.conversationID(key)
	if err != nil || id != 0 {
		return id, err
	}
	if err := tx.c.exec(`INSERT INTO conversations (key) VALUES (?)`, key); err != nil {
		return 0, fmt.Errorf("naming a conversation: %w", err)
	}
	id = tx.c.db.LastInsertRowID()
	if tx.fresh.convs == nil {
		tx.fresh.convs = make(map[chat.Conversation]int64)
	}
	tx.fresh.convs[key] = id
	return id, nil
}

func (tx *Tx) conversationKey(id int64) (chat.Conversation, error) {
	tx.db.names.mu.RLock()
	key, ok := tx.db.names.convs.keys[id]
	tx.db.names.mu.RUnlock()
	if ok {
		return key, nil
	}
	err := tx.c.one(func(s *sqlite3.Stmt) error {
		key = chat.Conversation(s.ColumnText(0))
		return nil
	}, `SELECT key FROM conversations WHERE id = ?`, id)
	if err == nil && !tx.write {
		tx.db.names.share(freshNames{convs: map[chat.Conversation]int64{key: id}})
	}
	if errors.Is(err, chat.ErrNotFound) {
		return "", nil
	}
	return key, err
}
