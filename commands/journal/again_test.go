package journal

import (
	"errors"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends"
)

// TestWhatMayBeCountedTwice: a walk that begins elsewhere than at its shard's mark is
// told, in the state and in the journal, and no other.
func TestWhatMayBeCountedTwice(t *testing.T) {
	boom := func(key string) error {
		if strings.Contains(key, ":2:1") {
			return errors.New("boom")
		}
		return nil
	}
	// walk is n pages behind an empty one, which says where it begins.
	walk := func(shard string, begin backends.Mark, n int, fails func(string) error) iter.Seq2[backends.Result, error] {
		return func(yield func(backends.Result, error) bool) {
			if !yield(backends.Result{Shard: shard, After: begin}, nil) {
				return
			}
			remove(pages(shard, n), fails)(yield)
		}
	}
	lost := func(string) bool { return true }
	for name, c := range map[string]struct {
		first func(string) error // in the first round
		round bool               // it ended in good order
		lost  func(string) bool
		pass  int
		shard string
		begin backends.Mark
		twice string
	}{
		"on from the mark":               {round: true, lost: never, shard: "a", begin: "m:5"},
		"another process":                {round: true, lost: never, shard: "a", begin: "other:0", twice: "a"},
		"another node":                   {round: true, lost: never, shard: "b", begin: "m:0", twice: "b"},
		"the next pass":                  {round: true, lost: never, pass: 2, shard: "a", begin: "m:0"},
		"killed, on from the mark":       {shard: "a", begin: "m:5"},
		"killed, another process":        {shard: "a", begin: "other:0", twice: "a"},
		"failed, its own":                {first: boom, round: true, lost: never, shard: "a", begin: "m:5"},
		"failed with its node":           {first: boom, round: true, lost: lost, shard: "a", begin: "m:2", twice: "a"},
		"killed behind a key that fails": {first: boom, shard: "a", begin: "m:2", twice: "a"},
	} {
		path := filepath.Join(t.TempDir(), "j")
		j, err := Create(path, head, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := NewState()
		s.Begin(1)
		j.Pass(1)
		for range j.Settle(walk("a", "m:0", 5, c.first), s) {
		}
		if c.round {
			if _, err := s.Round(j, c.lost); err != nil {
				t.Fatal(err)
			}
		} else { // another process goes on
			j.Close()
			if j, s, err = Open(path); err != nil {
				t.Fatal(err)
			}
		}
		if c.pass > 0 {
			s.Begin(c.pass)
			j.Pass(c.pass)
		}
		for range j.Settle(walk(c.shard, c.begin, 1, nil), s) {
		}
		j.Close()
		read, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		for who, s := range map[string]*State{"state": s, "journal": read} {
			for _, shard := range []string{"a", "b"} {
				if s.Again[shard] != (shard == c.twice) {
					t.Errorf("%s: %s: twice: %v, want %q", name, who, s.Again, c.twice)
				}
			}
		}
	}
}

// TestListIsCountedOnce: keys of a list are settled in order; only where a run was killed
// between a failed key and the end of the round are some of them met again.
func TestListIsCountedOnce(t *testing.T) {
	for _, killed := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "j")
		h := head
		h.Listed = true
		j, err := Create(path, h, []string{"a", "b", "c", "d"})
		if err != nil {
			t.Fatal(err)
		}
		s := NewState()
		s.Head = h
		s.Begin(1)
		j.Pass(1)
		fails := func(key string) error {
			if key == "b" {
				return errors.New("its node is down")
			}
			return nil
		}
		list := backends.Pages(func(yield func(string) bool) { _ = yield("a") && yield("b") && yield("c") && yield("d") }, 1)
		for range j.Settle(remove(j.Intend(list), fails), s) {
		}
		if !killed {
			if _, err := s.Round(j, func(string) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
		j.Close()
		if s, err := Read(path); err != nil || s.Again[""] != killed {
			t.Errorf("killed %v: twice %v, %v", killed, s.Again, err)
		}
	}
}

// TestUnsaid: what a killed run had begun and did not tell is known to the one that goes on, and to all after it.
func TestUnsaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := Create(path, Head{ID: "x", Command: "rm"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	will, did := func(shard string, keys ...string) {
		if err := errors.Join(j.write(record{Will: &shard, Keys: names(keys)}), j.sync()); err != nil {
			t.Fatal(err)
		}
	}, func(shard string, n int64) {
		if err := errors.Join(j.write(record{Did: &shard, After: "1:1", Count: map[string]int64{"deleted": n}}), j.sync()); err != nil {
			t.Fatal(err)
		}
	}
	killed := func(want int64) {
		t.Helper()
		j.Close()
		var s *State
		if j, s, err = Open(path); err != nil || s.Unsaid != want {
			t.Fatalf("%d keys are unsaid, %v; want %d", s.Unsaid, err, want)
		}
	}
	will("a", "1", "2", "3")
	did("a", 2)
	killed(1)
	killed(1)
	will("a", "3", "4")
	did("a", 1)
	will("b", "5")
	killed(3)
	will("b", "5")
	did("b", 1)
	if err := j.End("interrupted"); err != nil {
		t.Fatal(err)
	}
	killed(3)
}
