package client

import (
	"context"
	"errors"
	"net"

	apiv1 "parley/gen/parley/api/v1"
	"parley/gen/parley/api/v1/apiv1connect"
)

// Options say where the node is. Exactly one of Socket and Address is set,
// unless DialContext reaches the node in another way.
type Options struct {
	Socket  string // path of the Unix socket: full rights, no token
	Address string // host:port on loopback, with Token
	Token   string
	// DialContext replaces the way to Socket or Address; optional.
	DialContext func(ctx context.Context) (net.Conn, error)
}

// Client calls one node.
type Client struct {
	Node     apiv1connect.NodeServiceClient
	Identity apiv1connect.IdentityServiceClient
	People   apiv1connect.PeopleServiceClient
	Messages apiv1connect.MessageServiceClient
	Events   apiv1connect.EventServiceClient
	Network  apiv1connect.NetworkServiceClient
	Admin    apiv1connect.AdminServiceClient
}

// Dial reaches the node and fails at once if there is none.
func Dial(ctx context.Context, opts Options) (*Client, error) {
	return nil, errors.New("not built yet")
}

// Close ends idle connections.
func (c *Client) Close() error { return nil }

// Follow calls fn for every event after cursor, in order, until ctx ends or fn
// or the node refuses. An empty cursor begins now.
func (c *Client) Follow(ctx context.Context, cursor string, fn func(*apiv1.Event) error) error {
	return errors.New("not built yet")
}
