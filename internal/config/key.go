package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

type kind uint8

const (
	kindText kind = iota
	kindPath
	kindList
	kindSwitch
	kindChoice
	kindAddress
	kindSize
	kindCount
)

// key is one setting. The table below is the only list of them.
type key struct {
	name    string
	kind    kind
	choices []string
	value   any // default; nil when it hangs on the folders of this user
	help    string
	hidden  bool // for tests: listed only where somebody set it
}

var keys = []key{
	{name: "data.dir", kind: kindPath, help: "Folder of this node's keys and messages; one process at a time."},
	{name: "api.socket", kind: kindPath, help: "Unix socket with full rights for this user. Beside the data when data.dir is set."},
	{name: "api.address", kind: kindAddress, value: "127.0.0.1:4717", help: "Loopback address of the page and of programs with a token; off for none."},
	{name: "api.page", kind: kindSwitch, value: true, help: "Serve the page on api.address."},
	{name: "net.listen", kind: kindList, value: []string{}, help: "Multiaddresses to listen on; empty: every transport on a free port."},
	{name: "net.bootstrap", kind: kindList, value: []string{}, help: "Multiaddresses of nodes to ask first, each ending in /p2p/<device>."},
	{name: "net.use_bootstrap", kind: kindSwitch, value: true, help: "Ask the built-in bootstrap nodes too. There are none yet."},
	{name: "net.mdns", kind: kindSwitch, value: true, help: "Find other nodes on the local network."},
	{name: "net.relay", kind: kindSwitch, value: true, help: "Use relays and hole punching when no direct connection is possible, and relay for others where this node is public."},
	{name: "net.loopback", kind: kindSwitch, value: false, help: "Stay on this machine: listen and dial loopback addresses only."},
	{name: "net.strict", kind: kindSwitch, value: false, help: "Refuse connections without a post-quantum key exchange: Noise, WebTransport and WebRTC-direct."},
	{name: "net.transports.quic", kind: kindSwitch, value: true, help: "Connect over QUIC."},
	{name: "net.transports.tcp", kind: kindSwitch, value: true, help: "Connect over TCP with TLS."},
	{name: "net.transports.webtransport", kind: kindSwitch, value: true, help: "Connect over WebTransport."},
	{name: "net.transports.webrtc", kind: kindSwitch, value: true, help: "Connect over WebRTC-direct."},
	{name: "mail.host", kind: kindChoice, choices: []string{MailAuto, MailOn, MailOff}, value: MailAuto, help: "Keep sealed mail for people who are asleep; auto: where others can call this node."},
	{name: "mail.size", kind: kindSize, value: "512MiB", help: "Most space that mail of others takes; a fifth of the disk stays free whatever it says."},
	{name: "mail.speed", kind: kindCount, value: "1", hidden: true, help: "For tests on loopback: how many times faster the mailbox's clocks run."},
	{name: "mail.drop", kind: kindSwitch, value: false, hidden: true, help: "For tests on loopback: sign for mail and drop it."},
	{name: "log.level", kind: kindChoice, choices: []string{"debug", "info", "warn", "error"}, value: "warn", help: "How much the node says about itself; info tells of every start and of the network."},
	{name: "log.format", kind: kindChoice, choices: []string{"text", "json"}, value: "text", help: "Form of the log lines."},
}

func findKey(name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

func keyNames() []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.name
	}
	return out
}

const envPrefix = "PARLEY_"

// env is the environment variable of a key.
func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// read brings a raw value, text or parsed TOML, into the key's type. Relative
// paths begin at dir.
func (k key) read(raw any, dir string) (any, error) {
	switch k.kind {
	case kindSwitch:
		return readSwitch(raw)
	case kindList:
		return readList(raw)
	}
	s, ok := raw.(string)
	if n, whole := raw.(int64); whole && (k.kind == kindSize || k.kind == kindCount) {
		s, ok = strconv.FormatInt(n, 10), true
	}
	if !ok {
		return nil, fmt.Errorf("must be a text, not %s", tomlName(raw))
	}
	s = strings.TrimSpace(s)
	switch k.kind {
	case kindPath:
		return readPath(s, dir)
	case kindAddress:
		if s == "off" {
			s = ""
		}
	case kindSize:
		return readSize(s)
	case kindCount:
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a whole number from 1", s)
		}
		return n, nil
	case kindChoice:
		for _, c := range k.choices {
			if strings.EqualFold(c, s) {
				return c, nil
			}
		}
		return nil, fmt.Errorf("%q is not one of %s", s, strings.Join(k.choices, ", "))
	}
	return s, nil
}

func readSwitch(raw any) (any, error) {
	switch v := raw.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "on", "true", "yes", "1":
			return true, nil
		case "off", "false", "no", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither on nor off", v)
	}
	return nil, fmt.Errorf("must be on or off, not %s", tomlName(raw))
}

// readSize reads bytes with a binary unit.
func readSize(s string) (any, error) {
	number, shift := s, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(s, unit); ok {
			number, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return nil, fmt.Errorf("%q is not a size such as 512MiB", s)
	}
	return n << shift, nil
}

func readList(raw any) (any, error) {
	out := []string{}
	switch v := raw.(type) {
	case []string:
		return v, nil
	case string: // of the environment or a flag: commas or spaces between
		return append(out, strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })...), nil
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("must list texts, not %s", tomlName(e))
			}
			out = append(out, strings.TrimSpace(s))
		}
		return out, nil
	}
	return nil, fmt.Errorf("must be a list of texts, not %s", tomlName(raw))
}

func readPath(s, dir string) (any, error) {
	if s == "" {
		return nil, fmt.Errorf("is empty: name a path")
	}
	if rest, ok := strings.CutPrefix(s, "~/"); ok || s == "~" {
		home, err := homeFolder()
		if err != nil {
			return nil, err
		}
		if !ok {
			rest = ""
		}
		s = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(dir, s)
	}
	return filepath.Clean(s), nil
}

func tomlName(raw any) string {
	switch raw.(type) {
	case bool:
		return "a switch"
	case int64, int, float64:
		return "a number"
	case map[string]any:
		return "a section"
	case []any, []string:
		return "a list"
	case string:
		return "a text"
	}
	return fmt.Sprintf("%T", raw)
}
