package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// jsonForm keeps zero values, so that a script finds every field.
var jsonForm = protojson.MarshalOptions{EmitDefaultValues: true}

// print writes one message as one line of proto JSON. Texts of others are
// escaped by JSON, except characters a terminal could act on, which the
// encoder leaves: those are escaped here.
func (a *app) print(m proto.Message) error {
	raw, err := jsonForm.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	var line bytes.Buffer
	// protojson varies its spaces on purpose; a stable form is kinder to diffs.
	if err := json.Compact(&line, raw); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	_, err = a.out.Write(append(escapeJSON(line.Bytes()), '\n'))
	return err
}

// escapeJSON writes C1 controls, overrides of direction and the like as \u
// escapes. They stand only inside strings, where the escape means the same.
func escapeJSON(line []byte) []byte {
	text := string(line)
	if plain(text) {
		return line
	}
	var out bytes.Buffer
	for _, r := range text {
		if forbidden(r) || r == 0x2028 || r == 0x2029 {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}

// printJSON writes what has no message of its own.
func (a *app) printJSON(v any) error {
	return json.NewEncoder(a.out).Encode(v)
}

// stamp is a full local time, empty for none.
func (a *app) stamp(t *timestamppb.Timestamp) string {
	if t == nil || !t.IsValid() {
		return ""
	}
	return t.AsTime().In(a.loc).Format("2006-01-02 15:04")
}

// clock is the short form on the same day.
func (a *app) clock(t *timestamppb.Timestamp) string {
	if t == nil || !t.IsValid() {
		return ""
	}
	at := t.AsTime().In(a.loc)
	if now := a.now().In(a.loc); at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04")
	}
	return at.Format("2 Jan 15:04")
}

// span is a duration with two units at most.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// size is bytes in binary units.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// shortID is the last eight characters: all Ed25519 ids begin alike.
func shortID(id string) string {
	if len(id) <= 8 {
		return id
	}
	return "…" + id[len(id)-8:]
}

// shortMessage is enough of a message id to name it here.
func shortMessage(id string) string {
	if len(id) <= 8 {
		return id
	}
	return id[:8]
}
