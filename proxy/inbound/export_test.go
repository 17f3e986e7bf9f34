package inbound

// Holding is how many connections hold a buffer.
func (s *Server) Holding() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.input.held != nil {
			n++
		}
	}
	return n
}
