package mailbox

import (
	"context"
	"fmt"
	"sync"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
)

// staleEnough answers end a question for a sleeper's last record, once one has
// it: signed, so that more of them only make an old copy less likely.
const staleEnough = chat.DHTMinAsked

// Stale is the copies of a record that the holders around its key kept after
// it expired. It satisfies identity.Sleepers.
func (c *Client) Stale(ctx context.Context, key string) ([][]byte, error) {
	place := SleeperPlace(key)
	region, err := c.region(ctx, place, regionLife)
	if err != nil {
		return nil, err
	}
	line, err := c.lines.take(place)
	if err != nil {
		return nil, fmt.Errorf("asking for a sleeper: %w", err)
	}
	defer c.lines.give(line)
	ctx, cancel := context.WithTimeout(ctx, chat.DepositTimeout)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before the wait
	asked := Holders(region)
	type copied struct {
		record   []byte
		answered bool
	}
	copies := make(chan copied, len(asked))
	for _, d := range asked {
		wg.Go(func() {
			record, err := c.askSleeper(ctx, line, d, key)
			if err != nil {
				c.log.Debug("holder not asked for a sleeper", "holder", d.Short(), "cause", err)
			}
			copies <- copied{record, err == nil}
		})
	}
	var out [][]byte
	answers := 0
	for range asked {
		one := <-copies
		if one.answered {
			answers++
		}
		if one.record != nil {
			out = append(out, one.record)
		}
		if answers >= staleEnough && len(out) > 0 {
			break
		}
	}
	if answers == 0 {
		return nil, fmt.Errorf("asking for a sleeper: %w", chat.ErrUnreachable)
	}
	return out, nil
}

func (c *Client) askSleeper(ctx context.Context, line Line, d chat.DeviceID, key string) (record []byte, err error) {
	k, err := dial(ctx, line, d)
	if err != nil {
		return nil, err
	}
	defer func() { k.end(err) }()
	a, err := k.ask(&wirev1.MailRequest{Body: &wirev1.MailRequest_Sleeper{Sleeper: &wirev1.MailSleeper{Key: key}}})
	switch {
	case err != nil:
		return nil, err
	case a.Status == wirev1.Status_STATUS_NOT_FOUND:
		return nil, nil
	}
	return a.Record, check(a)
}
