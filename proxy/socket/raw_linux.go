//go:build linux && !race

package socket

import (
	"syscall"
	"unsafe"
)

// Quick is whether Read and Write are there.
const Quick = true

// Read is one system call on a socket that does not wait. 0 and no error is the end.
func Read(fd uintptr, p []byte) (int, syscall.Errno) {
	return call(syscall.SYS_READ, fd, p)
}

// Write is one system call on a socket that does not wait.
func Write(fd uintptr, p []byte) (int, syscall.Errno) {
	return call(syscall.SYS_WRITE, fd, p)
}

// call is what unsafe is for: a pointer that goes straight into a system call (package unsafe,
// rule 4).
func call(number, fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // see above
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
