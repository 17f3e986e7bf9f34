//go:build !unix

package socket

import "syscall"

// Quick is whether Read and Write are there: only Unix can wait for a socket outside of a read or write.
const Quick = false

// Read is not to be called.
func Read(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.EINVAL }

// Write is not to be called.
func Write(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.EINVAL }
