package wire

import (
	"time"

	"parley/internal/chat"
)

// nowhere is a stream to nobody: embedded by streams that replay bytes.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error)      { return len(b), nil }
func (nowhere) CloseWrite() error                { return nil }
func (nowhere) Close() error                     { return nil }
func (nowhere) Reset() error                     { return nil }
func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }
func (nowhere) Remote() chat.DeviceID            { return "" }
