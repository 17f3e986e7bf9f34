package inbound

import "time"

// A deadline remembers what was set on a connection, since to set it again costs
// as much as a third of a small read. It counts from when the connection was opened, as
// does now: that is the cheaper half of the clock. 0: none is set.
type deadline struct{ at time.Duration }

// serves reports that what is set is as good as t: not later, and not earlier by
// more than a hundredth of the time until then.
func (d deadline) serves(now, t time.Duration) bool {
	early := t - d.at
	return early == 0 || d.at != 0 && early > 0 && early <= (t-now)/100
}

// now is how long ago the connection was opened.
func (c *conn) now() time.Duration { return time.Since(c.opened) }

// since is t as deadlines count.
func (c *conn) since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	if at := t.Sub(c.opened); at != 0 {
		return at
	}
	return -1
}

// when is the time of a deadline.
func (c *conn) when(d deadline) time.Time {
	if d.at == 0 {
		return time.Time{}
	}
	return c.opened.Add(d.at)
}

// readUntil gives reads that begin now a time limit; 0 is none.
func (c *conn) readUntil(timeout time.Duration) {
	var now, at time.Duration
	if timeout > 0 {
		now = c.now()
		at = now + timeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reads.serves(now, at) {
		_ = c.moveReadDeadline(at)
	}
	c.bound = c.reads.at
}

// setReadDeadline bounds reads of a body, also one that is under way. It is only noted until
// one has to read from the connection: most bodies have come with their heads.
func (c *conn) setReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bound = c.since(t); !c.reading {
		return nil
	}
	return c.moveReadDeadline(c.bound)
}

// beginRead is for a read of a body that reads from the connection.
func (c *conn) beginRead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = true
	_ = c.moveReadDeadline(c.bound)
}

// endRead is for the end of it.
func (c *conn) endRead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
}

// moveReadDeadline is called with mu held.
func (c *conn) moveReadDeadline(at time.Duration) error {
	if at == c.reads.at {
		return nil
	}
	c.reads.at = at
	return c.wire.SetReadDeadline(c.when(c.reads))
}

// writeUntil sets the deadline of a write that begins now; zero is the server's. One
// that passes while nothing is written does no harm, so it is not lifted in between.
func (c *conn) writeUntil(t time.Time) {
	now, at := c.now(), c.since(t)
	if at == 0 && c.server.WriteTimeout > 0 {
		at = now + c.server.WriteTimeout
	}
	if c.writes.serves(now, at) {
		return
	}
	c.writes.at = at
	_ = c.wire.SetWriteDeadline(c.when(c.writes))
}
