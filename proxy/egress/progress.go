package egress

import (
	"context"
	"sync/atomic"
)

// progress is how far a dial has come.
type progress struct{ phase atomic.Int32 }

// The phases of a dial, in their order. The first two are known of one that is guarded and
// leads through no proxy.
const (
	lookingUp = iota + 1
	connecting
	asking
	securing
)

var phaseTexts = [...]string{
	lookingUp:  "while the name was looked up",
	connecting: "while it was connecting",
	asking:     whileAsking,
	securing:   "in the TLS handshake",
}

// whileAsking is said of a call that leads through a proxy.
const whileAsking = "while the proxy was asked for a connection"

// reach notes that a phase has begun. An earlier one changes nothing: it is of an address that
// is connected beside the one that was faster, or a part of asking a proxy.
func (p *progress) reach(phase int32) {
	for {
		old := p.phase.Load()
		if old >= phase || p.phase.CompareAndSwap(old, phase) {
			return
		}
	}
}

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
