package memcached

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
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
var parameters = []string{
	"timeout", "discover", "tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_skip_verify",
}

const (
	defaultPort    = "11211"
	defaultTimeout = 5 * time.Second
)

// parseURL reads a target URL. Its errors never repeat a secret.
func parseURL(u *url.URL) (config, error) {
	if !slices.Contains(Schemes(), u.Scheme) {
		return config{}, fmt.Errorf("unknown scheme %q", u.Scheme)
	}
	c := config{timeout: defaultTimeout}
	query := u.Query()
	for name := range query {
		if !slices.Contains(parameters, name) {
			return config{}, fmt.Errorf("unknown parameter %q in the URL: known are %s", name, strings.Join(parameters, ", "))
		}
	}
	if strings.Trim(u.Path, "/") != "" {
		return config{}, errors.New("memcached has no databases: nothing may stand between the hosts and the '?' of the URL")
	}
	if err := errors.Join(c.setHosts(u), c.setUser(u), c.setOptions(query)); err != nil {
		return config{}, err
	}
	if u.Scheme == "memcacheds" {
		var err error
		if c.tls, err = tlsConfig(query); err != nil {
			return config{}, err
		}
	} else if i := slices.IndexFunc(parameters, func(p string) bool { return strings.HasPrefix(p, "tls_") && query.Has(p) }); i >= 0 {
		return config{}, fmt.Errorf("%s needs the encrypted scheme memcacheds://", parameters[i])
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
		addr, err := withPort(host, defaultPort)
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

// withPort completes "host", "host:port", "[::1]" or "[::1]:port".
func withPort(host, port string) (string, error) {
	name := host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("bad port %q in the URL", port)
	}
	if name == "" {
		name = "localhost"
	}
	return net.JoinHostPort(name, port), nil
}

func (c *config) setOptions(query url.Values) error {
	switch d := query.Get("discover"); d {
	case "":
	case "elasticache":
		c.discover = true
	default:
		return fmt.Errorf(`bad discover=%s in the URL: known is "elasticache"`, d)
	}
	if text := query.Get("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return fmt.Errorf("bad timeout=%s in the URL: write it as 5s or 500ms", text)
		}
		c.timeout = d
	}
	return nil
}

func tlsConfig(query url.Values) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: query.Get("tls_server_name")}
	if text := query.Get("tls_skip_verify"); text != "" {
		skip, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("bad tls_skip_verify=%s in the URL: it is true or false", text)
		}
		t.InsecureSkipVerify = skip
	}
	if path := query.Get("tls_ca"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read tls_ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca %s holds no PEM certificate", path)
		}
	}
	cert, key := query.Get("tls_cert"), query.Get("tls_key")
	if (cert == "") != (key == "") {
		return nil, errors.New("tls_cert and tls_key go together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read tls_cert and tls_key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
