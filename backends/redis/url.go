package redis

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
	name             string // the URL without secrets
	topology         topology
	network          string // "tcp" or "unix"
	addrs            []string
	master           string // name of the master, for Sentinel
	user, password   string
	sentinelUser     string
	sentinelPassword string
	db               int
	tls              *tls.Config
	preferReplica    bool
	timeout          time.Duration
}

type topology int

const (
	single topology = iota
	cluster
	sentinel
)

// The URL schemes this package serves, each with what it stands for.
var schemes = map[string]struct {
	topology topology
	network  string
	tls      bool
}{
	"redis":            {single, "tcp", false},
	"rediss":           {single, "tcp", true},
	"valkey":           {single, "tcp", false},
	"valkeys":          {single, "tcp", true},
	"unix":             {single, "unix", false},
	"redis+cluster":    {cluster, "tcp", false},
	"rediss+cluster":   {cluster, "tcp", true},
	"valkey+cluster":   {cluster, "tcp", false},
	"valkeys+cluster":  {cluster, "tcp", true},
	"redis+sentinel":   {sentinel, "tcp", false},
	"rediss+sentinel":  {sentinel, "tcp", true},
	"valkey+sentinel":  {sentinel, "tcp", false},
	"valkeys+sentinel": {sentinel, "tcp", true},
}

// Schemes lists the URL schemes that Open serves.
func Schemes() []string {
	var names []string
	for name := range schemes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// The parameters a URL may carry behind its '?'.
var parameters = []string{
	"db", "read", "timeout", "user", "sentinel_user", "sentinel_password",
	"tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_skip_verify",
}

const (
	defaultPort         = "6379"
	defaultSentinelPort = "26379"
	defaultTimeout      = 5 * time.Second
)

// parseURL reads a target URL. Its errors never repeat a secret.
func parseURL(u *url.URL) (config, error) {
	scheme, ok := schemes[u.Scheme]
	if !ok {
		return config{}, fmt.Errorf("unknown scheme %q", u.Scheme)
	}
	c := config{topology: scheme.topology, network: scheme.network, timeout: defaultTimeout}
	query := u.Query()
	for name := range query {
		if !slices.Contains(parameters, name) {
			return config{}, fmt.Errorf("unknown parameter %q in the URL: known are %s", name, strings.Join(parameters, ", "))
		}
	}
	if u.User != nil {
		c.user = u.User.Username()
		c.password, _ = u.User.Password()
	}
	c.sentinelUser, c.sentinelPassword = query.Get("sentinel_user"), query.Get("sentinel_password")
	if err := errors.Join(c.setHosts(u), c.setDB(u, query), c.setOptions(query)); err != nil {
		return config{}, err
	}
	if scheme.tls {
		var err error
		if c.tls, err = tlsConfig(query); err != nil {
			return config{}, err
		}
	} else if name := firstWithPrefix(query, "tls_"); name != "" {
		return config{}, fmt.Errorf("%s needs an encrypted scheme such as rediss://", name)
	}
	c.name = c.safeName(u)
	return c, nil
}

func firstWithPrefix(query url.Values, prefix string) string {
	for _, name := range parameters {
		if strings.HasPrefix(name, prefix) && query.Has(name) {
			return name
		}
	}
	return ""
}

func (c *config) setHosts(u *url.URL) error {
	if c.network == "unix" {
		if c.addrs = []string{u.Path}; u.Path == "" {
			return errors.New("unix:// needs the path of a socket: unix:///run/redis/redis.sock")
		}
		return nil
	}
	port := defaultPort
	if c.topology == sentinel {
		port = defaultSentinelPort
		if c.master = c.user; c.master == "" {
			return fmt.Errorf("%s:// needs the master's name: %s://mymaster@host:26379", u.Scheme, u.Scheme)
		}
		c.user = u.Query().Get("user")
	} else if user := u.Query().Get("user"); user != "" {
		c.user = user
	}
	hosts := strings.Split(u.Host, ",")
	if c.topology == single && len(hosts) > 1 {
		return fmt.Errorf("%s:// takes one host; for a cluster write redis+cluster://%s", u.Scheme, u.Host)
	}
	for _, host := range hosts {
		addr, err := withPort(host, port)
		if err != nil {
			return err
		}
		c.addrs = append(c.addrs, addr)
	}
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

func (c *config) setDB(u *url.URL, query url.Values) error {
	text := query.Get("db")
	if c.network != "unix" {
		if path := strings.Trim(u.Path, "/"); path != "" {
			text = path
		}
	}
	if text == "" {
		return nil
	}
	db, err := strconv.Atoi(text)
	if err != nil || db < 0 {
		return fmt.Errorf("bad database number %q in the URL", text)
	}
	if c.topology == cluster && db != 0 {
		return errors.New("a cluster has database 0 only")
	}
	c.db = db
	return nil
}

func (c *config) setOptions(query url.Values) error {
	switch read := query.Get("read"); read {
	case "", "master":
	case "replica":
		c.preferReplica = true
	default:
		return fmt.Errorf(`bad read=%s in the URL: it is "master" or "replica"`, read)
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

// safeName writes the URL back without password and without parameters.
func (c *config) safeName(u *url.URL) string {
	if c.network == "unix" {
		name := "unix://" + c.addrs[0]
		if c.db != 0 {
			name += "?db=" + strconv.Itoa(c.db)
		}
		return name
	}
	name := u.Scheme + "://"
	if c.topology == sentinel {
		name += c.master + "@"
	} else if c.user != "" {
		name += c.user + "@"
	}
	name += strings.Join(c.addrs, ",")
	if c.db != 0 {
		name += "/" + strconv.Itoa(c.db)
	}
	return name
}
