package commands

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/redis"
)

// BenchmarkBackUp: what the backup adds to a deletion of 200,000 keys with values of 1 KB
// (hex digits at random), as a ratio of wall times.
func BenchmarkBackUp(b *testing.B) {
	const n = 200_000
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr})
	defer c.Close()
	cache, err := redis.Open(b.Context(), &url.URL{Scheme: "redis", Host: s.Addr})
	if err != nil {
		b.Fatal(err)
	}
	defer cache.Close()
	value := make([]byte, 512)
	fill := func() {
		for from := 0; from < n; from += 5000 {
			pipe := c.Pipeline()
			for i := range 5000 {
				rand.Read(value)
				pipe.Set(context.Background(), fmt.Sprint("session:", from+i), hex.EncodeToString(value), time.Hour)
			}
			if _, err := pipe.Exec(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	remove := func(path string) time.Duration {
		fill()
		began, deleted := time.Now(), 0
		pages := cache.(backends.Scanner).Scan(b.Context(), backends.Query{Match: "session:*"})
		var w *archive.Writer
		if path != "" {
			if w, err = archive.Create(path, archive.Header{}); err != nil {
				b.Fatal(err)
			}
			pages = backUp(b.Context(), cache.(backends.Dumper), w, pages)
		}
		for result, err := range cache.(backends.Deleter).Delete(b.Context(), pages) {
			if err != nil {
				b.Fatal(err)
			}
			deleted += len(result.Outcomes)
		}
		if w != nil {
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
		if deleted < n { // a walk may bring a key twice
			b.Fatalf("%d deleted", deleted)
		}
		return time.Since(began)
	}
	var plain, backed time.Duration
	size := int64(0)
	for i := range b.N {
		plain += remove("")
		path := filepath.Join(b.TempDir(), fmt.Sprint(i))
		backed += remove(path)
		if info, err := os.Stat(path); err == nil {
			size = info.Size()
		}
	}
	b.ReportMetric(plain.Seconds()/float64(b.N), "plain-s")
	b.ReportMetric(backed.Seconds()/float64(b.N), "backup-s")
	b.ReportMetric(backed.Seconds()/plain.Seconds(), "ratio")
	b.ReportMetric(float64(size)/(1<<20), "MiB")
	b.ReportMetric(0, "ns/op")
}
