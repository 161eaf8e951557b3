package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/journal"
)

// A belt brings n parcels of three records: one for a node that may be lost ("lost"),
// one for another, and one that the lost node refuses for good.
type belt struct{ n, read int }

func (b *belt) stands() string                         { return "line" }
func (b *belt) survey(context.Context) (survey, error) { return survey{}, nil }

func (b *belt) parcels(context.Context, map[string]backends.Mark) iter.Seq2[*parcel, error] {
	return func(yield func(*parcel, error) bool) {
		for b.read < b.n {
			p := &parcel{page: backends.Page{Shard: sourceShard, After: backends.Mark(fmt.Sprint(b.read + 1))}}
			for i, key := range []string{"lost", "other", "lost and bad"} {
				r := backends.Record{Key: fmt.Sprintf("%s %d", key, b.read)}
				p.records, p.lines, p.bytes = append(p.records, r), append(p.lines, int64(3*b.read+i+1)), p.bytes+roomFor(&r)
			}
			if b.read++; !yield(p, nil) {
				return
			}
		}
	}
}

// A pair is a cache of two nodes, one of which is lost until some time. It tells a result
// when it has the next batch.
type pair struct{ until time.Time }

func (*pair) Name() string { return "pair" }
func (*pair) Close() error { return nil }

func (c *pair) Load(_ context.Context, batches iter.Seq2[[]backends.Record, error], _ backends.LoadOptions) iter.Seq2[backends.Result, error] {
	return func(yield func(backends.Result, error) bool) {
		var held *backends.Result
		tell := func() bool {
			r := held
			held = nil
			return r == nil || yield(*r, nil)
		}
		for batch, err := range batches {
			if !tell() {
				return
			}
			if err != nil {
				if !yield(backends.Result{}, err) || backends.Ends(err) {
					return
				}
				continue
			}
			held = &backends.Result{}
			for _, r := range batch {
				o := backends.Outcome{Key: r.Key, Did: backends.Loaded}
				switch {
				case !strings.HasPrefix(r.Key, "lost"):
				case time.Now().Before(c.until):
					o.Did, o.Err = backends.Failed, fmt.Errorf("node: %w", backends.ErrUnreachable)
				case strings.HasPrefix(r.Key, "lost and bad"):
					o.Did, o.Err = backends.Failed, errors.New("no")
				}
				held.Outcomes = append(held.Outcomes, o)
			}
		}
		tell()
	}
}

// fill loads what the belt brings, with --retry-for 10s and no journal.
func fill(t *testing.T, b *belt, lostFor time.Duration) (l *load, said *bytes.Buffer, err error) {
	t.Helper()
	c := &pair{until: time.Now().Add(lostFor)}
	said = new(bytes.Buffer)
	f := &filling{feed: b, pace: pace{mode: paceMax}, recording: recording{retryFor: 10 * time.Second, state: journal.NewState()}, rejects: rejects{most: -1}}
	f.state.Begin(1)
	l = &load{filling: f, env: &Env{Err: said, Now: time.Now}, backend: c, loader: c, room: f.room.watch(c)}
	return l, said, l.all(t.Context())
}

// TestLostRecordsAreSentAgain: each counts once, whatever came of it the first time, and
// is known by its line.
func TestLostRecordsAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		l, said, err := fill(t, &belt{n: n}, 8*time.Second)
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		one := roomFor(&backends.Record{Key: "x"}) - 1
		want := int64(0)
		for i := range n {
			want += 3*one + int64(len(fmt.Sprintf("lost %d", i))+len(fmt.Sprintf("other %d", i))+len(fmt.Sprintf("lost and bad %d", i)))
		}
		if loaded, bad := l.state.Sum(backends.Loaded), l.state.Sum(rejected); loaded != 2*n || bad != n || l.met() != 3*n || l.bytes != want {
			t.Errorf("%d loaded, %d rejected, %d met, %d bytes; want %d, %d, %d, %d", loaded, bad, l.met(), l.bytes, 2*n, n, 3*n, want)
		}
		if mark := l.state.Marks[sourceShard]; mark != backends.Mark(fmt.Sprint(n)) {
			t.Errorf("the mark is %q", mark)
		}
		if first := l.rejects.first[0]; first.line != 3 {
			t.Errorf("line %d was rejected first, want 3", first.line)
		}
	})
}

// TestLostForGood: as long as a node is lost the source stands still, whatever the others
// would take, and the run ends when nothing has changed for --retry-for.
func TestLostForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, b := time.Now(), &belt{n: 1000}
		l, said, err := fill(t, b, time.Hour)
		if !errors.Is(err, backends.ErrUnreachable) {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+2*mostWait {
			t.Errorf("it gave up after %v", took)
		}
		n, which := l.unsettled()
		if want := `lines 1 to 6: "lost 0"  "lost and bad 0"  "lost 1"  "lost and bad 1"`; n != 4 || which != want || l.state.Sum(backends.Loaded) != 2 || b.read > 2+2*fedAhead {
			t.Errorf("%d records (%s), want 4 (%s); %d parcels were read", n, which, want, b.read)
		}
		l.tellUnsettled()
		for _, want := range []string{"node: unreachable: trying again", "not loaded: 4 records (lines 1 to 6: ", ", nor what the source has behind them", "no journal was kept"} {
			if strings.Count(said.String(), want) != 1 {
				t.Errorf("%q is not said once:\n%s", want, said)
			}
		}
		if mark := l.state.Marks[sourceShard]; mark != "" {
			t.Errorf("the mark is %q: who goes on from there misses records", mark)
		}
	})
}
