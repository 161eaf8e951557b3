package memcached

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A config is what a target URL says.
type config struct {
	name           string // the URL without secrets
	addrs          []string
	user, password string
	auth           bool // the URL has credentials
	tls            *tls.Config
	timeout        time.Duration
	discover       bool // addrs are configuration endpoints; the nodes are asked for there
}

// Schemes lists the URL schemes that Open serves.
func Schemes() []string { return []string{"memcached", "memcacheds"} }

// The parameters a URL may carry behind its '?'.
var parameters = append([]string{"timeout", "discover"}, backends.TLSParameters...)

const (
	defaultPort    = "11211"
	defaultTimeout = 5 * time.Second
)

// parseURL reads a target URL. Its errors never repeat a secret.
func parseURL(u *url.URL) (config, error) {
	if !slices.Contains(Schemes(), u.Scheme) {
		return config{}, fmt.Errorf("unknown scheme %q", u.Scheme)
	}
	var c config
	query := u.Query()
	if err := backends.CheckParameters(query, parameters); err != nil {
		return config{}, err
	}
	if strings.Trim(u.Path, "/") != "" {
		return config{}, errors.New("memcached has no databases: nothing may stand between the hosts and the '?' of the URL")
	}
	if err := errors.Join(c.setHosts(u), c.setUser(u), c.setOptions(query)); err != nil {
		return config{}, err
	}
	var err error
	if u.Scheme == "memcacheds" {
		c.tls, err = backends.TLSConfig(query)
	} else {
		err = backends.NoTLS(query, "memcacheds")
	}
	if err != nil {
		return config{}, err
	}
	c.name = u.Scheme + "://"
	if c.user != "" {
		c.name += c.user + "@"
	}
	c.name += strings.Join(c.addrs, ",")
	return c, nil
}

func (c *config) setHosts(u *url.URL) error {
	for host := range strings.SplitSeq(u.Host, ",") {
		addr, err := backends.HostPort(host, defaultPort)
		if err != nil {
			return err
		}
		if slices.Contains(c.addrs, addr) {
			return fmt.Errorf("%s stands twice in the URL", addr)
		}
		c.addrs = append(c.addrs, addr)
	}
	return nil
}

// setUser takes what -Y wants. The server cuts "user password" at the first
// space (proto_text.c, try_read_command_asciiauth).
func (c *config) setUser(u *url.URL) error {
	if u.User == nil {
		return nil
	}
	password, given := u.User.Password()
	if !given || u.User.Username() == "" {
		return errors.New("memcached wants a user and a password together: memcached://user:password@host")
	}
	if strings.ContainsAny(u.User.Username(), " \r\n\x00") || strings.ContainsAny(password, "\r\n\x00") {
		return errors.New("the user holds a space, or the credentials a line break: memcached cannot take that")
	}
	c.user, c.password, c.auth = u.User.Username(), password, true
	return nil
}

func (c *config) setOptions(query url.Values) error {
	switch d := query.Get("discover"); d {
	case "":
	case "elasticache":
		c.discover = true
	default:
		return fmt.Errorf(`bad discover=%s in the URL: known is "elasticache"`, d)
	}
	var err error
	c.timeout, err = backends.TimeoutParameter(query, defaultTimeout)
	return err
}
