//go:build !unix

package inbound

import (
	"net"
	"syscall"
)

// rawConn: only Unix can wait for a socket to have something to read.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (*conn) readReady(uintptr) bool { return true }
