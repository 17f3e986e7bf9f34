//go:build !linux

package socket

import (
	"errors"
	"net"
)

// A Pipe is there on Linux alone.
type Pipe struct{}

// NewPipe returns errors.ErrUnsupported.
func NewPipe(_, _ net.Conn) (*Pipe, error) { return nil, errors.ErrUnsupported }

// Close is not to be called.
func (*Pipe) Close() {}

// Move is not to be called.
func (*Pipe) Move(int) (int, error) { return 0, errors.ErrUnsupported }

// Holds is not to be called.
func (*Pipe) Holds() int { return 0 }
