package source

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/archive"
)

func piece(key string, n int, more bool, freq int64) backends.Record {
	r := backends.Record{Key: key, Form: "commands", Type: "list", Part: n, More: more, Value: fmt.Append(nil, key, n)}
	if freq > 0 {
		r.Freq, r.Have = freq, backends.FactFreq
	}
	return r
}

func writeBackup(t *testing.T, groups ...[]backends.Record) string {
	path := filepath.Join(t.TempDir(), "backup")
	w, err := archive.Create(path, archive.Header{Target: "redis://h"})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if err := errors.Join(w.Append(g...), w.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func openBackup(t *testing.T, path string) *archive.Reader {
	r, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func told2(s Stream) (all []string, offsets []Offset) {
	for it, err := range s {
		text := fmt.Sprintf("%s/%s.%d=%s", it.Key, it.Shard, it.Part, it.Value)
		if !math.IsNaN(it.Heat) {
			text += fmt.Sprint(" ", it.Heat)
		}
		if err != nil {
			text = err.Error()
		}
		all, offsets = append(all, text), append(offsets, it.Offset)
	}
	return all, offsets
}

func TestBackup(t *testing.T) {
	value := func(key, value string) backends.Record {
		return backends.Record{Key: key, Form: "rdb", Type: "string", Value: []byte(value), Idle: 90 * time.Second, Have: backends.FactIdle}
	}
	ofNode := value("a", "other node")
	ofNode.Shard = "h:1"
	path := writeBackup(t,
		[]backends.Record{value("a", "old"), piece("big", 0, true, 0), piece("big", 1, false, 0), value("b", "1"), ofNode},
		[]backends.Record{piece("big", 0, true, 7), value("c", "2"), piece("huge", 0, true, 9), piece("big", 1, true, 0), value("a", "new"), piece("big", 2, false, 0)},
		[]backends.Record{piece("huge", 1, false, 0), value("d", "3")})
	r := openBackup(t, path)
	want := []string{"b/.0=1 -90", "a/h:1.0=other node -90", "big/.0=big0 7", "c/.0=2 -90", "huge/.0=huge0 9", "big/.1=big1 7", "a/.0=new -90", "big/.2=big2 7", "huge/.1=huge1 9", "d/.0=3 -90"}
	all, offsets := told2(Backup(r, Options{}))
	if strings.Join(all, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%s", strings.Join(all, "\n"))
	}
	// Behind an item that stands between the parts of a value that value comes whole.
	if got, want := fmt.Sprint(offsets), "[0:0:1 0:0:2 0:0:2 0:0:2 0:0:2 0:0:2 0:0:2 0:0:4 0:0:9 0:0:10]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, o := range offsets {
		if rest, _ := told2(Backup(r, Options{From: o})); strings.Join(rest, "\n") != strings.Join(want[o.Skip:], "\n") {
			t.Errorf("from %v: %v", o, rest)
		}
	}
	sorted, offsets := told2(ByHeat(Backup(r, Options{}), OrderOptions{}))
	if got := strings.Join(sorted, " "); !strings.HasPrefix(got, "huge/.0=huge0 9 huge/.1=huge1 9 big/.0=big0 7 big/.1=big1 7 big/.2=big2 7 b/.0=1 -90 ") || len(sorted) != len(want) {
		t.Error(got)
	}
	if got := fmt.Sprint(offsets[:6]); got != "[0:0:0 0:0:2 0:0:2 0:0:2 0:0:5 0:0:6]" {
		t.Error(got)
	}
}

// TestTornBackup: every whole record comes, and then what was lost is told.
func TestTornBackup(t *testing.T) {
	path := writeBackup(t, []backends.Record{piece("a", 0, false, 0)}, []backends.Record{piece("b", 0, false, 0)}, []backends.Record{piece("c", 0, false, 5)})
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file[strings.Index(string(file), "b0")-20] ^= 0xff
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Stream{"as it is": Backup(openBackup(t, path), Options{}), "sorted": ByHeat(Backup(openBackup(t, path), Options{}), OrderOptions{})} {
		var torn *archive.TornError
		var keys string
		for it, err := range s {
			if errors.As(err, &torn) != (err != nil) {
				t.Error(err)
			}
			keys += it.Key
		}
		if keys != "ac" && keys != "ca" || torn == nil || torn.Records != 1 {
			t.Errorf("%s: %s came, then %v", name, keys, torn)
		}
	}
}
