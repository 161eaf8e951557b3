//go:build unix

package commands

import (
	"fmt"
	"os"
	"syscall"
)

// lockFile keeps other processes from a journal that is in use. The lock ends
// with the process at the latest.
func lockFile(path string) (release func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another run: %w", path, err)
	}
	return func() { f.Close() }, nil
}
