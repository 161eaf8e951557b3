package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/cachectl/cachectl/backends"
)

// long tells whether tests may take their time: make test-long.
func long() bool { return os.Getenv("CACHECTL_LONG") == "1" }

// A removal is all that a deletion had to say.
type removal struct {
	outcomes []backends.Outcome
	did      map[backends.Verb]int
	notices  []*backends.Notice
	lost     []*backends.ShardError
	end      error
}

// removed reads a deletion to its end. see, where there is one, is called after
// each result.
func removed(t *testing.T, results iter.Seq2[backends.Result, error], see func(results int)) removal {
	t.Helper()
	r, n := removal{did: make(map[backends.Verb]int)}, 0
	for result, err := range results {
		var notice *backends.Notice
		var shard *backends.ShardError
		switch {
		case r.end != nil:
			t.Errorf("after the end (%v) came %+v, %v", r.end, result, err)
		case errors.As(err, &notice):
			r.notices = append(r.notices, notice)
		case errors.As(err, &shard):
			r.lost = append(r.lost, shard)
		case err != nil:
			r.end = err
		}
		for _, o := range result.Outcomes {
			if r.did[o.Did]++; (o.Err != nil) != (o.Did == backends.Failed) || o.Did == "" {
				t.Errorf("%.40q: %q with error %v", o.Key, o.Did, o.Err)
			}
			r.outcomes = append(r.outcomes, o)
		}
		if n++; see != nil && err == nil {
			see(n)
		}
	}
	return r
}

func (r removal) String() string {
	return fmt.Sprintf("%v, %d notices, lost %v, end %v", r.did, len(r.notices), r.lost, r.end)
}

// want holds the numbers against what is expected: deleted, gone, kept, failed.
func (r removal) want(t *testing.T, deleted, gone, kept, failed int) {
	t.Helper()
	want := map[backends.Verb]int{backends.Deleted: deleted, backends.Gone: gone, backends.Kept: kept, backends.Failed: failed}
	maps.DeleteFunc(want, func(_ backends.Verb, n int) bool { return n == 0 })
	if !maps.Equal(r.did, want) {
		t.Errorf("%v; want %v", r, want)
	}
}

// verb is what became of a key.
func (r removal) verb(key string) (did backends.Verb, err error) {
	for _, o := range r.outcomes {
		if o.Key == key {
			return o.Did, o.Err
		}
	}
	return "no outcome", nil
}

func remove(t *testing.T, b backends.Backend, keys []string, page int) removal {
	t.Helper()
	return removed(t, b.(backends.Deleter).Delete(t.Context(), backends.Pages(slices.Values(keys), page)), nil)
}

// write sets n keys and returns their names.
func write(t *testing.T, c goredis.UniversalClient, prefix string, n int) []string {
	t.Helper()
	keys := make([]string, n)
	pipe := c.Pipeline()
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%06d", prefix, i)
		pipe.Set(context.Background(), keys[i], "v", 0)
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		t.Fatal(err)
	}
	return keys
}

// left counts which of the keys are there.
func left(t *testing.T, c goredis.UniversalClient, keys []string) int {
	t.Helper()
	pipe, n := c.Pipeline(), 0
	for _, key := range keys {
		pipe.Exists(context.Background(), key)
	}
	cmds, err := pipe.Exec(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range cmds {
		n += int(cmd.(*goredis.IntCmd).Val())
	}
	return n
}

// calls is how often the server ran a command, by its own count.
func calls(t *testing.T, c *goredis.Client, command string) uint64 {
	t.Helper()
	return keyspaceNumber(parseInfo(c.Info(context.Background(), "commandstats").Val())["cmdstat_"+command], "calls")
}
