package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
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
var parameters = append([]string{"db", "read", "timeout", "user", "sentinel_user", "sentinel_password"}, backends.TLSParameters...)

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
	c := config{topology: scheme.topology, network: scheme.network}
	query := u.Query()
	if err := backends.CheckParameters(query, parameters); err != nil {
		return config{}, err
	}
	if u.User != nil {
		c.user = u.User.Username()
		c.password, _ = u.User.Password()
	}
	c.sentinelUser, c.sentinelPassword = query.Get("sentinel_user"), query.Get("sentinel_password")
	if err := errors.Join(c.setHosts(u), c.setDB(u, query), c.setOptions(query)); err != nil {
		return config{}, err
	}
	var err error
	if scheme.tls {
		c.tls, err = backends.TLSConfig(query)
	} else {
		err = backends.NoTLS(query, "rediss")
	}
	if err != nil {
		return config{}, err
	}
	c.name = c.safeName(u)
	return c, nil
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
		addr, err := backends.HostPort(host, port)
		if err != nil {
			return err
		}
		c.addrs = append(c.addrs, addr)
	}
	return nil
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
	var err error
	c.timeout, err = backends.TimeoutParameter(query, defaultTimeout)
	return err
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
