package fleet

import "time"

// ask notes that the origin has one thing more to do.
func (l *Ledger) ask(now time.Duration) {
	tick := l.tick(now)
	l.flight++
	tick.Starts++
	tick.Most = max(tick.Most, l.flight)
	if now >= l.terms.Warmup {
		l.report.Origin.Peak = max(l.report.Origin.Peak, l.flight)
	}
}

// rest notes that the origin has one thing less to do.
func (l *Ledger) rest(now time.Duration) {
	tick := l.tick(now)
	l.flight--
	tick.Least = min(tick.Least, l.flight)
}

func (l *Ledger) fetch(now time.Duration, key Key) {
	l.ask(now)
	k := l.keys.at(key)
	lead := time.Duration(0)
	if k.set >= l.flushed && k.fresh > now {
		lead = k.fresh - now
	}
	if k.flight == 0 {
		k.starts, k.peak, k.lead, k.early = 0, 0, lead, lead > 0
		k.cycles++
		k.counted = now >= l.terms.Warmup && int(k.cycles) > l.terms.Skip
		if !k.counted {
			l.report.Cycles.Dropped++
		}
	}
	k.flight++
	k.starts++
	k.peak = max(k.peak, k.flight)
	if now >= l.terms.Warmup {
		l.report.Origin.Reads++
		if lead > 0 {
			l.report.Origin.Early++
		}
	}
}

func (l *Ledger) fetched(t *Ticket, e *Event) {
	l.rest(e.Now)
	if e.Now >= l.terms.Warmup {
		if e.Answer == Failed {
			l.report.Origin.Failed++
		} else if t != nil && t.GaveUp {
			l.report.Origin.Late++
		}
	}
	k := l.keys.at(e.Key)
	if k.flight--; k.flight > 0 || !k.counted {
		return
	}
	c := &l.report.Cycles
	if e.Now > l.terms.Length { // requests that would have come meanwhile did not
		c.Unfinished++
		return
	}
	c.Starts.Add(uint64(k.starts))
	c.Peak.Add(uint64(k.peak))
	if k.early {
		c.Early++
		c.Lead.Add(k.lead)
	}
}

// missed notes that a key was not there.
func (l *Ledger) missed(now time.Duration, k *account) {
	k.fresh = min(k.fresh, now)
	if !k.missing {
		k.missing, k.opened = true, now
	}
}

// found ends the window in which a key was missing.
func (l *Ledger) found(now time.Duration, k *account) {
	k.missing, k.closed = false, now
	if k.opened >= l.terms.Warmup && int(k.cycles) > l.terms.Skip {
		l.report.Cycles.Missing.Add(now - k.opened)
	}
}

func (l *Ledger) stored(now time.Duration, k *account, v *Value) {
	if k.missing {
		l.found(now, k)
	}
	k.set = now
	switch {
	case v.Soft != 0:
		k.fresh = v.Soft
	case v.Expires != 0:
		k.fresh = v.Expires
	default:
		k.fresh = 1<<63 - 1
	}
}

func (l *Ledger) serve(now time.Duration, t *Ticket, a *Action) {
	if t == nil || t.Done {
		return
	}
	t.Done = true
	if a.As == Written {
		l.acknowledged(now, a)
	}
	tick := l.tick(now)
	if a.As == WithError {
		tick.Errors++
	} else {
		tick.Good++
	}
	hit := a.As == FromCache || a.As == FromLocal || a.As == FromStale
	if hit && !t.Write {
		l.tick(t.Due).Hits++
	}
	counts := t.Due >= l.terms.Warmup
	k := l.keys.at(t.Key)
	if counts {
		l.report.Served[a.As]++
		l.took(now, t, k, hit)
		if t.denied != 0 && !hit {
			l.report.Locks.Waited.Add(now - t.denied)
		}
	}
	if t.Write || a.As == WithError {
		return
	}
	if k.truth != nil && a.Value.Version > k.latest && counts {
		l.report.Consistency.Ahead++
	}
	if a.Value.Version < k.latest {
		over := k.truth.known.after(a.Value.Version)
		over.passed = now
		tick := l.tick(now)
		tick.Stale++
		if counts {
			l.report.Stale.Reads++
			l.report.Consistency.Stale[a.As]++
			l.report.Stale.Age.Add(now - over.at)
		}
	}
	if a.As == FromStale && counts {
		since := a.Value.Soft
		if since == 0 {
			since = a.Value.Read
		}
		l.report.Stale.Past.Add(now - since)
	}
}

// took notes a latency. A request came while the key was missing if it was due then, or if it
// was itself among those that did not find it.
func (l *Ledger) took(now time.Duration, t *Ticket, k *account, hit bool) {
	d := now - t.Due
	if t.Write {
		l.report.Writing.Add(d)
		return
	}
	l.reads.add(&l.report.Latency, d)
	if (k.missing || k.closed > t.Due) && (t.Due >= k.opened || !hit) {
		l.report.Window.Add(d)
	}
}

func (l *Ledger) gaveUp(now time.Duration, t *Ticket) {
	if t.Done {
		return
	}
	t.Done, t.GaveUp = true, true
	l.tick(now).GaveUp++
	if t.Due < l.terms.Warmup {
		return
	}
	l.report.GaveUp++
	l.took(now, t, l.keys.at(t.Key), false)
	if t.denied != 0 {
		l.report.Locks.Waited.Add(now - t.denied)
	}
}

func (l *Ledger) written(k *account) *histories {
	if k.truth == nil {
		k.truth = new(histories)
		k.latest = 1
	}
	return k.truth
}

// Commit notes that the origin has a new version of a key at now, and tells which. version 0 is the next; any
// other is that one, unless the origin has a later one already.
func (l *Ledger) Commit(now time.Duration, key Key, version uint64) uint64 {
	k := l.keys.at(key)
	h := l.written(k)
	latest := h.committed.latest()
	if version == 0 {
		version = latest + 1
	}
	if version <= latest {
		return latest
	}
	h.committed.add(version, now)
	l.known(now, k, version)
	return version
}

func (l *Ledger) known(now time.Duration, k *account, version uint64) {
	if version > k.latest {
		l.becomes(now, k, version)
		k.latest = version
	}
}

// acknowledged notes a write that was acknowledged, committed or not: from now on reads are to see it.
func (l *Ledger) acknowledged(now time.Duration, a *Action) {
	if a.Value.Version == 0 {
		return
	}
	k := l.keys.at(a.Key)
	l.written(k)
	l.known(now, k, a.Value.Version)
}

// Version is the origin's version of a key at a time that is not long past.
func (l *Ledger) Version(key Key, at time.Duration) uint64 {
	k := l.keys.at(key)
	if k.truth == nil {
		return 1
	}
	return k.truth.committed.at(at)
}
