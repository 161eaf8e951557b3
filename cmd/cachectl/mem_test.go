package main

import (
	"testing"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest"
	"github.com/cachectl/cachectl/backends/embedded"
	"github.com/cachectl/cachectl/backends/redis"
)

// TestMemConformance: mem:// is put together here, so it is tested here.
func TestMemConformance(t *testing.T) {
	backendtest.Suite{
		Keys:  backendtest.HostileKeys(),
		Lacks: []string{"Editor"},
		Open: func(t *testing.T) backends.Backend {
			server, err := embedded.Start(embedded.Options{})
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
