package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"parley/internal/chat"
	"parley/internal/dm"
	"parley/internal/guard"
	"parley/internal/identity"
	"parley/internal/live"
	"parley/internal/store"
)

// Pulse is the one line that says how this node is doing; node computes it.
type Pulse struct{ Code, Text, Hint string }

// Setting is one value of the configuration, with where it came from.
type Setting struct{ Key, Value, Origin, Help string }

// Config is all a Server needs. DB, Keys, Directory, Courier, Guard, Network
// and Pulse are required.
type Config struct {
	DB        *store.DB
	Keys      *identity.Keys
	Directory *identity.Directory
	Courier   *dm.Courier
	Guard     *guard.Guard
	Network   Network
	Pulse     *live.Value[Pulse]
	// Mail tells of mail for people who are asleep; nil: this node takes no
	// part in it.
	Mail Mail
	// Page serves the embedded page; nil serves none.
	Page http.Handler
	// Socket and TCP are listeners from ListenSocket and ListenTCP, or
	// in-memory ones, whose address text is then the host that callers name.
	// Run closes them.
	Socket net.Listener
	TCP    []net.Listener

	Version    string
	DataFolder string
	Started    time.Time
	Settings   []Setting
	KeyInFile  bool // the data key lies in a plain file
	// Checks are the checks of Doctor that only node can make; optional.
	Checks func(ctx context.Context) []Check
	// Renamed is told when the display name changed, so that it is published;
	// optional. It must not block.
	Renamed func()
	// Stop asks node to end in order. It must not block.
	Stop func()
	Log  *slog.Logger
}

// drainTime is how long calls may finish after Run's context ended: a write
// waits for one group commit.
const drainTime = 3 * time.Second

// Server answers apps.
type Server struct {
	// Set by New, never changed.
	cfg     Config
	log     *slog.Logger
	hosts   map[string]bool // values of the Host header that name us
	port    string          // tells our cookie from those of other nodes
	paging  [32]byte        // signs page tokens
	stopped chan struct{}   // closed when Run's context ends: streams give up their place
	rpc     http.Handler    // the services, after access was granted
	socket  *caller         // the one caller of the socket

	errorWriter *connect.ErrorWriter

	tokens book
	logins *codes
}

// New builds a Server and starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Started.IsZero() {
		cfg.Started = time.Now()
	}
	s := &Server{
		cfg:         cfg,
		log:         cfg.Log,
		hosts:       map[string]bool{},
		logins:      newCodes(),
		stopped:     make(chan struct{}),
		errorWriter: connect.NewErrorWriter(),
		socket:      newCaller(ownerID, nil, 0),
	}
	s.socket.owner, s.socket.local = true, true
	for _, l := range cfg.TCP {
		s.addHosts(l.Addr())
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("loading api secrets: %w", err)
	}
	s.rpc = s.services()
	return s, nil
}

// storeTime bounds reads of our own at start.
const storeTime = 30 * time.Second

// addHosts allows the names by which a listener can be reached.
func (s *Server) addHosts(a net.Addr) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		s.hosts[a.String()] = true
		if _, port, err := net.SplitHostPort(a.String()); err == nil && s.port == "" {
			s.port = port
		}
		return
	}
	port := fmt.Sprint(tcp.Port)
	if s.port == "" {
		s.port = port
	}
	for _, host := range []string{tcp.IP.String(), "localhost"} {
		s.hosts[net.JoinHostPort(host, port)] = true
	}
}

// page is the address of the page, without secrets; empty if there is none.
func (s *Server) page() string {
	if s.cfg.Page == nil || len(s.cfg.TCP) == 0 {
		return ""
	}
	return "http://" + s.cfg.TCP[0].Addr().String() + "/"
}

const (
	secretKind = "api"
	secretPage = "paging"
)

// load reads what the store keeps for us, and makes it on the first run. A
// full disk does not keep us from answering: the key of page tokens then lasts
// until the next start.
func (s *Server) load(ctx context.Context) error {
	missing := false
	err := s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		key, err := tx.Secret(secretKind, secretPage)
		missing = errors.Is(err, chat.ErrNotFound)
		if err != nil && !missing {
			return err
		}
		if !missing && len(key) != len(s.paging) {
			return fmt.Errorf("the paging secret has %d bytes", len(key))
		}
		copy(s.paging[:], key)
		return s.tokens.load(tx)
	})
	if err != nil || !missing {
		return err
	}
	_, _ = rand.Read(s.paging[:]) // never fails
	err = s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.PutSecret(secretKind, secretPage, s.paging[:], time.Time{})
	})
	if errors.Is(err, chat.ErrStorageFull) {
		return nil
	}
	return err
}

// Run serves the listeners until ctx ends, then lets calls finish for a
// moment. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	var servers []*http.Server
	serve := func(l net.Listener, h http.Handler) {
		srv := s.server(h)
		servers = append(servers, srv)
		group.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving the api on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	if s.cfg.Socket != nil {
		serve(s.cfg.Socket, s.LocalHandler())
	}
	for _, l := range s.cfg.TCP {
		serve(l, s.Handler())
	}
	group.Go(func() error { return s.callNames(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		close(s.stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		var drain errgroup.Group
		for _, srv := range servers {
			drain.Go(func() error {
				if srv.Shutdown(grace) != nil {
					return srv.Close()
				}
				return nil
			})
		}
		return drain.Wait()
	})
	return group.Wait()
}

// server is one HTTP server: HTTP/1.1 for pages and scripts, HTTP/2 without
// TLS for gRPC, on the same port.
func (s *Server) server(h http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: chat.APIHeader,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: chat.APICalls},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}
