package fleet

import (
	"math"
	"testing"
	"time"
)

// TestConsistencyByHand follows one key through commits, acknowledgements, reads, fills and losses.
func TestConsistencyByHand(t *testing.T) {
	l := NewLedger(Terms{Length: time.Minute})
	serve := func(now time.Duration, version uint64, as Served) {
		l.Do(now, &Ticket{Due: now, Key: 7}, &Action{Kind: Serve, Req: 1, Key: 7, Value: Value{Version: version}, As: as})
	}
	acknowledge := func(now time.Duration, version uint64) {
		l.Do(now, &Ticket{Due: now, Key: 7, Write: true}, &Action{Kind: Serve, Req: 1, Key: 7, Value: Value{Version: version}, As: Written})
	}
	fill := func(now time.Duration, version uint64) {
		l.Tell(&Ticket{Key: 7}, &Event{Kind: Answered, Of: Set, Now: now, Req: 1, Key: 7, Value: Value{Version: version}})
	}
	lose := func(now, acknowledged time.Duration, version uint64, tag uint8) {
		l.Do(now, nil, &Action{Kind: Lose, Key: 7, Tag: tag, Value: Value{Version: version, Read: acknowledged}})
	}
	serve(1*ms, 1, FromCache)
	l.Commit(10*ms, 7, 0)      // 2
	serve(12*ms, 1, FromLocal) // 2 ms stale
	l.Commit(20*ms, 7, 0)      // 3
	serve(25*ms, 2, FromCache) // 5 ms stale, and 3 is overlooked for 5
	serve(30*ms, 1, FromCache) // 20 ms stale, 2 is overlooked for 20, 3 for 10
	serve(31*ms, 3, FromCache)
	fill(32*ms, 2) // stale
	fill(33*ms, 3)
	acknowledge(40*ms, 100)
	acknowledge(45*ms, 200)
	serve(50*ms, 3, FromCache)   // 10 ms stale; 200 is overlooked for 5, and so was 100
	serve(51*ms, 300, FromCache) // ahead
	l.Commit(60*ms, 7, 100)
	lose(70*ms, 45*ms, 200, 0)
	serve(80*ms, 100, FromOrigin) // 200 was never true
	serve(81*ms, 200, FromCache)  // nor is it now
	acknowledge(90*ms, 400)
	acknowledge(91*ms, 500)
	acknowledge(92*ms, 600)
	l.Orphan(95*ms, 7, 500) // with 400, which it replaced; 600 is another's
	serve(96*ms, 100, FromOrigin)

	r := l.Report()
	c := &r.Consistency
	for what, is := range map[string][2]uint64{
		"versions":         {c.Versions, 7},
		"stale, by cache":  {c.Stale[FromCache], 3},
		"stale, local":     {c.Stale[FromLocal], 1},
		"stale, by origin": {c.Stale[FromOrigin], 1}, // 600 is still true
		"stale":            {r.Stale.Reads, 5},
		"ahead":            {c.Ahead, 2},
		"fills":            {c.Fills, 2},
		"stale fills":      {c.StaleFills, 1},
		"lost":             {r.Lost, 3},
		"lost keys":        {c.LostKeys, 2},
		"windows":          {c.Window.Count(), 4}, // after 2, 3, 100 and 600
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %d, want %d", what, is[0], is[1])
		}
	}
	for what, is := range map[string][2]time.Duration{
		"longest window":   {c.Window.Quantile(1), 20 * ms},
		"shortest window":  {c.Window.Quantile(0.01), 4 * ms},
		"oldest answer":    {r.Stale.Age.Quantile(1), 20 * ms},
		"oldest lost":      {c.LostAge.Quantile(1), 25 * ms},
		"youngest that is": {c.LostAge.Quantile(0.01), 4 * ms},
	} {
		if math.Abs(float64(is[0]-is[1])) > float64(is[1])/500 {
			t.Errorf("%s: %v, want %v", what, is[0], is[1])
		}
	}
}

// TestWindowsOutliveMemory: a key with more versions than a ledger remembers loses no window that was over.
func TestWindowsOutliveMemory(t *testing.T) {
	l := NewLedger(Terms{Length: time.Minute})
	const n = 5 * remembered
	for i := range uint64(n) {
		now := time.Duration(i+1) * ms
		l.Commit(now, 7, 0)
		l.Do(now+ms/2, &Ticket{Due: now, Key: 7}, &Action{Kind: Serve, Req: 1, Key: 7, Value: Value{Version: i + 1}, As: FromCache})
	}
	r := l.Report()
	if w := &r.Consistency.Window; w.Count() != n || w.Quantile(1) > ms/2+ms/500 {
		t.Errorf("%d windows of at most %v, want %d of %v", w.Count(), w.Quantile(1), n, ms/2)
	}
}

// TestAmplification: what one acknowledged write costs the origin and the cache.
func TestAmplification(t *testing.T) {
	o := Defaults()
	for _, p := range Patterns() {
		origin, cache := 1.0, 1.0
		switch p.Name {
		case "cache-aside-double-delete":
			cache = 2
		case "write-behind":
			origin = (1 - math.Exp(-1)) / 1 // one write a key and flush
		}
		r := law{reads: 4, writes: 1, keys: 30, c: Config{Strategy: p.Name, Maker: p.Make(o), Length: 300 * time.Second, Network: Fixed(ms)}}.reports(t, 1)[0]
		if got := r.Amplification(); math.Abs(got-origin) > 0.01 {
			t.Errorf("%s: %.3f writes of the origin for each, want %.3f", p.Name, got, origin)
		}
		if got := r.CacheAmplification(); math.Abs(got-cache) > 0.01 {
			t.Errorf("%s: %.3f changes of the cache for each, want %.3f", p.Name, got, cache)
		}
	}
}

// TestCacheFirst: where the cache is written before the origin, and the origin refuses some writes, reads see what never was.
func TestCacheFirst(t *testing.T) {
	ahead := func(cacheFirst bool) uint64 {
		m := WriteThrough{Reading: Reading{TTL: time.Minute}, CacheFirst: cacheFirst}.Maker()
		return law{reads: 20, writes: 1, keys: 10, c: Config{Maker: m, Origin: Origin{Fails: 0.1}}}.reports(t, 1)[0].Consistency.Ahead
	}
	if first, last := ahead(true), ahead(false); first == 0 || last != 0 {
		t.Errorf("%d reads of what never was with the cache first, %d with the origin first", first, last)
	}
}
