package backends

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

// What the URLs of all targets have in common. Errors never repeat a secret:
// only the named parameters are quoted in them, and none of those is one.

// CheckParameters refuses parameters behind a URL's '?' that are not known.
func CheckParameters(query url.Values, known []string) error {
	for name := range query {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown parameter %q in the URL: known are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// TimeoutParameter is ?timeout=5s, or otherwise where there is none.
func TimeoutParameter(query url.Values, otherwise time.Duration) (time.Duration, error) {
	text := query.Get("timeout")
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("bad timeout=%s in the URL: write it as 5s or 500ms", text)
	}
	return d, nil
}

// HostPort completes "host", "host:port", "[::1]" or "[::1]:port".
func HostPort(host, port string) (string, error) {
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

// TLSParameters are the names that TLSConfig reads.
var TLSParameters = []string{"tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_skip_verify"}

// TLSConfig is what the URL of an encrypted scheme says of TLS: the authority
// (tls_ca), the client's certificate (tls_cert, tls_key), the name to ask for
// and to verify (tls_server_name), or to verify nothing (tls_skip_verify).
func TLSConfig(query url.Values) (*tls.Config, error) {
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

// NoTLS refuses TLS parameters where the scheme is not an encrypted one: they
// would be silently ignored.
func NoTLS(query url.Values, encrypted string) error {
	for _, name := range TLSParameters {
		if query.Has(name) {
			return fmt.Errorf("%s needs an encrypted scheme such as %s://", name, encrypted)
		}
	}
	return nil
}
