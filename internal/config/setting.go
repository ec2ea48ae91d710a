package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Setting is one key as it stands.
type Setting struct {
	Key    string
	Value  string
	Origin string // default, a file path, an environment variable, or flag
	Help   string
	Takes  string // the values it understands
	Env    string
}

// Settings lists every key in the order of the documentation.
func (c *Config) Settings() []Setting {
	values := map[string]reflect.Value{}
	leaves("", reflect.ValueOf(c).Elem(), values)
	out := make([]Setting, 0, len(keys))
	for _, k := range keys {
		if k.hidden && c.origin(k.name) == originDefault {
			continue
		}
		out = append(out, Setting{
			Key: k.name, Value: k.show(values[k.name]), Origin: c.origin(k.name),
			Help: k.help, Takes: k.takes(), Env: k.env(),
		})
	}
	return out
}

// Setting is one of them; an unknown key is a Fault that names the nearest.
func (c *Config) Setting(name string) (Setting, error) {
	for _, s := range c.Settings() {
		if s.Key == name || s.Env == name {
			return s, nil
		}
	}
	return Setting{}, unknownKey(name, "command line", Nearest(name, keyNames()))
}

// leaves collects the fields that carry a koanf tag under dotted names.
func leaves(prefix string, v reflect.Value, out map[string]reflect.Value) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("koanf")
		if tag == "" || tag == "-" {
			continue
		}
		if f := v.Field(i); f.Kind() == reflect.Struct {
			leaves(prefix+tag+".", f, out)
		} else {
			out[prefix+tag] = f
		}
	}
}

func (k key) show(v reflect.Value) string {
	switch k.kind {
	case kindSwitch:
		if v.Bool() {
			return "on"
		}
		return "off"
	case kindList:
		list, _ := v.Interface().([]string)
		return strings.Join(list, ",")
	case kindSize:
		return showSize(v.Int())
	case kindAddress:
		if v.String() == "" {
			return "off"
		}
	}
	if v.CanInt() {
		return strconv.FormatInt(v.Int(), 10)
	}
	return v.String()
}

// showSize is bytes in the largest unit that divides them.
func showSize(n int64) string {
	unit := ""
	for _, u := range []string{"KiB", "MiB", "GiB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(n, 10) + unit
}

func (k key) takes() string {
	switch k.kind {
	case kindSwitch:
		return "on or off"
	case kindList:
		return "a list of texts; commas between them in the environment"
	case kindPath:
		return "a path"
	case kindAddress:
		return "host:port on loopback, or off"
	case kindSize:
		return "a size such as 512MiB"
	case kindCount:
		return "a whole number from 1"
	case kindChoice:
		return fmt.Sprintf("one of %s", strings.Join(k.choices, ", "))
	}
	return "a text"
}
