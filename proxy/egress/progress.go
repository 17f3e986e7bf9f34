package egress

import (
	"context"
	"sync/atomic"
)

// progress is how far a dial has come.
type progress struct{ phase atomic.Int32 }

// The phases of a dial. The first two are known of one that is guarded.
const (
	lookingUp = iota + 1
	connecting
	securing
)

var phaseTexts = [...]string{
	lookingUp:  "while the name was looked up",
	connecting: "while it was connecting",
	securing:   "in the TLS handshake",
}

// whileAsking is said of a call that leads through a proxy.
const whileAsking = "while the proxy was asked for a connection"

// reach notes that a phase has begun.
func (p *progress) reach(phase int32) { p.phase.Store(phase) }

// String is the phase for who gave up in it.
func (p *progress) String() string { return phaseTexts[p.phase.Load()] }

// progressKey finds the progress of a dial that others wait for in its context.
type progressKey struct{}

// progressOf is where a dial notes how far it has come.
func progressOf(ctx context.Context) *progress {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		return p
	}
	return new(progress)
}
