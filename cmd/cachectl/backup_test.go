package main

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
	"github.com/cachectl/cachectl/backends/memcached"
	"github.com/cachectl/cachectl/backends/redis"
)

// backupOf writes the keys of a cache that match to a backup that is an hour old, "twice"
// with each key two times: "backup FILE URL PATTERN [twice]".
func backupOf(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: backup file url pattern")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	u, err := url.Parse(args[1])
	ts.Check(err)
	open := backends.Opener(redis.Open)
	if strings.HasPrefix(u.Scheme, "memcached") {
		open = memcached.Open
	}
	b, err := open(ctx, u)
	ts.Check(err)
	defer b.Close()
	w, err := archive.Create(ts.MkAbs(args[0]), archive.Header{Created: time.Now().Add(-time.Hour), Target: b.Name(), Selection: args[2]})
	ts.Check(err)
	for page, err := range b.(backends.Scanner).Scan(ctx, backends.Query{Match: args[2]}) {
		ts.Check(err)
		var keys []string
		for _, e := range page.Entries {
			keys = append(keys, e.Key)
		}
		for records, err := range b.(backends.Dumper).Dump(ctx, keys) {
			ts.Check(err)
			if len(args) > 3 {
				old := records[0]
				old.Value = []byte("the first of two values")
				ts.Check(w.Append(old))
			}
			ts.Check(w.Append(records...))
		}
		ts.Check(w.Sync())
	}
	ts.Check(w.Close())
}

// damage cuts a file to so many bytes less, or flips the byte that is so far from its
// beginning: "damage FILE -100", "damage FILE 1000".
func damage(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if n < 0 {
		data = data[:len(data)+n]
	} else {
		data[n] ^= 1
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}
