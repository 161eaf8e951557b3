package memcached

import "sync"

// dumps counts the drains under way in this process, for HoldStops: a signal is
// the process's, not a backend's, which is why this is no field of anything.
var dumps struct {
	sync.Mutex
	running int
	held    func() // what to do when the last one ends
}

// beginDump says that a drain begins; the returned function, that it is over.
func beginDump() (end func()) {
	dumps.Lock()
	defer dumps.Unlock()
	dumps.running++
	return func() {
		dumps.Lock()
		var held func()
		if dumps.running--; dumps.running == 0 {
			held, dumps.held = dumps.held, nil
		}
		dumps.Unlock()
		if held != nil {
			held()
		}
	}
}

// betweenDumps runs f now, or when the last drain under way has ended.
func betweenDumps(f func()) {
	dumps.Lock()
	if dumps.running > 0 {
		dumps.held = f
		dumps.Unlock()
		return
	}
	dumps.Unlock()
	f()
}
