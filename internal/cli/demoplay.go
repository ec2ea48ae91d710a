package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

// The bundled dialogues; attribution in demochat/README.md.
//
//go:embed demochat/coffee-counter.jsonl.gz
var coffeeCounter []byte

//go:embed demochat/cinema-desk.jsonl.gz
var cinemaDesk []byte

const (
	firstLine   = 2 * time.Second  // after the page is up: time to look around
	betweenOwn  = 45 * time.Second // two lines nobody asked for
	answerAfter = 1500 * time.Millisecond
)

// cast are the people of the demo. The last is a stranger: his first line
// waits as a request.
var cast = []struct {
	name     string
	corpus   *[]byte
	stranger bool
}{
	{"Maya", &coffeeCounter, false},
	{"Ravi", &cinemaDesk, false},
	{"Lee", &coffeeCounter, true},
}

// demoLines reads what each of the cast says, in order.
func demoLines() ([][]string, error) {
	out := make([][]string, len(cast))
	for i, who := range cast {
		z, err := gzip.NewReader(bytes.NewReader(*who.corpus))
		if err != nil {
			return nil, fmt.Errorf("reading the bundled chat: %w", err)
		}
		s := bufio.NewScanner(z)
		for n := 0; s.Scan(); n++ {
			var row struct{ Text string }
			if err := json.Unmarshal(s.Bytes(), &row); err != nil {
				return nil, fmt.Errorf("reading the bundled chat: %w", err)
			}
			// Two people may share a corpus without saying the same.
			if n%len(cast) == i && len([]rune(row.Text)) <= 280 {
				out[i] = append(out[i], row.Text)
			}
		}
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("reading the bundled chat: %w", err)
		}
	}
	return out, nil
}

// play introduces the cast to the user's node and lets them talk until the
// demo ends.
func (d *demo) play(ctx context.Context, lines [][]string, open bool) error {
	actors := d.nodes[1 : 1+len(cast)]
	for i, actor := range actors {
		name := cast[i].name
		if _, err := actor.api.Identity.SetProfile(ctx, &apiv1.SetProfileRequest{DisplayName: &name}); err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
		if _, err := actor.api.People.AddContact(ctx, &apiv1.AddContactRequest{Who: d.you.account, Petname: "you", Trusted: true}); err != nil {
			return fmt.Errorf("introducing %s: %w", name, err)
		}
		if cast[i].stranger {
			continue
		}
		if _, err := d.you.api.People.AddContact(ctx, &apiv1.AddContactRequest{Who: actor.account, Petname: name}); err != nil {
			return fmt.Errorf("introducing %s: %w", name, err)
		}
	}
	d.app.note("%d nodes run here, yours is one more. Maya and Ravi will write to you; write back and they answer. Ctrl-C ends it and removes everything.", len(d.nodes))
	d.app.note("Their lines are from Taskmaster-3 and -4 by Byrne et al., Google LLC (CC-BY-4.0).")
	again := "parley --socket " + shellWord(d.you.cfg.API.Socket)
	if err := d.app.showPage(ctx, d.you.cfg.API.Socket, again, open); err != nil {
		return err
	}
	d.app.note("The same words before any command speak to your demo node: `%s status`.", again)
	talk, ctx := errgroup.WithContext(ctx)
	for i, actor := range actors {
		says := make(chan struct{}, 1)
		talk.Go(func() error { return actor.listen(ctx, d.you.account, says) })
		talk.Go(func() error { return actor.talk(ctx, d.you.account, lines[i], says, cast[i].stranger) })
	}
	return talk.Wait()
}

// listen wakes the actor when the user wrote, and reads what came.
func (n *demoNode) listen(ctx context.Context, you string, says chan<- struct{}) error {
	err := n.api.Follow(ctx, "", func(e *apiv1.Event) error {
		m := e.GetMessageAdded()
		if m == nil || m.Own || m.Author != you {
			return nil
		}
		select {
		case says <- struct{}{}:
		default: // an answer is already on its way
		}
		_, err := n.api.Messages.MarkRead(ctx, &apiv1.MarkReadRequest{Conversation: m.Conversation, Message: m.Id})
		return err
	})
	return untilEnd(ctx, err)
}

// talk says one line after the other: now and then, and soon after the user
// wrote. A stranger says one line and waits.
func (n *demoNode) talk(ctx context.Context, you string, lines []string, heard <-chan struct{}, stranger bool) error {
	wait := time.NewTimer(firstLine)
	defer wait.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-heard:
			wait.Reset(answerAfter)
			select {
			case <-ctx.Done():
				return nil
			case <-wait.C:
			}
		case <-wait.C:
		}
		err := client.Retry(ctx, func(ctx context.Context) error {
			_, err := n.api.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{Conversation: "people/" + you, Text: lines[i%len(lines)]})
			return err
		})
		if err := untilEnd(ctx, err); err != nil {
			return fmt.Errorf("talking: %w", err)
		}
		if !stranger {
			wait.Reset(betweenOwn)
		}
	}
}

// untilEnd is err, unless the demo is over.
func untilEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
