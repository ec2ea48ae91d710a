package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Options say what a command line chose.
type Options struct {
	File  string            // settings file; empty: PARLEY_CONFIG, else the folder of this user
	Flags map[string]string // key -> text, above every other layer
	// Bare reads defaults and Flags only: for nodes of a demo or a test, which
	// must not take over the settings of the user's own.
	Bare bool
}

// Origins of a value, besides file paths and environment variables.
const (
	OriginDefault = "default"
	originDefault = OriginDefault
	originFlag    = "flag"
)

// maxFile bounds the settings file: a device or a log given by mistake ends
// here. An honest file has one kilobyte.
const maxFile = 1 << 20

// Load reads every layer and checks the result. The error joins one *Fault
// for each thing that is wrong.
func Load(o Options) (*Config, error) {
	l := loader{k: koanf.New("."), origins: map[string]string{}}
	l.defaults()
	file := ""
	if !o.Bare {
		file = l.file(o.File)
		l.environment()
	}
	l.flags(o.Flags)
	l.folder()
	l.socket()
	c := &Config{File: file, origins: l.origins}
	if err := l.k.Unmarshal("", c); err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	if len(c.Net.Listen) == 0 {
		c.Net.Listen = nil // p2p listens nowhere on a list that is empty but there
	}
	if len(l.faults) > 0 {
		return nil, errors.Join(l.faults...)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

type loader struct {
	k       *koanf.Koanf
	origins map[string]string // key -> where its value comes from
	faults  []error
}

func (l *loader) fault(f *Fault) { l.faults = append(l.faults, f) }

// set reads one raw value of a known key into the layers.
func (l *loader) set(k key, written string, raw any, origin, dir string) {
	v, err := k.read(raw, dir)
	if err != nil {
		l.fault(&Fault{Key: written, Origin: origin, What: err.Error(), Hint: "`parley config explain " + k.name + "` says what it takes"})
		return
	}
	if err := l.k.Load(confmap.Provider(map[string]any{k.name: v}, "."), nil); err != nil {
		l.fault(&Fault{Key: written, Origin: origin, What: err.Error()})
		return
	}
	l.origins[k.name] = origin
}

func (l *loader) defaults() {
	for _, k := range keys {
		if k.value != nil {
			l.set(k, k.name, k.value, originDefault, "")
		}
	}
	if dir, err := dataFolder(); err == nil {
		k, _ := findKey("data.dir")
		l.set(k, k.name, dir, originDefault, "")
	}
}

// folder demands a data folder when no layer named one and there is no home.
func (l *loader) folder() {
	if l.origins["data.dir"] == "" && len(l.faults) == 0 {
		l.fault(&Fault{Key: "data.dir", Origin: originDefault, What: "no home folder is known", Hint: "set HOME, XDG_DATA_HOME or --data"})
	}
}

// file reads the settings file, if there is one, and returns its place.
func (l *loader) file(chosen string) string {
	path := chosen
	if path == "" {
		path = os.Getenv(configEnv)
	}
	named := path != ""
	if named {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
	} else {
		path = configFile()
	}
	raw, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return path
	}
	if err != nil {
		l.fault(&Fault{Origin: path, What: reason(err), Hint: "check --config and " + configEnv})
		return path
	}
	tree, err := toml.Parser().Unmarshal(raw)
	if err != nil {
		l.fault(&Fault{Origin: path, What: "is not TOML: " + strings.TrimPrefix(err.Error(), "toml: "), Hint: "correct the file or move it away"})
		return path
	}
	flat := map[string]any{}
	flatten("", tree, flat)
	for _, name := range sortedKeys(flat) {
		if k, ok := findKey(name); ok {
			l.set(k, name, flat[name], path, filepath.Dir(path))
		} else {
			l.fault(unknownKey(name, path, Nearest(name, keyNames())))
		}
	}
	return path
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, errors.New("is not a settings file: it must be a plain file of at most 1 MiB")
	}
	return os.ReadFile(path)
}

// reason is the cause without the path that the fault names anyway.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// flatten writes the leaves of tree under dotted names. A list stays a leaf,
// and so does a known key that holds a section by mistake.
func flatten(prefix string, tree, out map[string]any) {
	for name, v := range tree {
		name = prefix + name
		sub, isTree := v.(map[string]any)
		if _, known := findKey(name); isTree && !known && len(sub) > 0 {
			flatten(name+".", sub, out)
		} else if !isTree || known {
			out[name] = v
		}
	}
}

// environment reads PARLEY_SECTION_KEY. configEnv alone is not a setting.
func (l *loader) environment() {
	byEnv := make(map[string]key, len(keys))
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		byEnv[k.env()] = k
		names = append(names, k.env())
	}
	env := slices.Sorted(slices.Values(os.Environ()))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || name == configEnv {
			continue
		}
		if k, ok := byEnv[name]; ok {
			l.set(k, name, value, name, workFolder())
		} else {
			l.fault(unknownKey(name, "environment", Nearest(name, names)))
		}
	}
}

func (l *loader) flags(flags map[string]string) {
	for _, name := range sortedKeys(flags) {
		if k, ok := findKey(name); ok {
			l.set(k, name, flags[name], originFlag, workFolder())
		} else {
			l.fault(unknownKey(name, originFlag, Nearest(name, keyNames())))
		}
	}
}

// socket fills api.socket when nobody chose one. A node in its own data folder
// has its own socket, so that `--data` alone is enough to tell nodes apart.
func (l *loader) socket() {
	if _, chosen := l.origins["api.socket"]; chosen || l.origins["data.dir"] == "" {
		return
	}
	path := socketPath(l.k.String("data.dir"), l.origins["data.dir"] == originDefault)
	k, _ := findKey("api.socket")
	l.set(k, k.name, path, originDefault, "")
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}
