package memcached

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A fakeStore deletes like a server with meta commands, but for what twist does.
type fakeStore struct {
	mu    sync.Mutex
	keys  map[string]bool
	twist func(s *fakeStore, key, number string, w *bufio.Writer) (handled, alive bool)
	calls int // of md, probes left out
}

func (s *fakeStore) answer(command string, _ *bufio.Reader, w *bufio.Writer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := strings.Fields(command)
	if words[0] == "mn" {
		w.WriteString("MN\r\n")
		return true
	}
	if words[0] != "md" {
		w.WriteString("ERROR\r\n")
		return true
	}
	key, number := words[1], strings.TrimPrefix(words[len(words)-1], "O")
	if slices.Contains(words, "b") {
		decoded, _ := base64.StdEncoding.DecodeString(key)
		key = string(decoded)
	}
	if !strings.HasPrefix(key, "cachectl ") {
		s.calls++
		if s.twist != nil {
			if handled, alive := s.twist(s, key, number, w); handled {
				return alive
			}
		}
	}
	there := s.keys[key]
	delete(s.keys, key)
	switch {
	case !there:
		fmt.Fprintf(w, "NF O%s\r\n", number)
	case !slices.Contains(words, "q"):
		fmt.Fprintf(w, "HD O%s\r\n", number)
	}
	return true
}

// stocked makes a store that has n keys k0, k1 ..., and their names.
func stocked(n int) (*fakeStore, []string) {
	s := &fakeStore{keys: make(map[string]bool)}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("k%d", i))
		s.keys[names[i]] = true
	}
	return s, names
}

// TestDeleteBeforeMeta: classic deletes, and no guard is dropped silently.
func TestDeleteBeforeMeta(t *testing.T) {
	there := map[string]bool{"a": true, "b": true}
	f := startFake(t, "1.4.39", func(command string, _ *bufio.Reader, w *bufio.Writer) bool {
		key, ok := strings.CutPrefix(command, "delete ")
		switch {
		case !ok:
			w.WriteString("ERROR\r\n")
		case key == "sick":
			w.WriteString("SERVER_ERROR out of memory\r\n")
		case there[key]:
			delete(there, key)
			w.WriteString("DELETED\r\n")
		default:
			w.WriteString("NOT_FOUND\r\n")
		}
		return true
	})
	c := quick(t, f)
	guarded := entriesOf("a")
	guarded[0].Guard, guarded[0].Have = "7", backends.FactGuard
	got := deleteAll(t.Context(), c, pagesOf(f.Addr, append(entriesOf("b"), guarded...), 1))
	var unsupported *backends.UnsupportedError
	if !errors.As(got.ends(), &unsupported) || !maps.Equal(got.did, map[string]backends.Verb{"b": backends.Deleted}) {
		t.Errorf("%v, %v", got.did, got.errs)
	}
	got = deleteAll(t.Context(), c, pagesOf(f.Addr, entriesOf("a", "no", "with space", "sick"), 2))
	want := map[string]backends.Verb{"a": backends.Deleted, "no": backends.Gone, "with space": backends.Failed, "sick": backends.Failed}
	if !maps.Equal(got.did, want) || len(got.errs) > 0 {
		t.Errorf("%v, %v", got.did, got.errs)
	}
	if len(f.heard("noreply")) > 0 || len(f.heard("delete ")) != 4 {
		t.Errorf("%q", f.heard(""))
	}
}

// TestQuietErrors: an error does not say whose it is, so all silent keys are
// asked for once more, and the counts come out exact.
func TestQuietErrors(t *testing.T) {
	s, names := stocked(2500)
	sickTwice := map[string]int{"k7": 2, "k1003": 1, "k2499": 2}
	s.twist = func(s *fakeStore, key, number string, w *bufio.Writer) (bool, bool) {
		if sickTwice[key] == 0 {
			return false, true
		}
		sickTwice[key]--
		w.WriteString("SERVER_ERROR out of memory\r\n")
		return true, true
	}
	f := startFake(t, "1.6.38", s.answer)
	got := deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf(append(names, "no")...), 2000))
	want := map[backends.Verb]int{backends.Deleted: 2498, backends.Failed: 2, backends.Gone: 1}
	if !maps.Equal(got.counts, want) || got.did["k7"] != backends.Failed || got.did["k1003"] != backends.Deleted || len(got.errs) > 0 || len(s.keys) != 2 {
		t.Errorf("%v, %v, left %v", got.counts, got.errs, s.keys)
	}
}

// TestConnectionBreaksInMidBatch: what was not answered goes again; what the
// first attempt deleted is Gone then. Three breaks in a row lose the node.
func TestConnectionBreaksInMidBatch(t *testing.T) {
	for _, breaks := range []int{1, 3, 100} {
		s, names := stocked(3000)
		left := breaks
		s.twist = func(s *fakeStore, key, number string, w *bufio.Writer) (bool, bool) {
			if s.calls%500 == 0 && left > 0 {
				left--
				delete(s.keys, key)
				return true, false
			}
			return false, true
		}
		f := startFake(t, "1.6.38", s.answer)
		c := quick(t, f)
		got := deleteAll(t.Context(), c, pagesOf(f.Addr, entriesOf(names...), 1000))
		told := got.counts[backends.Deleted] + got.counts[backends.Gone]
		if breaks < 100 && (len(got.errs) > 0 || len(s.keys) > 0 || told != 3000 || got.counts[backends.Gone] > breaks*500) {
			t.Errorf("%d breaks: %v, %v", breaks, got.counts, got.errs)
		}
		if breaks == 100 && (!errors.Is(got.ends(), backends.ErrUnreachable) || got.counts[backends.Deleted] > 0 || got.counts[backends.Failed] < 1000) {
			t.Errorf("%d breaks: %v, %v", breaks, got.counts, got.errs)
		}
		t.Logf("%d breaks: %v", breaks, got.counts)
	}
}

// TestGarbageForAnAnswer: nothing counts as deleted that the server did not say
// so about, and the node takes no more.
func TestGarbageForAnAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"words":            "STORED\r\n",
		"a key":            "NF kk5\r\n",
		"no number":        "NF\r\n",
		"foreign number":   "NF O99999\r\n",
		"negative":         "NF O-1\r\n",
		"huge":             "NF O99999999999999999999999999\r\n",
		"twice":            "NF O5\r\nNF O5\r\n",
		"another word":     "XX O5\r\n",
		"endless":          strings.Repeat("x", 1<<17),
		"endless answers":  strings.Repeat("ERROR\r\n", 5000),
		"flag behind":      "NF O5 k5\r\n",
		"binary":           "\x81\x00\x00\x00\r\n",
		"value":            "VA 2 O5\r\nMN\r\n",
		"number of before": "NF O0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, names := stocked(1500)
			s.twist = func(s *fakeStore, key, number string, w *bufio.Writer) (bool, bool) {
				if s.calls == 1006 {
					w.WriteString(strings.Replace(answer, "O5", "O"+number, 2))
					return true, true
				}
				return false, true
			}
			sick := startFake(t, "1.6.38", s.answer)
			well, _ := stocked(0)
			fine := startFake(t, "1.6.38", well.answer)
			c := quick(t, sick, fine)
			began := time.Now()
			got := deleteAll(t.Context(), c, func(yield func(backends.Page, error) bool) {
				for page := range pagesOf(sick.Addr, entriesOf(names...), 500) {
					if !yield(page, nil) || !yield(backends.Page{Shard: fine.Addr, Entries: entriesOf("x")}, nil) {
						return
					}
				}
			})
			var shard *backends.ShardError
			if len(got.errs) != 1 || !errors.As(got.errs[0], &shard) || shard.Shard != sick.Addr || len(got.errs[0].Error()) > 400 {
				t.Errorf("%v", got.errs)
			}
			if got.counts[backends.Deleted] != 1000 || got.counts[backends.Failed] != 500 || got.counts[backends.Gone] != 3 || got.failed == nil {
				t.Errorf("%v", got.counts)
			}
			if time.Since(began) > 30*time.Second {
				t.Errorf("it took %v", time.Since(began))
			}
		})
	}
}

// TestLateAnswers: one that comes too late is for a connection that is closed by
// then; a server that is always late is lost, in bounded time.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	for _, always := range []bool{false, true} {
		s, names := stocked(50)
		late, over := 0, make(chan struct{})
		s.twist = func(s *fakeStore, key, number string, w *bufio.Writer) (bool, bool) {
			switch {
			case key != "k20":
			case always:
				<-over
			case late == 0:
				late++
				time.Sleep(400 * time.Millisecond) // the timeout is 250 ms
			}
			return false, true
		}
		f := startFake(t, "1.6.38", s.answer)
		began := time.Now()
		got := deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf(names...), 10))
		close(over)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		told := got.counts[backends.Deleted] + got.counts[backends.Gone]
		if !always && (told != 50 || len(got.errs) > 0) {
			t.Errorf("late once: %v, %v", got.counts, got.errs)
		}
		if always && (!errors.Is(got.ends(), backends.ErrUnreachable) || told != 20 || got.did["k20"] != backends.Failed) {
			t.Errorf("always late: %v, %v", got.counts, got.errs)
		}
	}
}

// TestSilentServerAndCtrlC: a timeout is all that the end waits for answers.
func TestSilentServerAndCtrlC(t *testing.T) {
	s, names := stocked(3000)
	ctx, cancel := context.WithCancel(t.Context())
	s.twist = func(s *fakeStore, key, number string, w *bufio.Writer) (bool, bool) {
		if s.calls > 1500 {
			cancel()
			return true, true // nothing
		}
		return false, true
	}
	f := startFake(t, "1.6.38", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
		return command == "mn" && ctx.Err() != nil || s.answer(command, r, w)
	})
	c := quick(t, f)
	began := time.Now()
	got := deleteAll(ctx, c, pagesOf(f.Addr, entriesOf(names...), 1000))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if !errors.Is(got.ends(), context.Canceled) || len(got.errs) != 1 || got.counts[backends.Deleted] != 1000 || got.counts[backends.Failed] < 1000 {
		t.Errorf("%v, %v", got.counts, got.errs)
	}
}

// TestOddServers: a quiet mode that hides misses too is not used; blanks at the
// end of a line mean nothing; trouble at the first question loses the node.
func TestOddServers(t *testing.T) {
	hidden, names := stocked(5)
	f := startFake(t, "1.6.99", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
		var mute strings.Builder
		inner := bufio.NewWriter(&mute)
		alive := hidden.answer(command, r, inner)
		inner.Flush()
		if !strings.Contains(command, " q ") {
			w.WriteString(mute.String())
		}
		return alive
	})
	got := deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf(append(names, "no", "a b")...), 3))
	if got.counts[backends.Deleted] != 5 || got.counts[backends.Gone] != 2 || len(got.errs) > 0 {
		t.Errorf("hidden misses: %v, %v", got.counts, got.errs)
	}

	blank, names := stocked(5)
	f = startFake(t, "1.6.12", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
		var plain strings.Builder
		inner := bufio.NewWriter(&plain)
		alive := blank.answer(command, r, inner)
		inner.Flush()
		w.WriteString(strings.Replace(plain.String(), "\r\n", map[bool]string{true: "\r\n", false: " \r\n"}[command == "mn"], 1))
		return alive
	})
	got = deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf(append(names, "no")...), 3))
	if got.counts[backends.Deleted] != 5 || got.counts[backends.Gone] != 1 || len(got.errs) > 0 {
		t.Errorf("blanks: %v, %v", got.counts, got.errs)
	}

	for _, answer := range []string{"SERVER_ERROR backend failure\r\n", "HD O0\r\n", "NF O0\r\nERROR\r\n", "", "VERSION 1.6.38\r\n"} {
		f = startFake(t, "1.6.38", func(command string, r *bufio.Reader, w *bufio.Writer) bool {
			if strings.HasPrefix(command, "md ") {
				w.WriteString(answer)
			}
			return true
		})
		got = deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf("a", "b"), 1))
		if got.ends() == nil || got.counts[backends.Failed] != 1 || len(got.counts) != 1 || len(f.heard("md a")) > 0 {
			t.Errorf("%q: %v, %v", answer, got.counts, got.errs)
		}
	}
}

// TestWhatIsNoKeyIsNotSent: not a byte of it.
func TestWhatIsNoKeyIsNotSent(t *testing.T) {
	s, _ := stocked(0)
	f := startFake(t, "1.6.38", s.answer)
	bad := []string{"", strings.Repeat("k", 251), strings.Repeat("\x01", 187), strings.Repeat("k\r\nflush_all\r\n", 100)}
	got := deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf(bad...), 3))
	if got.counts[backends.Failed] != 4 || len(got.errs) > 0 || len(f.heard("md ")) > 0 || len(f.heard("flush_all")) > 0 {
		t.Errorf("%v, %v, %q", got.counts, got.errs, f.heard(""))
	}
	for _, key := range hostileKeys() {
		deleteAll(t.Context(), quick(t, f), pagesOf(f.Addr, entriesOf(key), 1))
	}
	if len(f.heard("flush_all")) > 0 { // base64 hides the word
		t.Errorf("%q", f.heard("flush_all"))
	}
}
