//go:build linux && !race

package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// splice is one system call between a pipe and a socket, neither of which waits. The scheduler
// is told of it, or is not.
func splice(from, to, n int, told bool) (int, syscall.Errno) {
	call := syscall.RawSyscall6
	if told {
		call = syscall.Syscall6
	}
	moved, _, errno := call(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK)
	if errno != 0 {
		return 0, errno
	}
	return int(moved), 0
}
