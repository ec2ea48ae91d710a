package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"parley/internal/live"
	"parley/internal/store"
)

// Pulse is the one line that says how this node is doing; node computes it.
type Pulse struct{ Code, Text, Hint string }

// Setting is one value of the configuration, with where it came from.
type Setting struct{ Key, Value, Origin, Help string }

// Config is all a Server needs.
type Config struct {
	DB      *store.DB
	Network Network
	Pulse   *live.Value[Pulse]
	// Page serves the embedded page; nil serves none.
	Page http.Handler
	// Socket and TCP are listeners from ListenSocket and ListenTCP, or
	// in-memory ones. Run closes them.
	Socket net.Listener
	TCP    []net.Listener

	Version    string
	DataFolder string
	Started    time.Time
	Settings   []Setting
	// Checks are the checks of Doctor that only node can make.
	Checks func(ctx context.Context) []Check
	// Stop asks node to end in order; it must not block.
	Stop func()
	Log  *slog.Logger
}

// Server answers apps.
type Server struct{ cfg Config }

// New builds a Server.
func New(cfg Config) (*Server, error) { return &Server{cfg: cfg}, nil }

// Handler is the API and the page with the access rules of TCP.
func (s *Server) Handler() http.Handler { return http.NotFoundHandler() }

// LocalHandler is the API with the full rights of the Unix socket.
func (s *Server) LocalHandler() http.Handler { return http.NotFoundHandler() }

// Run serves the listeners until ctx ends, then lets calls finish.
func (s *Server) Run(ctx context.Context) error { return errors.New("not built yet") }
