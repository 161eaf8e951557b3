package memcached

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// TestTLSRecords: pipelined storage commands are all answered over TLS, however they are
// cut into writes and records.
func TestTLSRecords(t *testing.T) {
	eachVersion(t, func(t *testing.T, v servers.Version) {
		s := servers.Memcached(t, v, servers.Options{TLS: true})
		b := openURL(t, strings.Replace(target(s), "memcached:", "memcacheds:", 1)+"?tls_ca="+s.CA+"&tls_cert="+s.Cert+"&tls_key="+s.Key)
		random := rand.New(rand.NewPCG(1, 1))
		for _, size := range []int{0, 150, 3000, 8100, 20_000, 100_000} {
			for _, most := range []int{7, 1000, 1 << 30} { // bytes a write
				conn, d, err := b.DialNode(t.Context(), s.Addr)
				if err != nil {
					t.Fatal(err)
				}
				a := backends.Ask{Do: backends.AskSet, Key: []byte("k"), Value: bytes.Repeat([]byte("x"), size)}
				n := min(400, 1+200_000/(size+1), 1+most*100/(size+20))
				var out []byte
				for range n {
					if out, err = d.Append(out, &a); err != nil {
						t.Fatal(err)
					}
				}
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				go func() {
					for len(out) > 0 {
						k := min(len(out), 1+random.IntN(most))
						conn.Write(out[:k])
						out = out[k:]
					}
				}()
				buffer := make([]byte, 1<<16)
				for got := 0; got < n*len("HD\r\n"); {
					k, err := conn.Read(buffer)
					if got += k; err != nil {
						t.Fatalf("%d sets of %d bytes in writes of up to %d: %d are answered, then %v", n, size, most, got/4, err)
					}
				}
				conn.Close()
			}
		}
	})
}
