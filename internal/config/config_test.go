package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// home gives the test an empty user with folders of its own.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix) {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", dir)
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	dir := home(t)
	c, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, ".local/share/parley"); c.Data.Dir != want {
		t.Errorf("data folder %s, want %s", c.Data.Dir, want)
	}
	if want := filepath.Join(dir, ".config/parley/config.toml"); c.File != want {
		t.Errorf("settings file %s, want %s", c.File, want)
	}
	if c.API.Address != "127.0.0.1:4717" || !c.PageOn() || !c.Net.MDNS || c.Net.Loopback || !c.Net.Transports.WebRTC || c.Log.Level != "warn" {
		t.Errorf("unexpected defaults: %+v", c)
	}
	if c.Net.Listen != nil {
		t.Error("an empty net.listen must be nil: every transport, not none")
	}
	for _, s := range c.Settings() {
		if s.Origin != originDefault || s.Help == "" || s.Takes == "" {
			t.Errorf("%+v: want an explained default", s)
		}
	}
}

// TestLayers: flag over environment over file over default, with the origin.
func TestLayers(t *testing.T) {
	home(t)
	file := write(t, filepath.Join(t.TempDir(), "c.toml"), "[log]\nlevel = \"debug\"\nformat = \"json\"\n[net]\nmdns = false\nrelay = \"off\"\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\n")
	t.Setenv("PARLEY_LOG_LEVEL", "warn")
	t.Setenv("PARLEY_NET_MDNS", "on")
	c, err := Load(Options{File: file, Flags: map[string]string{"log.level": "error"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][2]string{
		"log.level":  {"error", "flag"},
		"log.format": {"json", file},
		"net.mdns":   {"on", "PARLEY_NET_MDNS"},
		"net.relay":  {"off", file},
		"net.listen": {"/ip4/127.0.0.1/tcp/0", file},
		"api.page":   {"on", "default"},
	} {
		s, err := c.Setting(key)
		if err != nil || s.Value != want[0] || s.Origin != want[1] {
			t.Errorf("%s = %q from %q (%v), want %q from %q", key, s.Value, s.Origin, err, want[0], want[1])
		}
	}
}

// TestEveryKeyEveryLayer: each key of the table reaches its field from the
// file, the environment and a flag.
func TestEveryKeyEveryLayer(t *testing.T) {
	sample := map[kind]string{kindText: "x", kindPath: "/srv/x", kindList: "/ip4/127.0.0.1/tcp/1/p2p/x", kindAddress: "127.0.0.1:5000", kindSize: "3GiB", kindCount: "60"}
	for _, k := range keys {
		value := sample[k.kind]
		switch k.kind {
		case kindChoice:
			value = k.choices[len(k.choices)-1]
		case kindSwitch:
			value = "on"
			if k.value == true {
				value = "off"
			}
		}
		t.Run(k.name, func(t *testing.T) {
			check := func(origin string, o Options) {
				t.Helper()
				c, err := Load(o)
				if err != nil {
					t.Fatal(err)
				}
				if s, _ := c.Setting(k.name); s.Value != value || s.Origin != origin {
					t.Errorf("%q from %q, want %q from %q", s.Value, s.Origin, value, origin)
				}
			}
			home(t)
			if k.hidden {
				t.Setenv("PARLEY_NET_LOOPBACK", "on")
			}
			quoted := `"` + value + `"`
			if k.kind == kindList {
				quoted = "[" + quoted + "]"
			}
			i := strings.LastIndex(k.name, ".")
			file := write(t, filepath.Join(t.TempDir(), "c.toml"), "["+k.name[:i]+"]\n"+k.name[i+1:]+" = "+quoted+"\n")
			check(file, Options{File: file})
			check("flag", Options{Flags: map[string]string{k.name: value}})
			t.Setenv(k.env(), value)
			check(k.env(), Options{})
		})
	}
}

func TestFaults(t *testing.T) {
	cases := []struct {
		name, file string
		env, flags map[string]string
		want       []string
	}{
		{name: "unknown key", file: "[net]\nmnds = true\n", want: []string{"net.mnds", "the nearest is net.mdns"}},
		{name: "unknown section", file: "[network]\nmdns = true\n", want: []string{"network.mdns", "unknown setting"}},
		{name: "unknown variable", env: map[string]string{"PARLEY_NET_MNDS": "on"}, want: []string{"PARLEY_NET_MNDS", "the nearest is PARLEY_NET_MDNS"}},
		{name: "unknown flag key", flags: map[string]string{"log.levle": "warn"}, want: []string{"log.levle", "log.level"}},
		{name: "all at once", file: "[log]\nlevel = \"loud\"\n[api]\npage = 3\nsocket = \"\"\n", want: []string{"log.level", "debug, info, warn, error", "api.page", "a number", "api.socket", "is empty"}},
		{name: "key as section", file: "[api.page]\non = true\n", want: []string{"api.page", "not a section"}},
		{name: "section as key", file: "net = true\n", want: []string{"net (", "unknown setting"}},
		{name: "not TOML", file: "log level\n", want: []string{"is not TOML"}},
		{name: "public bind", flags: map[string]string{"api.address": "0.0.0.0:4717"}, want: []string{"api.address", "this machine only"}},
		{name: "no port", flags: map[string]string{"api.address": "127.0.0.1"}, want: []string{"is not host:port"}},
		{name: "low port", flags: map[string]string{"api.address": "127.0.0.1:80"}, want: []string{"reserved"}},
		{name: "bootstrap without device", flags: map[string]string{"net.bootstrap": "/ip4/127.0.0.1/tcp/1"}, want: []string{"net.bootstrap", "/p2p/"}},
		{name: "every transport off", file: "[net.transports]\nquic = false\ntcp = false\nwebtransport = false\nwebrtc = false\n", want: []string{"every transport is off"}},
		{name: "size without a number", flags: map[string]string{"mail.size": "muchMiB"}, want: []string{"mail.size", "such as 512MiB"}},
		{name: "size for no mail", flags: map[string]string{"mail.size": "5"}, want: []string{"mail.size", "leave no room"}},
		{name: "size over all", flags: map[string]string{"mail.size": "9999999999GiB"}, want: []string{"mail.size", "such as 512MiB"}},
		{name: "no speed", flags: map[string]string{"mail.speed": "0"}, want: []string{"mail.speed", "whole number from 1"}},
		{name: "speed in the world", file: "[mail]\nspeed = 60\n", want: []string{"mail.speed", "net.loopback"}},
		{name: "dropper in the world", flags: map[string]string{"mail.drop": "on"}, want: []string{"mail.drop", "net.loopback"}},
		{name: "long socket", flags: map[string]string{"api.socket": "/" + strings.Repeat("s", 103)}, want: []string{"api.socket", "too long"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			home(t)
			o := Options{Flags: c.flags}
			if c.file != "" {
				o.File = write(t, filepath.Join(t.TempDir(), "c.toml"), c.file)
			}
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			_, err := Load(o)
			if err == nil {
				t.Fatal("no fault")
			}
			if _, ok := errors.AsType[*Fault](err); !ok {
				t.Errorf("%v holds no Fault", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	dir := home(t)
	if _, err := Load(Options{File: filepath.Join(dir, "none.toml")}); err == nil {
		t.Error("a named file that is missing must be a fault")
	}
	t.Setenv(configEnv, filepath.Join(dir, "none.toml"))
	if _, err := Load(Options{}); err == nil {
		t.Error("a file named by PARLEY_CONFIG that is missing must be a fault")
	}
}

// TestBare: a demo's node ignores the user's own settings.
func TestBare(t *testing.T) {
	home(t)
	t.Setenv("PARLEY_LOG_LEVEL", "debug")
	t.Setenv(configEnv, write(t, filepath.Join(t.TempDir(), "c.toml"), "[net]\nmdns = false\n"))
	c, err := Load(Options{Bare: true, Flags: map[string]string{"log.format": "json"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != "warn" || !c.Net.MDNS || c.Log.Format != "json" {
		t.Errorf("got %+v", c)
	}
}

func TestNoHome(t *testing.T) {
	home(t)
	os.Unsetenv("HOME")
	if _, err := Load(Options{}); err == nil || !strings.Contains(err.Error(), "no home folder") {
		t.Errorf("without a home: %v", err)
	}
	if _, err := Load(Options{Flags: map[string]string{"data.dir": "/srv/parley"}}); err != nil {
		t.Errorf("a service with a data folder needs no home: %v", err)
	}
}

func TestSocketPath(t *testing.T) {
	dir := home(t)
	load := func(flags map[string]string) string {
		t.Helper()
		c, err := Load(Options{Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.API.Socket) > maxSocketPath {
			t.Errorf("%s has %d bytes", c.API.Socket, len(c.API.Socket))
		}
		return c.API.Socket
	}
	if got := load(nil); !strings.HasPrefix(got, dir) && !strings.HasPrefix(got, shortFolder()) {
		t.Errorf("without a runtime folder the socket is %s", got)
	}
	run := filepath.Join("/tmp", filepath.Base(dir)+"-run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	t.Setenv("XDG_RUNTIME_DIR", run)
	if got := load(nil); got != filepath.Join(run, "parley/api.sock") {
		t.Errorf("with a runtime folder the socket is %s", got)
	}
	if got := load(map[string]string{"data.dir": "/srv/a"}); got != "/srv/a/api.sock" {
		t.Errorf("a chosen data folder has its own socket, got %s", got)
	}
	a, b := load(map[string]string{"data.dir": "/srv/" + strings.Repeat("a", 120)}), load(map[string]string{"data.dir": "/srv/" + strings.Repeat("b", 120)})
	if a == b || filepath.Dir(a) != shortFolder() {
		t.Errorf("long data folders get short sockets of their own: %s, %s", a, b)
	}
}

func TestSocketFolder(t *testing.T) {
	base := t.TempDir()
	c := &Config{API: API{Socket: filepath.Join(base, "run", "api.sock")}}
	if err := c.CheckSocketFolder(); err != nil {
		t.Errorf("a missing folder is fine: %v", err)
	}
	if err := c.EnsureSocketFolder(); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(filepath.Join(base, "run")); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := os.Chmod(filepath.Join(base, "run"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureSocketFolder(); err == nil {
		t.Error("a folder others may write to must be refused")
	}
}

// TestSocketFolderLink: nobody else's link may stand where our short folder
// belongs.
func TestSocketFolderLink(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if err := os.Symlink(t.TempDir(), shortFolder()); err != nil {
		t.Fatal(err)
	}
	c := &Config{API: API{Socket: filepath.Join(shortFolder(), "x.sock")}}
	if err := c.EnsureSocketFolder(); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("got %v", err)
	}
}

func TestBootstrapPeers(t *testing.T) {
	builtinBootstrap = []string{"/builtin"}
	t.Cleanup(func() { builtinBootstrap = nil })
	c := &Config{Net: Net{Bootstrap: []string{"/mine"}, UseBootstrap: true}}
	if got := c.BootstrapPeers(); !slices.Equal(got, []string{"/mine", "/builtin"}) {
		t.Errorf("got %v", got)
	}
	c.Net.UseBootstrap = false
	if got := c.BootstrapPeers(); !slices.Equal(got, []string{"/mine"}) {
		t.Errorf("switched off, got %v", got)
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"staus": "status", "sned": "send", "x": "", "conversation": "conversations"} {
		if got := Nearest(word, []string{"status", "send", "conversations"}); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestSwitchesAndLists(t *testing.T) {
	for _, s := range []string{"on", "TRUE", " yes ", "1"} {
		if v, err := readSwitch(s); err != nil || v != true {
			t.Errorf("%q: %v, %v", s, v, err)
		}
	}
	if _, err := readSwitch("maybe"); err == nil {
		t.Error("maybe is no switch")
	}
	v, err := readList(" /a, /b\t/c,")
	if list, _ := v.([]string); err != nil || !slices.Equal(list, []string{"/a", "/b", "/c"}) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := readList([]any{"a", int64(1)}); err == nil {
		t.Error("a number in a list must be refused")
	}
}

func TestStrictNeedsTLS(t *testing.T) {
	home(t)
	flags := map[string]string{"net.strict": "on", "net.transports.quic": "off"}
	if _, err := Load(Options{Flags: flags}); err != nil {
		t.Errorf("strict over TCP: %v", err)
	}
	flags["net.transports.tcp"] = "off"
	if _, err := Load(Options{Flags: flags}); err == nil || !strings.Contains(err.Error(), "net.strict") {
		t.Errorf("strict without QUIC and TCP: %v, want a fault of net.strict", err)
	}
}

// TestHiddenKeys: what is for tests is not offered, and not concealed.
func TestHiddenKeys(t *testing.T) {
	home(t)
	for _, set := range []bool{false, true} {
		flags := map[string]string{}
		if set {
			flags = map[string]string{"mail.speed": "60", "net.loopback": "on"}
		}
		c, err := Load(Options{Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		if listed := slices.ContainsFunc(c.Settings(), func(s Setting) bool { return s.Key == "mail.speed" }); listed != set {
			t.Errorf("set %t, listed %t", set, listed)
		}
		if c.Mail.Size != 512<<20 || c.Mail.Host != MailAuto || c.Mail.Drop || (c.Mail.Speed == 60) != set {
			t.Errorf("mail is %+v", c.Mail)
		}
	}
}
