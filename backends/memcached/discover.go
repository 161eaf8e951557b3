package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// discoverNodes asks the configuration endpoints for the nodes: "config get
// cluster" (ElastiCache from 1.4.14, Memorystore) or, on older ones, the value
// of the key that it was kept in. The endpoint's own address is none of them.
func (c *cache) discoverNodes(ctx context.Context) ([]string, error) {
	var errs []error
	for _, addr := range c.addrs {
		n := &node{addr: addr, config: c.config}
		defer n.close(errClosed)
		var nodes []string
		err := n.do(ctx, func(conn *conn) (err error) {
			nodes, err = conn.clusterConfig()
			return err
		})
		if err == nil {
			return nodes, nil
		}
		if refused(err) {
			err = &opError{addr: addr, kind: backends.ErrDenied, err: errors.New("it is no configuration endpoint (config get cluster); leave discover away")}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// oldConfigKey is where ElastiCache before 1.4.14 keeps the list.
const oldConfigKey = "AmazonElastiCache:cluster"

func (c *conn) clusterConfig() ([]string, error) {
	line, err := c.ask("config get cluster")
	if err != nil {
		return nil, err
	}
	if isErrorLine(line) {
		answer := replyError(line)
		if line, err = c.ask("gets " + oldConfigKey); err != nil {
			return nil, err
		}
		got, err := c.value(line, oldConfigKey, longestConfig)
		if err != nil {
			return nil, answer
		}
		return parseClusterConfig(got.data)
	}
	// CONFIG cluster 0 147\r\n<147 bytes>\r\nEND\r\n
	words := bytes.Fields(line)
	if len(words) != 4 || string(words[0]) != "CONFIG" {
		return nil, unexpected("config get cluster", line)
	}
	size, err := number(words[3])
	if err != nil || size < 0 || size > longestConfig {
		return nil, unexpected("config get cluster", line)
	}
	var got gotten
	if err := c.body(&got, size, -1); err != nil {
		return nil, err
	}
	if line, err = c.line(); err == nil && string(line) != "END" {
		err = unexpected("config get cluster", line)
	}
	if err != nil {
		return nil, err
	}
	return parseClusterConfig(got.data)
}

const longestConfig = 1 << 20

// parseClusterConfig reads the list: a version number on the first line, on the
// second "host|ip|port" for each node, blanks between. The ip may be empty.
func parseClusterConfig(text []byte) ([]string, error) {
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if len(lines) < 2 {
		return nil, fmt.Errorf("%w: a cluster's configuration without nodes", errProtocol)
	}
	var addrs []string
	for word := range strings.FieldsSeq(lines[1]) {
		parts := strings.Split(word, "|")
		if len(parts) != 3 || parts[0] == "" && parts[1] == "" {
			return nil, fmt.Errorf("%w: bad node %s in the cluster's configuration", errProtocol, printable([]byte(word)))
		}
		host := parts[0] // certificates are made out to it
		if host == "" {
			host = parts[1]
		}
		if port, err := strconv.Atoi(parts[2]); err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("%w: bad port of node %s in the cluster's configuration", errProtocol, printable([]byte(word)))
		}
		addrs = append(addrs, net.JoinHostPort(host, parts[2]))
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: a cluster's configuration without nodes", errProtocol)
	}
	return addrs, nil
}
