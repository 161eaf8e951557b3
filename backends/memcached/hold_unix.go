//go:build unix

package memcached

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// HoldStops makes Ctrl-Z wait for the end of dumps under way: a reader that is
// stopped in the middle of one harms the server's other clients, and a dump
// takes about a second a million keys. It is for main, to be called once: the
// runtime cannot give a signal its default action back, so after the returned
// function has ended it, Ctrl-Z does nothing. SIGSTOP cannot be held.
func HoldStops() (end func()) {
	if signal.Ignored(syscall.SIGTSTP) {
		return func() {}
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTSTP)
	var running sync.WaitGroup
	running.Go(func() {
		for range asked {
			betweenDumps(func() { syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) })
		}
	})
	return func() {
		signal.Stop(asked)
		close(asked)
		running.Wait()
	}
}
