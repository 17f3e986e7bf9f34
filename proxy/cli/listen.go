package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// unixScheme stands before the path of a Unix socket, in place of host:port.
const unixScheme = "unix:"

// socketMode lets the owner and the group of a socket's file connect.
const socketMode = 0o660

// listenAt opens an address as the configuration has it.
func listenAt(address string) (net.Listener, error) {
	path, socket := strings.CutPrefix(address, unixScheme)
	if !socket {
		return net.Listen("tcp", address)
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path) // its file goes when it is closed
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// clearSocket removes what a process that died has left, where connections are
// refused. Any other socket, and a file that is none, are somebody's: one that is
// busy, or that we may not open, does not answer either.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists, and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("%s is in use: somebody answers at it", path)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, winsockRefused):
		return os.Remove(path)
	}
	return fmt.Errorf("%s may be in use: %w", path, err)
}

// winsockRefused is what Windows has for ECONNREFUSED (WSAECONNREFUSED).
const winsockRefused = syscall.Errno(10061)

// dialAt connects to an address as the configuration has it.
func dialAt(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	if path, socket := strings.CutPrefix(address, unixScheme); socket {
		return dialer.DialContext(ctx, "unix", path)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// shownAddress is where a listener can be reached.
func shownAddress(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return unixScheme + l.Addr().String()
	}
	return l.Addr().String()
}
