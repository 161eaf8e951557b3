package servers

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// Ports come from below the range that systems give to outgoing connections
// (32768 and up on Linux): otherwise a client that keeps dialling a stopped
// server can take its port, and even connect to itself. A process walks them
// from a random start, so a stopped server's port is not given to the next one,
// and two test processes hardly ever meet.
const (
	firstPort = 20000
	ports     = 12000
)

var nextPort atomic.Uint32

var portStart = rand.Uint32N(ports)

// freePort brings a port that nobody listens on at this moment.
func freePort() (int, error) {
	for range 1000 {
		port := firstPort + int((portStart+nextPort.Add(1))%ports)
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port on 127.0.0.1")
}
