//go:build unix

package journal

import (
	"errors"
	"os"
	"syscall"
)

// lock makes sure that one process writes a journal. It ends with the process.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("the run is still under way in another process")
	}
	return err
}
