package fleet

import (
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A mending is what a repair brought.
type mending struct {
	routes backends.Routes
	lines  []*line
}

// repair looks where nodes are now and dials what is missing, once at a time.
func (w *worker) repair() {
	if w.mending || w.deaf {
		return
	}
	w.mending = true
	have := make(map[string]int)
	for _, l := range w.lines {
		if l != nil {
			have[l.node]++
		}
	}
	pause := min(firstPause<<min(w.tries, 10), lastPause)
	w.running.Go(func() {
		m := w.redial(have, pause)
		w.box.Lock()
		gone := w.mail.closed
		w.mail.mended = m
		w.box.Unlock()
		if gone {
			m.hangUp()
		}
		w.nudge()
	})
}

// Waits before a repair; each is twice the one before while something is left to repair.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// redial brings whatever can be had.
func (w *worker) redial(have map[string]int, pause time.Duration) *mending {
	m := &mending{}
	select {
	case <-w.over:
		return m
	case <-time.After(pause):
	}
	routes, err := w.Cache.Routes(w.life)
	if err != nil {
		return m
	}
	m.routes = routes
	for _, node := range routes.Nodes {
		for range w.Lines - have[node] {
			l, err := dialLine(w.life, w.Cache, node, &w.running, w.nudge)
			if err != nil {
				break
			}
			m.lines = append(m.lines, l)
		}
	}
	return m
}

func (m *mending) hangUp() {
	for _, l := range m.lines {
		l.hangUp()
	}
}

// mend puts what a repair brought in its place. Nodes that are none any more are left.
func (w *worker) mend(m *mending) {
	w.mending = false
	if m.routes.Nodes != nil {
		all := append(m.lines, w.lines...)
		w.routes, w.lines = m.routes, make([]*line, len(m.routes.Nodes)*w.Lines)
		for i := range w.lines {
			for k, l := range all {
				if l != nil && l.node == m.routes.Nodes[i/w.Lines] {
					w.lines[i], all[k] = l, nil
					break
				}
			}
		}
		for _, l := range all {
			if l != nil {
				w.lost(l)
			}
		}
	}
	w.tries++
	for _, l := range w.lines {
		if l == nil {
			w.repair()
			return
		}
	}
	w.tries = 0
}

// drain waits until the cache has answered everything, so that nothing is done behind the back of
// who clears up.
func (w *worker) drain() {
	w.deaf = true
	limit := time.NewTimer(min(w.Timeout, time.Second))
	defer limit.Stop()
	for {
		w.flush()
		w.receive()
		if w.oldest() == nil {
			return
		}
		select {
		case <-w.wake:
		case <-limit.C:
			return
		}
	}
}

// close ends all lines, also those that a repair brings later.
func (w *worker) close() {
	w.box.Lock()
	w.mail.closed = true
	m := w.mail.mended
	w.mail.mended = nil
	w.box.Unlock()
	if m != nil {
		m.hangUp()
	}
	for _, l := range w.lines {
		if l != nil {
			if l.waits.len() > 0 {
				w.mu.Lock()
				w.counts.Broken++
				w.mu.Unlock()
			}
			l.hangUp()
		}
	}
}
