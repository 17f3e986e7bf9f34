package inbound

import "time"

// A deadline remembers what was set on a connection, since to set it again costs
// as much as a third of a small read.
type deadline struct{ at time.Time }

// serves reports that what is set is as good as t: not later, and not earlier by
// more than a hundredth of the time until then.
func (d deadline) serves(now, t time.Time) bool {
	early := t.Sub(d.at)
	return d.at.Equal(t) || !d.at.IsZero() && early > 0 && early <= t.Sub(now)/100
}

// readUntil gives reads that begin now a time limit; 0 is none.
func (c *conn) readUntil(now time.Time, timeout time.Duration) {
	var t time.Time
	if timeout > 0 {
		t = now.Add(timeout)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reads.serves(now, t) {
		_ = c.moveReadDeadline(t)
	}
}

// setReadDeadline sets exactly t.
func (c *conn) setReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moveReadDeadline(t)
}

// moveReadDeadline is called with mu held.
func (c *conn) moveReadDeadline(t time.Time) error {
	if t.IsZero() && c.reads.at.IsZero() {
		return nil
	}
	c.reads.at = t
	return c.wire.SetReadDeadline(t)
}

// writeUntil sets the deadline of a write that begins now; zero is the server's. One
// that passes while nothing is written does no harm, so it is not lifted in between.
func (c *conn) writeUntil(t time.Time) {
	now := time.Now()
	if t.IsZero() && c.server.WriteTimeout > 0 {
		t = now.Add(c.server.WriteTimeout)
	}
	if c.writes.serves(now, t) {
		return
	}
	c.writes.at = t
	_ = c.wire.SetWriteDeadline(t)
}
