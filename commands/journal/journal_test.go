package journal

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/backends"
)

var head = Head{ID: "1", Command: "rm", Target: "redis://h", Patterns: []string{"a*"}, Flags: map[string][]string{"type": {"hash"}}}

// pages are n pages of two keys of a shard, the last one marked.
func pages(shard string, n int) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for i := range n {
			p := backends.Page{Shard: shard, After: backends.Mark(fmt.Sprintf("m:%d", i+1)), Last: i == n-1}
			for k := range 2 {
				p.Entries = append(p.Entries, backends.Entry{Key: fmt.Sprintf("%s\x00\xff:%d:%d", shard, i, k)})
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// remove is a change: every key is deleted, but for those that fail.
func remove(all iter.Seq2[backends.Page, error], fails func(key string) error) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		for p, err := range all {
			r := backends.Result{Shard: p.Shard, After: p.After, Last: p.Last}
			for _, e := range p.Entries {
				o := backends.Outcome{Key: e.Key, Did: backends.Deleted}
				if fails != nil && fails(e.Key) != nil {
					o.Did, o.Err = backends.Failed, fails(e.Key)
				}
				r.Outcomes = append(r.Outcomes, o)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func never(string) bool { return false }

// recorded writes a journal of a whole run and returns its bytes.
func recorded(t *testing.T, end bool) (path string, data []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "j")
	j, err := Create(path, head, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.Begin(1)
	if err := j.Pass(1); err != nil {
		t.Fatal(err)
	}
	for _, shard := range []string{"a", "b"} {
		for _, err := range j.Settle(remove(j.Intend(pages(shard, 5)), nil), s) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if end {
		err = j.End("complete")
	}
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	data, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestJournalTellsTheRun(t *testing.T) {
	path, data := recorded(t, true)
	s, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Command != "rm" || s.Target != "redis://h" || !slices.Equal(s.Patterns, head.Patterns) || s.Flags["type"][0] != "hash" {
		t.Errorf("head %+v", s.Head)
	}
	if s.Sum(backends.Deleted) != 20 || s.Marks["a"] != "m:5" || s.Marks["b"] != "m:5" || s.Pass != 1 || s.Ended != "complete" || s.PerPass[0] != 20 {
		t.Errorf("state %+v", s)
	}
	if n := bytes.Count(data, []byte(`"b64"`)); n != 20 {
		t.Errorf("%d keys of odd bytes, want 20", n)
	}
}

// TestJournalIsTornAnywhere: whatever a crash leaves of the file, it tells no more
// than what was settled, can be gone on with, and what is appended is read.
func TestJournalIsTornAnywhere(t *testing.T) {
	_, data := recorded(t, false)
	ready := bytes.Index(data, []byte("\n")) + 1
	ready += bytes.Index(data[ready:], []byte("\n")) + 1
	for cut := range len(data) {
		path := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, s, err := Open(path)
		if cut < ready {
			if err == nil {
				t.Fatalf("%d bytes are a journal", cut)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", cut, err)
		}
		before := s.Sum(backends.Deleted)
		s.Begin(max(s.Pass, 1))
		for _, err := range j.Settle(remove(j.Intend(pages("c", 1)), nil), s) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Read(path); err != nil || s.Sum(backends.Deleted) != before+2 || s.Marks["c"] != "m:1" {
			t.Fatalf("%d bytes and two keys more: %+v, %v", cut, s, err)
		}
	}
}

// TestIntendedBeforeDone: a page is passed on only when its names are on the disk.
func TestIntendedBeforeDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := Create(path, head, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for page, err := range j.Intend(pages("s", 100)) {
		if err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(path)
		for _, e := range page.Entries {
			key, _ := name(e.Key).MarshalJSON()
			if !bytes.Contains(data, key) {
				t.Fatalf("%q is passed on and not in the file", e.Key)
			}
		}
	}
}

// TestFailuresHoldTheMark: behind a key that failed the shard's mark stays until the
// round is settled; of a shard that was lost it stays for good, and nothing counts.
func TestFailuresHoldTheMark(t *testing.T) {
	boom := errors.New("boom")
	for _, lost := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "j")
		j, err := Create(path, head, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := NewState()
		s.Begin(1)
		j.Pass(1)
		third := func(key string) error {
			if strings.Contains(key, ":2:1") {
				return boom
			}
			return nil
		}
		for range j.Settle(remove(j.Intend(pages("s", 5)), third), s) {
		}
		if s.Marks["s"] != "m:2" {
			t.Errorf("the mark is %q behind a failure, want m:2", s.Marks["s"])
		}
		if _, err := s.Round(j, func(string) bool { return lost }); err != nil {
			t.Fatal(err)
		}
		j.Close()
		again, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		want, failed := backends.Mark("m:5"), 1
		if lost {
			want, failed = "m:2", 0
		}
		for _, s := range []*State{s, again} {
			if s.Marks["s"] != want || s.Sum(backends.Failed) != int64(failed) || len(s.Failures) != failed || s.Sum(backends.Deleted) != 9 {
				t.Errorf("lost %v: mark %q, %d failed, %v, %d deleted", lost, s.Marks["s"], s.Sum(backends.Failed), s.Failures, s.Sum(backends.Deleted))
			}
		}
	}
}

// TestStoppedRunTriesAgain: a run that was stopped tells its failures; the one that goes on
// knows nothing of them, has the shard's mark in front of them, and of a list the keys.
func TestStoppedRunTriesAgain(t *testing.T) {
	for _, listed := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "j")
		h, list := head, []string(nil)
		source := pages("s", 3)
		if listed {
			h.Listed, list = true, []string{"a:2:1", "b", "c:2:1"}
			source = backends.Pages(slices.Values(list), 1)
		}
		j, err := Create(path, h, list)
		if err != nil {
			t.Fatal(err)
		}
		s := NewState()
		s.Head = h
		s.Begin(1)
		j.Pass(1)
		denied := func(key string) error {
			if strings.Contains(key, ":2:1") {
				return errors.New("denied")
			}
			return nil
		}
		for range j.Settle(remove(j.Intend(source), denied), s) {
		}
		if err := s.Stop(j, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if want := int64(len(s.Failures)); want == 0 || s.Sum(backends.Failed) != want || len(s.Again) > 0 {
			t.Errorf("listed %v: the run itself tells %d failures, %v, twice %v", listed, s.Sum(backends.Failed), s.Failures, s.Again)
		}
		next, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if next.Sum(backends.Failed) != 0 || len(next.Failures) > 0 {
			t.Errorf("listed %v: the run that goes on has %d failures, %v", listed, next.Sum(backends.Failed), next.Failures)
		}
		if listed && !slices.Equal(next.List, []string{"a:2:1", "c:2:1"}) {
			t.Errorf("left of the list are %q", next.List)
		}
		if !listed && next.Marks["s"] != "m:2" {
			t.Errorf("the mark is %q behind a failure, want m:2", next.Marks["s"])
		}
	}
}

// TestListGoesOn: of a list what is left comes again, in every state a crash can leave.
func TestListGoesOn(t *testing.T) {
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprintf("k%02d", i))
	}
	path := filepath.Join(t.TempDir(), "j")
	h := head
	h.Listed = true
	j, err := Create(path, h, list)
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.Head = h
	s.Begin(1)
	j.Pass(1)
	fails := func(key string) error {
		if key == "k07" {
			return errors.New("its node is down")
		}
		return nil
	}
	done := make(map[string]bool)
	for r := range j.Settle(remove(j.Intend(backends.Pages(slices.Values(list), 3)), fails), s) {
		for _, o := range r.Outcomes {
			done[o.Key] = o.Did == backends.Deleted
		}
	}
	again, err := s.Round(j, func(string) bool { return true })
	if err != nil || !slices.Equal(again, []string{"k07"}) {
		t.Fatalf("to be tried again: %v, %v", again, err)
	}
	j.Close()
	data, _ := os.ReadFile(path)
	for cut := bytes.Index(data, []byte(`"ready"`)) + 20; cut <= len(data); cut++ {
		os.WriteFile(path, data[:cut], 0o600)
		s, err := Read(path)
		if err != nil {
			t.Fatalf("%d bytes: %v", cut, err)
		}
		for _, key := range list { // what is not done must be left
			if !done[key] && !slices.Contains(s.List, key) {
				t.Fatalf("%d bytes: %q is neither done nor left: %v", cut, key, s.List)
			}
		}
	}
	if s, _ := Read(path); !slices.Equal(s.List, []string{"k07"}) {
		t.Errorf("left is %v, want k07", s.List)
	}
}

func TestJournalRefuses(t *testing.T) {
	path, _ := recorded(t, true)
	if _, err := Create(path, head, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("creating it again: %v", err)
	}
	j, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opening it twice: %v", err)
	}
	j.Close()
	for name, content := range map[string]string{
		"empty": "", "text": "hello\nworld\n", "json": "{}\n", "newer": `{"cachectl_journal":9}` + "\n",
		"broken": `{"cachectl_journal":1}` + "\n" + `{"ready":true}` + "\nnot json\n", "binary": "\x00\xff\n\n",
	} {
		path := filepath.Join(t.TempDir(), name)
		os.WriteFile(path, []byte(content), 0o600)
		if _, err := Read(path); err == nil {
			t.Errorf("%s is a journal", name)
		}
		if data, _ := os.ReadFile(path); string(data) != content {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestFullDisk: where the journal cannot be written, no page is passed on.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := Create(path, head, nil)
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.Open(path) // takes no writes, as a full disk does
	if err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	j.file = full
	j.out.Reset(full)
	var last error
	for page, err := range j.Intend(pages("s", 100)) {
		if last = err; err == nil {
			t.Fatalf("page %v is passed on", page.Entries)
		}
	}
	var failed *Error
	if !errors.As(last, &failed) || failed.Path != path {
		t.Errorf("error %v", last)
	}
}

// TestNoJournal: without a file everything passes through, and the state is kept.
func TestNoJournal(t *testing.T) {
	var j *Journal
	s := NewState()
	s.Begin(1)
	for _, err := range j.Settle(remove(j.Intend(pages("s", 5)), nil), s) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Round(j, never); err != nil || s.Marks["s"] != "m:5" || s.Sum(backends.Deleted) != 10 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := errors.Join(j.Pass(1), j.End("complete"), j.Close()); err != nil || j.Path() != "" {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"cachectl_journal":1}` + "\n" + `{"ready":true}` + "\n" + `{"pass":1}` + "\n" + `{"did":"a","after":"m:1","count":{"deleted":1}}` + "\n"))
	f.Add([]byte(`{"cachectl_journal":1,"listed":true}` + "\n" + `{"list":["a",{"b64":"/w=="}]}` + "\n" + `{"ready":true}` + "\n" + `{"did":"","skip":3,"redo":["x"]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, whole, err := read(bytes.NewReader(data))
		if err == nil && (s == nil || whole > int64(len(data))) {
			t.Errorf("%d of %d bytes", whole, len(data))
		}
	})
}
