package mailbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// laterWait and laterTries: mail that Receive had no time for.
	laterWait  = time.Second
	laterTries = 30
	// maxRetried is how much of our custody is tried again after a round that
	// brought something: a box trial of each costs a tenth of a millisecond.
	maxRetried = chat.ReceiptIDs
)

// hand gives blobs to Receive until each has a fate, and takes those that
// nothing opens into our custody.
func (c *Client) hand(ctx context.Context, blobs []chat.Sealed) (map[[32]byte]Fate, error) {
	out := map[[32]byte]Fate{}
	for try := 0; len(blobs) > 0; {
		some := blobs[:min(len(blobs), chat.ReceiptIDs)]
		fates, err := c.receive(ctx, some)
		if err == nil && len(fates) != len(some) {
			err = errors.New("a fate is missing")
		}
		if err != nil {
			return nil, fmt.Errorf("handing on mail: %w", err)
		}
		var later, strange []chat.Sealed
		for i, fate := range fates {
			out[sha256.Sum256(some[i])] = fate
			switch fate {
			case Later:
				later = append(later, some[i])
			case Unopened:
				strange = append(strange, some[i])
			}
		}
		if err := c.keep(ctx, strange); err != nil {
			return nil, err
		}
		blobs = append(later, blobs[len(some):]...)
		if len(later) == 0 {
			continue
		}
		if try++; try > laterTries {
			break
		}
		select {
		case <-time.After(laterWait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// keep takes mail that nothing opens yet into our custody: it must not fill
// our boxes, and a message before it may still be under way.
func (c *Client) keep(ctx context.Context, strange []chat.Sealed) error {
	if len(strange) == 0 {
		return nil
	}
	until := time.Now().Add(c.pace.of(chat.MailLife))
	return c.db.Write(ctx, func(tx *store.Tx) error {
		for _, blob := range strange {
			if err := tx.PutUnopened(sha256.Sum256(blob), blob, until); err != nil {
				return err
			}
		}
		return nil
	})
}

// retry tries mail in our custody again.
func (c *Client) retry(ctx context.Context, news bool) {
	if !news {
		return
	}
	var blobs []chat.Sealed
	err := c.db.Read(ctx, func(tx *store.Tx) (err error) {
		blobs, err = tx.Unopened(maxRetried)
		return err
	})
	var fates []Fate
	if err == nil && len(blobs) > 0 {
		fates, err = c.receive(ctx, blobs)
	}
	if err == nil && len(fates) == len(blobs) && len(fates) > 0 {
		err = c.db.Write(ctx, func(tx *store.Tx) error {
			for i, fate := range fates {
				if fate != Taken {
					continue
				}
				if err := tx.DropUnopened(sha256.Sum256(blobs[i])); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("mail that did not open was not tried again", "cause", err)
	}
}
