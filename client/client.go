package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"parley/gen/parley/api/v1/apiv1connect"
)

// Options say where the node is. Exactly one of Socket and Address is set,
// unless DialContext reaches the node in another way.
type Options struct {
	Socket  string // path of the Unix socket: full rights, no token
	Address string // host:port on loopback, with Token
	Token   string
	// DialContext replaces the way to Socket or Address; optional. Address
	// still names the host.
	DialContext func(ctx context.Context) (net.Conn, error)
}

// Client calls one node. It is safe for concurrent use.
type Client struct {
	Node     apiv1connect.NodeServiceClient
	Identity apiv1connect.IdentityServiceClient
	People   apiv1connect.PeopleServiceClient
	Messages apiv1connect.MessageServiceClient
	Events   apiv1connect.EventServiceClient
	Network  apiv1connect.NetworkServiceClient
	Mail     apiv1connect.MailServiceClient
	Admin    apiv1connect.AdminServiceClient

	transport *http.Transport
}

const (
	// dialTime is generous for a local connection.
	dialTime = 5 * time.Second
	// pingAfter and pingTime end a connection to a node that was frozen.
	pingAfter = 30 * time.Second
	pingTime  = 15 * time.Second
)

// Dial reaches the node and fails at once if nobody answers. With a token, the
// node must first prove that it knows the token: whoever else took the port
// learns nothing.
func Dial(ctx context.Context, opts Options) (*Client, error) {
	dial, host, err := opts.way()
	if err != nil {
		return nil, err
	}
	c := &Client{transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		Protocols:          new(http.Protocols),
		HTTP2:              &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		DisableCompression: true,
		IdleConnTimeout:    pingAfter,
	}}
	c.transport.Protocols.SetUnencryptedHTTP2(true)
	call := &http.Client{Transport: c.transport}
	knock, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if opts.Token != "" {
		err = proveNode(knock, call, host, opts.Token)
	} else {
		err = touch(knock, dial)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	base := "http://" + host
	options := connect.WithClientOptions(connect.WithGRPC(), connect.WithInterceptors(bearer(opts.Token)))
	c.Node = apiv1connect.NewNodeServiceClient(call, base, options)
	c.Identity = apiv1connect.NewIdentityServiceClient(call, base, options)
	c.People = apiv1connect.NewPeopleServiceClient(call, base, options)
	c.Messages = apiv1connect.NewMessageServiceClient(call, base, options)
	c.Events = apiv1connect.NewEventServiceClient(call, base, options)
	c.Network = apiv1connect.NewNetworkServiceClient(call, base, options)
	c.Mail = apiv1connect.NewMailServiceClient(call, base, options)
	c.Admin = apiv1connect.NewAdminServiceClient(call, base, options)
	return c, nil
}

// Close ends the connection when its calls are over.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// way is how to connect, and the host to name.
func (o Options) way() (dial func(context.Context) (net.Conn, error), host string, err error) {
	var d net.Dialer
	switch {
	case o.Socket != "" && o.Address != "":
		return nil, "", errors.New("dialing a node: give a socket or an address, not both")
	case o.Socket != "" && o.Token != "":
		return nil, "", errors.New("dialing a node: a socket needs no token")
	case o.Address != "":
		host = o.Address
		dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", o.Address) }
	case o.Socket != "":
		host = "localhost"
		dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "unix", o.Socket) }
	case o.DialContext != nil:
		host = "localhost"
	default:
		return nil, "", errors.New("dialing a node: give a socket or an address")
	}
	if o.DialContext != nil {
		dial = o.DialContext
	}
	return dial, host, nil
}

func touch(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
	conn, err := dial(ctx)
	if err != nil {
		return fmt.Errorf("dialing the node: %w", err)
	}
	return conn.Close()
}

// bearer shows the token with every call; "" shows none.
type bearer string

func (b bearer) sign(h http.Header) {
	if b != "" {
		h.Set("Authorization", "Bearer "+string(b))
	}
}

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		b.sign(req.Header())
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		b.sign(conn.RequestHeader())
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
