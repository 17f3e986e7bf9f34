package inbound

import (
	"sync/atomic"
	"time"
)

// A watch notices a client that leaves while its call is under way, and ends the
// context of that. It reads, since nothing else tells of the end of a connection
// everywhere and inside of TLS. A client that sends something instead is there; the
// byte that tells so is kept, and the watch is over.
type watch struct {
	phase atomic.Int32
	byte  [1]byte
	n     int // bytes of it that were read
}

// The phases of a watch. That of a call that is young is watchNext, and one more for each look
// that passes it over.
const (
	watchOff     int32 = iota
	watchRests         // like off, but among the young
	watchReading       // or about to
	watchStopping
	watchNext // it begins with the next look
)

// look reads until the client says something, leaves, or the call has ended.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch.phase.Load() == watchReading {
		c.listen()
	}
	c.watch.phase.Store(watchOff)
	c.rested.Signal()
}

// listen is called with mu held, and does not hold it while it reads.
func (c *conn) listen() {
	_ = c.moveReadDeadline(0) // that of the wait for the request
	k, n, err := c.call.Load(), 0, c.later
	if err == nil { // else it left with its last bytes
		c.mu.Unlock()
		n, err = c.wire.Read(c.watch.byte[:])
		c.mu.Lock()
	}
	c.watch.n = n
	if timedOut(err) {
		return
	}
	c.later = err
	if err != nil && k != nil {
		k.end()
	}
}

// unwatch ends the watch, and takes the byte that it may have read.
func (c *conn) unwatch() {
	if !c.rest() && c.watch.phase.Load() >= watchReading {
		c.interrupt()
	}
	if c.watch.n > 0 {
		c.watch.n = 0
		c.input.take(c.watch.byte[0], &c.scanner)
	}
}

// interrupt has the watch end that reads, if it has not.
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
