package redis

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

// globAlphabet is what globs are made of, and bytes on both sides of the sign bit.
var globAlphabet = []byte("**??[[]]^-\\\\abcz\x00\n\x7f\x80\xfe\xff")

func randomGlob(r *rand.Rand, most int) string {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = globAlphabet[r.IntN(len(globAlphabet))]
	}
	return string(b)
}

// A judge knows what a real server matches: keys that are there, and SCAN.
type judge struct {
	client *goredis.Client
	keys   []string
}

func newJudge(t testing.TB, v servers.Version) *judge {
	s := servers.Redis(t, v, servers.Options{})
	j := &judge{client: goredis.NewClient(&goredis.Options{Addr: s.Addr, Protocol: 2})}
	t.Cleanup(func() { j.client.Close() })
	return j
}

// learn puts keys on the server.
func (j *judge) learn(t testing.TB, keys ...string) {
	pipe := j.client.Pipeline()
	for _, key := range keys {
		pipe.Set(context.Background(), key, "", 0)
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		t.Fatal(err)
	}
	j.keys = append(j.keys, keys...)
}

// compare holds Match against the server, for each pattern and all keys.
func (j *judge) compare(t testing.TB, patterns ...string) {
	pipe := j.client.Pipeline()
	for _, pattern := range patterns {
		// Not typed: an empty MATCH must be sent, not left out.
		pipe.Process(context.Background(), goredis.NewScanCmd(context.Background(), nil, "scan", 0, "match", pattern, "count", 1_000_000))
	}
	replies, err := pipe.Exec(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i, pattern := range patterns {
		matched, cursor := replies[i].(*goredis.ScanCmd).Val()
		if cursor != 0 {
			t.Fatal("the page was not the whole")
		}
		slices.Sort(matched)
		for _, key := range j.keys {
			_, want := slices.BinarySearch(matched, key)
			if got := backends.Match(pattern, key); got != want {
				t.Errorf("Match(%q, %q) = %v, the server says %v", pattern, key, got, want)
			}
		}
	}
}

// TestGlobIsTheServers compares 20,000 random patterns with each server's
// answer over 400 random keys: 8 million decisions a server.
func TestGlobIsTheServers(t *testing.T) {
	for _, v := range servers.Redises(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(20, 26))
			j := newJudge(t, v)
			keys := []string{""}
			for range 400 {
				keys = append(keys, randomGlob(r, 8))
			}
			slices.Sort(keys)
			j.learn(t, slices.Compact(keys)...)
			for range 200 {
				patterns := make([]string, 100)
				for i := range patterns {
					patterns[i] = randomGlob(r, 12)
				}
				if j.compare(t, patterns...); t.Failed() {
					return
				}
			}
		})
	}
}

// FuzzGlob looks for a pattern and a key on which Match and a real server
// disagree.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{{"a*b", "aab"}, {"[^a-c]?", "dx"}, {`\*[\]]`, "*]"}, {"[a-", "b"}, {"[\x80-a]", "\xff"}, {"**", ""}} {
		f.Add(seed[0], seed[1])
	}
	j := newJudge(f, servers.Default(f))
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 1000 || len(key) > 1000 {
			return
		}
		j.client.FlushDB(context.Background())
		j.keys = nil
		j.learn(t, key)
		j.compare(t, pattern)
	})
}
