package inbound

import (
	"sync/atomic"
	"time"
)

// watchAfter is how long a call takes before its client is watched. Most have
// ended by then, and cost no more than a timer that is put off.
const watchAfter = 20 * time.Millisecond

// A watch notices a client that leaves while its call is under way, and ends the
// context of that. It reads, since nothing else tells of the end of a connection
// everywhere and inside of TLS. A client that sends something instead is there; the
// byte that tells so is kept, and the watch is over.
type watch struct {
	timer *time.Timer  // nil: none was needed yet
	phase atomic.Int32 // it begins and ends to read with the connection's mu held
	byte  [1]byte
	n     int // bytes of it that were read
}

// The phases of a watch.
const (
	watchOff int32 = iota
	watchArmed
	watchReading
	watchStopping // it was told to end
)

// watchSoon begins to watch if the call takes long. The body has ended: nobody
// else reads.
func (c *conn) watchSoon() {
	c.watch.phase.Store(watchArmed)
	if c.watch.timer == nil {
		c.watch.timer = time.AfterFunc(watchAfter, c.look)
		return
	}
	c.watch.timer.Reset(watchAfter)
}

// look reads until the client says something, leaves, or the call has ended.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.watch.phase.CompareAndSwap(watchArmed, watchReading) {
		return
	}
	_ = c.moveReadDeadline(0) // that of the wait for the request
	k, n, err := c.call.Load(), 0, c.later
	if err == nil { // else it left with its last bytes
		c.mu.Unlock()
		n, err = c.wire.Read(c.watch.byte[:])
		c.mu.Lock()
	}
	if !timedOut(err) {
		c.later = err
		if err != nil && k != nil {
			k.end()
		}
	}
	c.watch.n = n
	c.watch.phase.Store(watchOff)
	c.rested.Signal()
}

// unwatch ends the watch, and takes the byte that it may have read.
func (c *conn) unwatch() {
	if c.watch.phase.CompareAndSwap(watchArmed, watchOff) {
		c.watch.timer.Stop()
		return
	}
	if c.watch.phase.Load() == watchReading {
		c.interrupt()
	}
	if c.watch.n > 0 {
		c.watch.n = 0
		c.input.take(c.watch.byte[0], &c.scanner)
	}
}

// interrupt has the watch end that reads.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.watch.phase.CompareAndSwap(watchReading, watchStopping) {
		return
	}
	_ = c.moveReadDeadline(c.since(past))
	for c.watch.phase.Load() != watchOff {
		c.rested.Wait()
	}
	_ = c.moveReadDeadline(0)
}

// past is a time that wakes every read.
var past = time.Unix(1, 0)

func timedOut(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}
