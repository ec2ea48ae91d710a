// Command echobot answers every message with its own words. It follows the
// node's log over gRPC and begins after a restart where it stopped.
//
//	umask 077
//	parley token create echobot --scope events:read,messages:read,messages:send > token
//	echobot 127.0.0.1:4717 token cursor
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 4 {
		log.Fatal("usage: echobot <host:port> <token file> <cursor file>")
	}
	if err := run(ctx, os.Args[1], os.Args[2], os.Args[3]); !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, tokenFile, cursorFile string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	node, err := client.Dial(ctx, client.Options{Address: address, Token: client.ReadToken(token)})
	if err != nil {
		return err
	}
	defer node.Close()
	cursor, _ := os.ReadFile(cursorFile) // none on the first run: begin now
	return node.Follow(ctx, string(cursor), func(e *apiv1.Event) error {
		if m := e.GetMessageAdded(); m != nil && !m.Own && m.Text != "" {
			if err := echo(ctx, node, m); err != nil {
				return err
			}
		}
		if err := os.WriteFile(cursorFile+".new", []byte(e.Cursor), 0o600); err != nil {
			return err
		}
		return os.Rename(cursorFile+".new", cursorFile)
	})
}

// echo answers once, however often it is tried: the request id is made of the
// message's own.
func echo(ctx context.Context, node *client.Client, m *apiv1.Message) error {
	return client.Retry(ctx, func(ctx context.Context) error {
		_, err := node.Messages.SendMessage(ctx, &apiv1.SendMessageRequest{
			Conversation: m.Conversation, Text: m.Text, ReplyTo: m.Id, RequestId: client.RequestID("echo", m.Id),
		})
		return err
	})
}
