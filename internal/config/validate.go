package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// minMail is the least space for others' mail: their file's own log takes 12 MiB
// of it, and one full mailbox 16 MiB.
const minMail = 64 << 20

// Validate checks what no single value shows, and joins the faults.
func (c *Config) Validate() error {
	var faults []error
	add := func(key, hint, format string, args ...any) {
		faults = append(faults, &Fault{Key: key, Origin: c.origin(key), What: fmt.Sprintf(format, args...), Hint: hint})
	}
	if err := checkSocketName(c.API.Socket); err != nil {
		add("api.socket", "choose a shorter path", "%v", err)
	}
	if err := checkAPIAddress(c.API.Address); err != nil {
		add("api.address", "for example 127.0.0.1:4717, or off", "%v", err)
	}
	for _, a := range c.Net.Listen {
		if !strings.HasPrefix(a, "/") {
			add("net.listen", "for example /ip4/0.0.0.0/udp/4718/quic-v1", "%q is not a multiaddress", a)
		}
	}
	for _, a := range c.Net.Bootstrap {
		if !strings.HasPrefix(a, "/") || !strings.Contains(a, "/p2p/") {
			add("net.bootstrap", "for example /ip4/192.0.2.1/tcp/4718/p2p/12D3KooW…; `parley net status` of that node prints it", "%q is not a multiaddress that ends in /p2p/<device>", a)
		}
	}
	if t := c.Net.Transports; !t.QUIC && !t.TCP && !t.WebTransport && !t.WebRTC {
		add("net.transports.tcp", "leave at least one transport on", "every transport is off")
	} else if c.Net.Strict && !t.QUIC && !t.TCP {
		add("net.strict", "leave net.transports.quic or net.transports.tcp on", "the transports that are on have no post-quantum key exchange")
	}
	if c.Mail.Host != MailOff && c.Mail.Size < minMail {
		add("mail.size", "at least 64MiB, or set mail.host to off", "%d bytes leave no room for mail beside the file's own log", c.Mail.Size)
	}
	if c.Mail.Speed != 1 && !c.Net.Loopback {
		add("mail.speed", "leave it out", "is for tests on this machine only (net.loopback)")
	}
	if c.Mail.Drop && !c.Net.Loopback {
		add("mail.drop", "leave it out", "is for tests on this machine only (net.loopback)")
	}
	return errors.Join(faults...)
}

// checkAPIAddress keeps the API on this machine: another bind would need TLS.
func checkAPIAddress(addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q is not a number up to 65535", port)
	} else if n != 0 && n < 1024 {
		return fmt.Errorf("port %d is reserved for the system", n)
	}
	if host == "localhost" {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not an address of this machine only", host)
	}
	return nil
}

func (c *Config) origin(key string) string {
	if o := c.origins[key]; o != "" {
		return o
	}
	return originDefault
}
