//go:build unix && (!linux || race)

package socket

import (
	"errors"
	"syscall"
)

// Quick is whether Read and Write are there. Where the numbers of system calls are not a promise of the
// kernel's, package syscall makes them, and the race detector learns from it who has seen what.
const Quick = true

// Read is one system call on a socket that does not wait. 0 and no error is the end.
func Read(fd uintptr, p []byte) (int, syscall.Errno) { return told(syscall.Read(int(fd), p)) }

// Write is one system call on a socket that does not wait.
func Write(fd uintptr, p []byte) (int, syscall.Errno) { return told(syscall.Write(int(fd), p)) }

func told(n int, err error) (int, syscall.Errno) {
	if err == nil {
		return n, 0
	}
	errno := syscall.EIO
	errors.As(err, &errno)
	return 0, errno
}
