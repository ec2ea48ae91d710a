package config

// Config is one struct with every setting. Load fills it.
type Config struct {
	Data Data `koanf:"data"`
	API  API  `koanf:"api"`
	Net  Net  `koanf:"net"`
	Mail Mail `koanf:"mail"`
	Log  Log  `koanf:"log"`

	// File is where the settings file is looked for, whether or not it exists.
	File string `koanf:"-"`

	origins map[string]string // key -> origin, see Setting
}

// Data is what one node keeps.
type Data struct {
	Dir string `koanf:"dir"` // absolute
}

// API is how programs of this machine reach the node.
type API struct {
	Socket  string `koanf:"socket"`  // absolute, short enough for the system
	Address string `koanf:"address"` // host:port on loopback; empty for no TCP
	Page    bool   `koanf:"page"`
}

// Net is how the node takes part in the network.
type Net struct {
	Listen       []string   `koanf:"listen"` // multiaddresses; none: every transport on a free port
	Bootstrap    []string   `koanf:"bootstrap"`
	UseBootstrap bool       `koanf:"use_bootstrap"`
	MDNS         bool       `koanf:"mdns"`
	Relay        bool       `koanf:"relay"`
	Loopback     bool       `koanf:"loopback"`
	Strict       bool       `koanf:"strict"`
	Transports   Transports `koanf:"transports"`
}

// Mail is what the node keeps for others who are asleep.
type Mail struct {
	Host string `koanf:"host"` // auto: on where others can call this node; on; off
	Size int64  `koanf:"size"` // bytes
	// Speed and Drop are for tests, on loopback only.
	Speed int  `koanf:"speed"` // the mailbox's times are divided by it
	Drop  bool `koanf:"drop"`  // sign for mail and drop it, as a dishonest host does
}

// The values of Mail.Host.
const (
	MailAuto = "auto"
	MailOn   = "on"
	MailOff  = "off"
)

// Transports switches ways to connect on and off.
type Transports struct {
	QUIC         bool `koanf:"quic"`
	TCP          bool `koanf:"tcp"`
	WebTransport bool `koanf:"webtransport"`
	WebRTC       bool `koanf:"webrtc"`
}

// Log is what the node writes to stderr about itself.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // text, json
}

// builtinBootstrap are addresses shipped with the program. There are none yet:
// nobody runs a public Parley node that promises to stay. net.use_bootstrap
// switches them off, today and when there are some.
var builtinBootstrap []string

// BootstrapPeers are the multiaddresses to ask first: the configured ones,
// then the built-in ones unless they are switched off.
func (c *Config) BootstrapPeers() []string {
	out := append([]string(nil), c.Net.Bootstrap...)
	if c.Net.UseBootstrap {
		out = append(out, builtinBootstrap...)
	}
	return out
}

// PageOn reports whether the page is served: it needs the TCP address.
func (c *Config) PageOn() bool { return c.API.Page && c.API.Address != "" }
