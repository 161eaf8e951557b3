package fleet

import "time"

// A history is when a key got each of its versions: the latest ones, oldest first. Before the
// first it remembers, the key is at version 1, or at one that it has forgotten.
type history struct {
	steps []step
	lost  bool // it has forgotten some

	passed time.Duration // as of the steps, of those forgotten
}

type step struct {
	version uint64
	at      time.Duration
	passed  time.Duration // the last time that the version before it was served, if it was after at
}

// remembered bounds the memory of a key that is written often. Ages of answers older than so many
// versions come out too young.
const remembered = 1024

func (h *history) latest() uint64 {
	if len(h.steps) == 0 {
		return 1
	}
	return h.steps[len(h.steps)-1].version
}

func (h *history) add(version uint64, at time.Duration) {
	if len(h.steps) == remembered {
		h.steps = h.steps[:copy(h.steps, h.steps[remembered/2:])]
		h.lost = true
	}
	h.steps = append(h.steps, step{version: version, at: at})
}

// at is the version that was the latest then.
func (h *history) at(then time.Duration) uint64 {
	for i := len(h.steps) - 1; i >= 0; i-- {
		if h.steps[i].at <= then {
			return h.steps[i].version
		}
	}
	if h.lost {
		return h.steps[0].version
	}
	return 1
}

// after is the step that ended a version. It must not be the latest.
func (h *history) after(version uint64) *step {
	low, high := 0, len(h.steps)-1
	for low < high {
		if mid := (low + high) / 2; h.steps[mid].version > version {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return &h.steps[low]
}
