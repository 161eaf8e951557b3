package purge

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestJournalResume: a run that was cut short, resumed until nothing is left,
// purges every item, and none twice that was told as purged.
func TestJournalResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := &desk{name: "d", size: 3}
	j, err := CreateJournal(path, "key", planned(t, d, list(20)))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]int)
	for round := 0; len(j.Pending()) > 0; round++ {
		if round > 30 {
			t.Fatal("it does not come to an end")
		}
		ctx, cancel := context.WithCancel(t.Context())
		d.answer = func(n int, c Call) ([]Receipt, error) {
			switch {
			case n%5 == 0:
				cancel()
				return nil, ctx.Err()
			case n%3 == 0 && len(c.Items) > 1: // only a part of it
				return taken(c, c.Items[:1]), errors.New("refused")
			}
			return taken(c, c.Items), nil
		}
		for o, err := range Run(ctx, []Purger{d}, j.Pending(), Options{Key: j.Key, Journal: j}) {
			if err == nil && o.Err == nil {
				for _, v := range values(o.Items) {
					told[v]++
				}
			}
		}
		cancel()
		j.Close()
		if j, err = OpenJournal(path); err != nil {
			t.Fatal(err)
		}
		if j.Key != "key" {
			t.Fatalf("key %q", j.Key)
		}
	}
	defer j.Close()
	if len(told) != 20 {
		t.Errorf("%d items purged", len(told))
	}
	for v, n := range told {
		if n != 1 {
			t.Errorf("%s purged %d times", v, n)
		}
	}
	if got := len(j.Receipts()); got < 7 {
		t.Errorf("%d receipts in the journal", got)
	}
}

// TestJournalBeforeReport: what is reported as purged is in the file by then.
func TestJournalBeforeReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := &desk{name: "d", size: 2, parallel: 4}
	calls := planned(t, d, list(40))
	j, err := CreateJournal(path, "key", calls)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for o, err := range Run(t.Context(), []Purger{d}, calls, Options{Key: "key", Journal: j}) {
		if err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(path)
		if !strings.Contains(string(text), `"op":"done"`) || !strings.Contains(string(text), `"id":"`+o.Call.ID+`"`) {
			t.Fatalf("%s is reported and not recorded", o.Call.ID)
		}
	}
}

func TestJournalTorn(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	d := &desk{name: "d", size: 1}
	calls := planned(t, d, list(3))
	j, err := CreateJournal(whole, "key", calls)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Record(Entry{Op: Done, ID: calls[0].ID}, Entry{Op: Done, ID: calls[1].ID}); err != nil {
		t.Fatal(err)
	}
	j.Close()
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndexByte(string(text[:len(text)-1]), '\n') + 1
	for cut := last; cut < len(text); cut++ {
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(torn)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut-last, err)
		}
		if got := len(j.Pending()); got != 2 {
			t.Fatalf("cut at %d: %d calls pending, want 2", cut-last, got)
		}
		if err := j.Record(Entry{Op: Done, ID: calls[2].ID}); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if j, err = OpenJournal(torn); err != nil || len(j.Pending()) != 1 {
			t.Fatalf("written on after a cut at %d: %v", cut-last, err)
		}
		j.Close()
	}
	middle := strings.Replace(string(text), `{"op":"queue"`, `{"op":queue`, 1)
	if err := os.WriteFile(whole, []byte(middle), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(whole); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad line in the middle: %v", err)
	}
}

func TestJournalRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if _, err := OpenJournal(path); !errors.Is(err, ErrJournal) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path); !errors.Is(err, ErrJournal) {
		t.Errorf("an empty line: %v", err)
	}
	if _, err := CreateJournal(path, "key", nil); !errors.Is(err, ErrJournal) || Hint(err) == "" {
		t.Errorf("an existing file: %v", err)
	}
}

type fullDisk struct{ after int }

func (f *fullDisk) Record(...Entry) error {
	if f.after--; f.after < 0 {
		return ErrJournal
	}
	return nil
}

// TestJournalFails: the run ends, and still tells what became of every item.
func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 1, rates: []Rate{{Name: "r", PerSecond: 1, Burst: 1}}}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(20)), Options{Journal: &fullDisk{after: 3}})
		if len(r.purged) != 4 || len(r.failed) != 16 || !errors.Is(r.err, ErrJournal) {
			t.Fatalf("%d purged, %d failed: %v", len(r.purged), len(r.failed), r.err)
		}
	})
}

func TestReference(t *testing.T) {
	a, b := Item{Kind: Path, Value: "/a"}, Item{Kind: Path, Value: "/b"}
	same := Reference("run 1", NewCall("cdn:x", []Item{a, b}))
	for what, other := range map[string]string{
		"order": Reference("run 1", NewCall("cdn:x", []Item{b, a})),
	} {
		if other != same {
			t.Errorf("another %s makes another reference", what)
		}
	}
	all := []string{same,
		Reference("run 2", NewCall("cdn:x", []Item{a, b})),
		Reference("run 1", NewCall("cdn:y", []Item{a, b})),
		Reference("run 1", NewCall("cdn:x", []Item{a})),
		Reference("run 1", NewCall("cdn:x", []Item{a, {Kind: Tag, Value: "/b"}})),
		Reference("run 1", NewCall("cdn:x", []Item{a, {Kind: Path, Value: "/b", Header: map[string][]string{"X": {"1"}}}})),
		Reference(NewKey(), NewCall("cdn:x", []Item{a, b})),
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 7 || len(same) > 128 {
		t.Errorf("references: %q", all)
	}
}
