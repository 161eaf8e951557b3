package redis

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cachectl/cachectl/backends"
)

func TestParseInfo(t *testing.T) {
	got := parseInfo("# Server\r\nredis_version:7.0.15\r\nexecutable:/a:b\r\n\r\nnonsense\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\nredis_version:again\r\n")
	want := map[string]string{"redis_version": "7.0.15", "executable": "/a:b", "db0": "keys=3,expires=1,avg_ttl=0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFillStatsKeepsTheUnknownUnknown(t *testing.T) {
	var s backends.Stats
	s.Counts = make(map[backends.Counter]uint64)
	fillStats(&s, parseInfo("redis_version:7.1.0\r\nkeyspace_hits:12\r\nused_memory:nonsense\r\nexpired_keys:-1\r\n"), parseInfo("cmdstat_get:calls=3,usec=9\r\n"))
	want := map[backends.Counter]uint64{backends.Hits: 12, backends.Keys: 0}
	if diff := cmp.Diff(want, s.Counts); diff != "" {
		t.Error(diff)
	}
	fillStats(&s, nil, nil) // INFO forbidden: nothing at all
}

func TestSumOver(t *testing.T) {
	info := parseInfo("cmdstat_get:calls=3,rejected_calls=1,failed_calls=2\r\ncmdstat_config|get:calls=1,rejected_calls=0,failed_calls=5\r\nother:failed_calls=9\r\n")
	if n, ok := sumOver(info, "cmdstat_", "failed_calls"); n != 7 || !ok {
		t.Errorf("got %d, %v, want 7, true", n, ok)
	}
	if _, ok := sumOver(parseInfo("cmdstat_get:calls=3\r\n"), "cmdstat_", "failed_calls"); ok {
		t.Error("a server before 6.2 tells no failed calls: unknown, not 0")
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]version{"7.0.15": {7, 0}, "8.1": {8, 1}, "": {}, "unstable": {}, "255.255.255": {255, 255}} {
		if got := parseVersion(text); got != want {
			t.Errorf("parseVersion(%q) = %v, want %v", text, got, want)
		}
	}
}

// FuzzInfo feeds replies of INFO, seeded with captured ones.
func FuzzInfo(f *testing.F) {
	captured, err := filepath.Glob("testdata/info-*.txt")
	if err != nil || len(captured) == 0 {
		f.Fatalf("no captured replies: %v", err)
	}
	for _, path := range captured {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := backends.Stats{Counts: make(map[backends.Counter]uint64)}
		fillStats(&s, parseInfo(text), parseInfo(text))
		parseVersion(s.Version)
	})
}
