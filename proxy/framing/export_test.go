package framing

// Heads is how many good heads the scanner of c has counted.
func (c *Conn) Heads() int { return c.scanner.heads }

// Holds reports whether c keeps a buffer.
func (c *Conn) Holds() bool { return c.held != nil }
