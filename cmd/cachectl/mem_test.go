package main

import (
	"fmt"
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest"
	"github.com/cachectl/cachectl/backends/embedded"
	"github.com/cachectl/cachectl/backends/redis"
)

// TestMemConformance: mem:// is put together here, so it is tested here.
func TestMemConformance(t *testing.T) {
	t.Parallel()
	var server *embedded.Server
	backendtest.Suite{
		Keys:  backendtest.HostileKeys(),
		Lacks: []string{"Editor"},
		Refused: func(t *testing.T) backends.Ask {
			conn, err := server.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "*3\r\n$5\r\nRPUSH\r\n$6\r\na list\r\n$1\r\nx\r\n")
			if _, err := conn.Read(make([]byte, 64)); err != nil {
				t.Fatal(err)
			}
			return backends.Ask{Do: backends.AskGet, Key: []byte("a list")}
		},
		Open: func(t *testing.T) backends.Backend {
			var err error
			server, err = embedded.Start(embedded.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			b, err := redis.OpenDial(t.Context(), "mem://", server.Dial)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	}.Run(t)
}
