package memcached

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
)

// errCredentials is the kind of all trouble with user and password.
var errCredentials = errors.New("credentials")

// A credentialsError says what is wrong with them, without repeating them.
type credentialsError string

func (e credentialsError) Error() string        { return string(e) }
func (e credentialsError) Is(target error) bool { return target == errCredentials }

// hello finds out who answers, and authenticates where that is wanted (-Y,
// protocol.txt "Authentication": a set whose value is "user password").
//
// A server without authentication would store that value for everybody to get.
// So "version" goes first, and credentials only to a server that answers that it
// wants some. Their expiry is -1 all the same: a server that does store them
// drops them at once. A connection authenticates once, never again.
func (c *conn) hello(conf *config) error {
	line, err := c.ask("version")
	var network net.Error
	if errors.As(err, &network) && network.Timeout() && c.ctx.Err() == nil {
		return fmt.Errorf("connected, but no answer (a server that speaks TLS behaves like this: memcacheds://): %w", err)
	}
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("CLIENT_ERROR unauthenticated")) {
		if conf.auth {
			return credentialsError("the server does not ask for a password; the one in the URL was not sent")
		}
		return c.learnVersion(line)
	}
	if !conf.auth {
		return credentialsError("the server wants a user and a password: memcached://user:password@host")
	}
	secret := conf.user + " " + conf.password
	if line, err = c.ask(fmt.Sprintf("set auth 0 -1 %d\r\n%s", len(secret), secret)); err != nil {
		return err
	}
	if string(line) != "STORED" {
		if isErrorLine(line) {
			return credentialsError("the server refused user and password")
		}
		return unexpected("set", line)
	}
	if line, err = c.ask("version"); err != nil {
		return err
	}
	return c.learnVersion(line)
}

// learnVersion reads the answer to "version". A server that has no such
// command serves us all the same; it counts as one of unknown age.
func (c *conn) learnVersion(line []byte) error {
	text, ok := strings.CutPrefix(string(line), "VERSION ")
	if ok {
		c.version = text
		return nil
	}
	if isErrorLine(line) && refused(replyError(line)) {
		return nil
	}
	return unexpected("version", line)
}

// A version is three numbers, so that versions compare as arrays do in order.
// The zero version is unknown: older than any.
type version [3]int

// parseVersion reads "1.6.18", "1.6.18-beta", "1.4.31_2_g12ab" and the like.
func parseVersion(text string) version {
	var v version
	for i := range v {
		digits := 0
		for digits < len(text) && digits < 6 && text[digits] >= '0' && text[digits] <= '9' {
			v[i] = v[i]*10 + int(text[digits]-'0')
			digits++
		}
		last := digits == len(text) || text[digits] != '.'
		if digits == 0 || last && i == 0 {
			return version{}
		}
		if last {
			break
		}
		text = text[digits+1:]
	}
	return v
}

func (v version) known() bool { return v != version{} }

func (v version) atLeast(major, minor, patch int) bool {
	for i, want := range [3]int{major, minor, patch} {
		if v[i] != want {
			return v[i] > want
		}
	}
	return true
}
