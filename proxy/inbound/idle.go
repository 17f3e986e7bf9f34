package inbound

// first waits for the first bytes of a request, with no buffer until they come.
func (c *conn) first() error {
	if c.raw != nil {
		return c.raw.Read(c.ready)
	}
	// What is under TLS cannot be waited for: bytes that came may be none of the
	// client's, and those of the client may have come before. But it has a buffer
	// of its own, so that a second read for the rest is no system call.
	n, err := c.wire.Read(c.watch.byte[:])
	if n > 0 {
		c.input.take(c.watch.byte[0], &c.scanner)
		c.later = err
		return nil
	}
	return err
}
